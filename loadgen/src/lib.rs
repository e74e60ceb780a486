//! The two ends of a capacity test: a sender (closed loop, or open loop by the clock) and a sink
//! that receives; and the mails themselves, generated (`mix`) or written out as files (`traffic`). Both ends are
//! event-driven (rings for the sender, one epoll a thread for the sink), so that they are not what is measured; the
//! small client for single mails is plain.
//!
//! `sekisho run` uses the sink as the next hop of its demo domain, and `tests/` uses both ends, so
//! they are a library; the program of the same name is a thin shell around it.
//!
//! What it does **not** do: authentication. Bounds: in the header of each module; lines and
//! messages of client and sink: 1 MiB and 2 GiB (`wire`).

/// Of this program, and the commit that it is built from.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SEKISHO_COMMIT"), ")");

pub mod capacity;
pub mod client;
pub mod conservation;
pub mod engine;
pub mod hostile;
pub mod mix;
pub mod ramp;
pub mod random;
pub mod report;
pub mod send;
pub mod sink;
pub mod store;
pub mod traffic;
pub mod wire;

/// The header field by which a mail is followed from the client to the sink. One value, one mail.
pub const ENVELOPE_ID_FIELD: &str = "X-Envelope-Id";
