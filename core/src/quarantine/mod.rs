//! quarantine: not yet built.
