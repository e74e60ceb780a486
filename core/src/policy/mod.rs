//! policy: not yet built.
