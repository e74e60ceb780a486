//! maillog: not yet built.
