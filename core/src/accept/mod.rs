//! accept: not yet built.
