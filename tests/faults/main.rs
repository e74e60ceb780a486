//! Faults under load: something breaks in the middle of a load through a real engine, is mended, and then every
//! mail is accounted for by its id. One fault a file; what must hold is in `sekisho_tests::stand`.
//!
//! Lost is 0 always. There twice is 0 where no delivery was cut off, else at most the deliveries that were in flight
//! at the fault: the connections to the next hop at the moment of the kill, with the killed one stopped first.
//! Rates are low on purpose: what is tested is the order of things, on any machine. The ten minutes at full load, with
//! these faults by turns, are `make soak-load`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    clippy::print_stderr,
    reason = "tests work on numbers of their own making; a scenario is told in one piece"
)]

mod clock_jump;
mod control_killed;
mod disk_full;
mod disk_slow;
mod dns_gone;
mod engine_killed;
mod hop_killed;
mod hop_misbehaves;
mod table_refused;
mod worker_killed;

/// Both ways to answer for a mail.
const MODES: [&str; 2] = ["through", "spool"];
