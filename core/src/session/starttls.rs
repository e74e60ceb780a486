//! STARTTLS, RFC 3207.

use super::error::SessionError;
use super::input::Input;
use super::step::Step;
use super::{Phase, Session};

impl Session {
    /// Handles STARTTLS. Plaintext behind it in the same packet was written by nobody knows whom and
    /// is thrown away, or it would be executed as if it had come encrypted (CVE-2011-0411).
    pub(super) fn starttls(&mut self, argument: &str, input: &mut Input) -> Option<Step> {
        if self.client.tls.is_some() {
            return self.fail(SessionError::TlsActive);
        }
        if !self.config.capabilities.starttls {
            return self.fail(SessionError::NotImplemented);
        }
        if !argument.is_empty() {
            return self.fail(SessionError::Argument);
        }
        self.plaintext_dropped |= !input.pending().is_empty();
        input.clear();
        self.reset_transaction();
        self.output.extend_from_slice(b"220 2.0.0 Ready to start TLS\r\n");
        self.phase = Phase::Handshake;
        None
    }

    /// The handshake after `Step::StartTls` is done; `description` is protocol version and cipher
    /// suite. Everything that was said before is forgotten (RFC 3207 section 4.2).
    ///
    /// # Panics
    /// If no handshake was asked for: the driver's defect.
    pub fn tls_done(&mut self, description: &str) {
        assert!(self.phase == Phase::Handshake, "tls_done without Step::StartTls");
        self.client.tls = Some(description.into());
        self.client.helo = "".into();
        self.client.esmtp = false;
        self.phase = Phase::Greeted;
    }

    /// Whether octets followed STARTTLS in the clear: worth an event in the log.
    #[must_use]
    pub fn plaintext_dropped(&self) -> bool {
        self.plaintext_dropped
    }
}
