//! deliver: not yet built.
