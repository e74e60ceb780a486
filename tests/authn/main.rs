//! Who sent a mail: other people's suites for SPF, DKIM and ARC, over a DNS server on loopback and the engine's own threads.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests work on files of known form; a suite says how many cases it has"
)]

mod arc_sealing;
mod dkim_files;
mod spf_suite;
