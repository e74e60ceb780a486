//! TLS of the sink: a certificate from files, or one made at start that nobody has to trust.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

/// Name in the certificate that is made at start.
const HOST: &str = "localhost";

/// A server's configuration with the certificate and key of two PEM files.
///
/// # Errors
/// A file cannot be read or is no PEM; the key is not that of the certificate.
pub fn from_files(certificate: &Path, key: &Path) -> io::Result<Arc<ServerConfig>> {
    let named = |path: &Path, error: rustls::pki_types::pem::Error| {
        io::Error::other(format!("{}: {error}", path.display()))
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .map_err(|error| named(certificate, error))?
        .collect();
    let chain = chain.map_err(|error| named(certificate, error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| named(key, error))?;
    configuration(chain, key)
}

/// A server's configuration with a new certificate for `localhost` that it signed itself.
///
/// # Errors
/// There is no randomness for a key.
pub fn self_signed() -> io::Result<Arc<ServerConfig>> {
    let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).map_err(io::Error::other)?;
    let key =
        PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
    configuration(vec![made.cert.der().clone()], key)
}

fn configuration(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> io::Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map(Arc::new)
        .map_err(io::Error::other)
}

/// The keys of one connection.
pub(super) struct Tls(ServerConnection);

impl Tls {
    pub(super) fn new(config: Arc<ServerConfig>) -> Option<Box<Self>> {
        ServerConnection::new(config).ok().map(|connection| Box::new(Self(connection)))
    }

    /// Deciphers what was read, to the end of `plain`.
    ///
    /// # Errors
    /// It is not what a TLS client says.
    pub(super) fn receive(&mut self, mut cipher: &[u8], plain: &mut Vec<u8>) -> io::Result<()> {
        while !cipher.is_empty() {
            self.0.read_tls(&mut cipher)?;
            let state = self.0.process_new_packets().map_err(io::Error::other)?;
            let start = plain.len();
            let bytes = state.plaintext_bytes_to_read();
            plain.resize(start + bytes, 0);
            self.0.reader().read_exact(plain.get_mut(start..).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Says farewell with the next [`Tls::send`], so that the peer knows nothing was cut off.
    pub(super) fn close(&mut self) {
        self.0.send_close_notify();
    }

    /// Enciphers `plain`, to the end of `cipher`; what the handshake has to say goes along.
    ///
    /// # Errors
    /// None that a vector gives.
    pub(super) fn send(&mut self, plain: &[u8], cipher: &mut Vec<u8>) -> io::Result<()> {
        self.0.writer().write_all(plain)?;
        while self.0.wants_write() {
            self.0.write_tls(cipher)?;
        }
        Ok(())
    }
}
