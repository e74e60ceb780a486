//! rewrite: see the next landing.
