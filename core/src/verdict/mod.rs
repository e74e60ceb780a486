//! verdict: not yet built.
