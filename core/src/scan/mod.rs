//! scan: not yet built.
pub mod finding;
