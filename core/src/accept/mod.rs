//! accept: listeners of a shard, admission by address and rate, TLS; hands over a byte stream.
//!
//! It does not speak SMTP: whoever is not admitted gets a `421` line from the shard's driver, and
//! nothing else is said here. Nothing of a peer is parsed here.
//!
//! Who is not known waits for the greeting ([`remembered`]).
//!
//! Memory per shard: the shared read buffer (64 KiB) and rustls' state of each encrypted session.
//! Faults it survives: running out of descriptors (accepting pauses), a broken handshake, a bad
//! certificate file (the old one stays).

pub mod admission;
pub mod remembered;
pub mod stream;
pub mod tls;
