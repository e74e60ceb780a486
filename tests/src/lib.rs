//! A whole box for a test: engine and next hop on loopback, a data directory that goes away.
//!
//! What it needs is built by `make test` beforehand (`cargo build --bins`): the programs are looked
//! for beside the test program. Every wait has a deadline; every process is ended by its number.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test harness: what goes wrong here is the test's failure, and its words are read"
)]

pub mod account;
pub mod corpus;
pub mod dns;
pub mod gateway;
pub mod hop;
pub mod preload;
pub mod process;
pub mod script;
pub mod sink_process;
pub mod stand;
pub mod wait;

/// Prints plainly that something is left out, and why. The gate's log shows it.
pub fn left_out(what: &str, why: &str) {
    eprintln!("LEFT OUT: {what}: {why}");
}

/// Prints what a test found: figures that are not asserted.
pub fn say(what: &str) {
    eprintln!("{what}");
}

/// Whether the long suites were asked for (`make soak`).
#[must_use]
pub fn is_soak() -> bool {
    std::env::var_os("SEKISHO_SOAK").is_some()
}
