//! spool: not yet built.
