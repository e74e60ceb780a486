//! What real mail holds is what is read of it: structure and names beside what other people's parsers expect, and every charset
//! by a rule in UTF-8.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests work on files of known form; a comparison says how many files it had"
)]

mod charsets;
mod structure;
