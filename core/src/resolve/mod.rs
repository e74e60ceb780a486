//! resolve: not yet built.
