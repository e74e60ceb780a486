//! The two ends of a capacity test: a client that sends mails in a closed loop, and a sink that
//! receives them. Plain threads, one for each connection: the engine under test is what is
//! measured, and a load generator must be simple enough to be above suspicion.
//!
//! `sekisho run` uses the sink as the next hop of its demo domain, and `tests/` uses both ends, so
//! they are a library; the program of the same name is a thin shell around it.
//!
//! What it does **not** do: no TLS, no authentication, no open loop (the next issues need one).
//! Bounds: a line of 1 MiB, a message of 2 GiB (`wire::MESSAGE_BYTES_MAX`), sessions as asked for.

pub mod client;
pub mod conservation;
pub mod mix;
pub mod random;
pub mod report;
pub mod send;
pub mod sink;
pub mod store;
pub mod wire;

/// The header field by which a mail is followed from the client to the sink. One value, one mail.
pub const ENVELOPE_ID_FIELD: &str = "X-Envelope-Id";
