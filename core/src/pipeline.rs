//! pipeline: not yet built.
