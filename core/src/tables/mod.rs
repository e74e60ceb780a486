//! tables: not yet built.
