//! rewrite: not yet built.
