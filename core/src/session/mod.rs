//! session: not yet built.
