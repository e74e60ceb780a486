//! The house keeps itself tidy: who imports whom, how long files are, what the documents say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    clippy::print_stderr,
    reason = "a test that fails says so"
)]

mod documents;
mod files;
mod licences;
mod names;
mod rooms;
