//! The two ends of a capacity test: a client that sends mails in a closed loop, and a sink that
//! receives them; and the mails themselves, generated (`mix`) or written out as files (`traffic`).
//! The sink serves all its connections from one epoll a thread, so that it is not what is measured.
//!
//! `sekisho run` uses the sink as the next hop of its demo domain, and `tests/` uses both ends, so
//! they are a library; the program of the same name is a thin shell around it.
//!
//! What it does **not** do: no authentication.
//! Bounds: a line of 1 MiB, a message of 2 GiB (`wire::MESSAGE_BYTES_MAX`), sessions as asked for.

pub mod client;
pub mod mix;
pub mod random;
pub mod send;
pub mod sink;
pub mod store;
pub mod traffic;
pub mod wire;

/// The header field by which a mail is followed from the client to the sink. One value, one mail.
pub const ENVELOPE_ID_FIELD: &str = "X-Envelope-Id";
