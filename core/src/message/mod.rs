//! message: not yet built.
