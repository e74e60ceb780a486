//! config: not yet built.
