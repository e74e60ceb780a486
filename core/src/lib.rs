//! The engine of Sekisho. Read `pipeline` first; the rooms stand in the order in which a mail walks
//! them (`ARCHITECTURE.md` has the map, and the table of who may import whom).

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::too_many_lines,
        clippy::print_stderr,
        reason = "tests work on numbers of their own making; tables of cases are long"
    )
)]

// Vocabulary: values that every room speaks in. They import nothing of ours.
pub mod clock;
pub mod content;
pub mod envelope;
pub mod limits;
pub mod reply;
pub mod stages;

pub mod config;

// The mail's way.
pub mod accept;
pub mod analysis;
pub mod authn;
pub mod classify;
pub mod deliver;
pub mod engines;
pub mod greylist;
pub mod maillog;
pub mod message;
pub mod notice;
pub mod policy;
pub mod quarantine;
pub mod rewrite;
pub mod scan;
pub mod session;
pub mod verdict;

// Beneath.
pub mod resolve;
pub mod socket;
pub mod spool;
pub mod tables;

// Above.
pub mod control;
pub mod pipeline;
pub mod shard;
