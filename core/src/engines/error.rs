//! Why a scanner gave no answer.

use std::io;

/// Our own fault as far as the sender is concerned: temporary, whatever it is.
#[derive(Debug, thiserror::Error)]
pub enum ScannerError {
    /// Nobody listens there.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// It was too slow, or no connection became free.
    #[error("no answer in time")]
    Late,
    /// It closed the connection in the middle.
    #[error("closed the connection: {0}")]
    Closed(io::Error),
    /// What it sent is not its protocol, or too much.
    #[error("does not speak its protocol: {0}")]
    Protocol(Box<str>),
    /// It says that it cannot.
    #[error("refused: {0}")]
    Refused(Box<str>),
    /// The octets of the mail cannot be read.
    #[error("the mail cannot be read: {0}")]
    Content(io::Error),
    /// Its queue is full.
    #[error("more mails wait for it than its queue takes")]
    QueueFull,
    /// It failed too often and is left alone for some seconds.
    #[error("left alone after repeated failures")]
    Resting,
    /// Its threads have ended.
    #[error("its threads have ended")]
    Ended,
}

impl ScannerError {
    pub(super) fn protocol(text: impl Into<Box<str>>) -> Self {
        Self::Protocol(text.into())
    }

    /// What a failed read or write on the connection means.
    pub(super) fn of_wire(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Late,
            _ => Self::Closed(error),
        }
    }
}
