//! End to end: a real engine on loopback, real clients, a scripted next hop. One scenario a file.

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

mod active;
mod archives;
mod attacked;
mod authentication;
mod backlog;
mod capacity;
mod clean;
mod clients;
mod conditions;
mod content;
mod control_plane;
mod damaged;
mod decision;
mod disk_full;
mod dns;
mod drain;
mod early;
mod eicar;
mod feeds;
mod hostile;
mod hostile_sender;
mod iij;
mod itscom;
mod kill;
mod large;
mod limits;
mod lists;
mod notices;
mod ntt;
mod outcomes;
mod overload;
mod postfix;
mod profiles;
mod proxy;
mod quarantine;
mod repeated;
mod reports;
mod rescan;
mod rules;
mod scanners;
mod sealing;
mod sockets;
mod starttls;
mod story;
mod strangers;
mod swap;
mod tls_hop;
mod training;
mod yara;
