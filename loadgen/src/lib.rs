//! The two ends of a capacity test: a sender (closed loop, or open loop by the clock) and a sink
//! that receives. The sender is event-driven, a ring for each of its threads (`send`); the sink and
//! the small client for single mails are plain threads.
//!
//! `sekisho run` uses the sink as the next hop of its demo domain, and `tests/` uses both ends, so
//! they are a library; the program of the same name is a thin shell around it.
//!
//! What it does **not** do: authentication. Bounds: in the header of each module; lines and
//! messages of client and sink: 1 MiB and 2 GiB (`wire`).

pub mod client;
pub mod conservation;
pub mod mix;
pub mod ramp;
pub mod random;
pub mod report;
pub mod send;
pub mod sink;
pub mod store;
pub mod wire;

/// The header field by which a mail is followed from the client to the sink. One value, one mail.
pub const ENVELOPE_ID_FIELD: &str = "X-Envelope-Id";
