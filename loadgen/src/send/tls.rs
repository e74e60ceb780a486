//! TLS of a session: octets in, octets out. The socket is the ring's.
//!
//! The certificate is **not** verified: a load goes to loopback, to a server that made its own.
//! The handshake's signature is checked. Sessions are never resumed, because the clients that a
//! load stands for are strangers to the server.

use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

/// What all sessions share.
pub(super) fn config() -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = AnyCertificate::new(&provider);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// One TLS connection.
pub(super) struct Tls {
    connection: Box<ClientConnection>,
}

impl Tls {
    pub(super) fn new(config: &Arc<ClientConfig>, server: IpAddr) -> io::Result<Self> {
        let name = ServerName::IpAddress(server.into());
        let mut connection =
            ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        // A content is encrypted in one go; its own size bounds it.
        connection.set_buffer_limit(None);
        Ok(Self { connection: Box::new(connection) })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub(super) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Octets of the network in, text at the end of `plain`.
    pub(super) fn receive(&mut self, mut octets: &[u8], plain: &mut Vec<u8>) -> io::Result<()> {
        while !octets.is_empty() {
            self.connection.read_tls(&mut octets)?;
            self.connection.process_new_packets().map_err(io::Error::other)?;
            match self.connection.reader().read_to_end(plain) {
                // No more for now is an error of this reader.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Encrypts `plain`, and whatever the handshake still has to say, into `outbox`.
    pub(super) fn send(&mut self, plain: &[u8], outbox: &mut Vec<u8>) -> io::Result<()> {
        self.connection.writer().write_all(plain)?;
        while self.connection.wants_write() {
            self.connection.write_tls(outbox)?;
        }
        Ok(())
    }
}

/// A verifier that asks no certificate who it belongs to.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyCertificate {
    fn new(provider: &Arc<CryptoProvider>) -> Self {
        Self { algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
