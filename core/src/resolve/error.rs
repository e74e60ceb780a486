//! What can go wrong with a look-up. All of it is temporary: a name that does not exist today may
//! tomorrow, and mail is never bounced for somebody's DNS (decision table of the architecture, row 2).
//! What the DNS says plainly is no error but an answer: [`super::MailHosts`].

/// Why a host has no address for us now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The name has no address, or does not exist: most likely a mistake in a route.
    #[error("host has no address")]
    NoAddress,
    /// No answer in time.
    #[error("host look-up takes too long")]
    TimedOut,
    /// All threads are busy and the queue is full.
    #[error("too many host look-ups under way")]
    Busy,
    /// The resolver said no for now.
    #[error("host look-up failed")]
    Failed,
}

impl ResolveError {
    /// Whether the same look-up can never work.
    #[must_use]
    pub fn permanent(self) -> bool {
        false
    }
}
