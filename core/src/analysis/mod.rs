//! analysis: not yet built.
