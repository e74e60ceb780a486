//! scan: not yet built.
pub mod finding;
pub mod patterns;
