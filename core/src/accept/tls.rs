//! Certificates and the TLS configuration of the listeners: rustls with an explicit provider.
//!
//! The configuration is replaced as a whole (`Certificates::reload`); sessions that are under way
//! keep the one they began with. An unreadable certificate never replaces a good one.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::clock::UnixMillis;

/// What can go wrong with certificates. The operator is at fault; the old ones stay in force.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read or holds nothing of the kind.
    #[error("{path}: {what}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What was looked for in it.
        what: &'static str,
        /// What the reader said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Certificate and key do not belong together, or are of a kind that rustls does not take.
    #[error("{certificate} and {key}: {source}")]
    Pair {
        /// Certificate file.
        certificate: PathBuf,
        /// Key file.
        key: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
}

/// The certificate in force.
#[derive(Debug)]
pub struct Identity {
    /// For the TLS acceptor.
    pub config: Arc<ServerConfig>,
    /// End of the first certificate of the chain.
    pub not_after: UnixMillis,
}

/// The certificate of the box, replaceable while sessions run.
#[derive(Debug)]
pub struct Certificates {
    current: ArcSwap<Identity>,
}

impl Certificates {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self { current: ArcSwap::from_pointee(read(certificate, key)?) })
    }

    /// The certificate in force.
    #[must_use]
    pub fn current(&self) -> Arc<Identity> {
        self.current.load_full()
    }

    /// Reads both files again and takes them into force.
    ///
    /// # Errors
    /// [`TlsError`]; the old certificate stays in force.
    pub fn reload(&self, certificate: &Path, key: &Path) -> Result<(), TlsError> {
        self.current.store(Arc::new(read(certificate, key)?));
        Ok(())
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
    let file = |path: &Path, what, source: Box<dyn std::error::Error + Send + Sync>| {
        TlsError::File { path: path.to_owned(), what, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| file(certificate, "certificate chain", source.into()))?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|source| file(key, "private key", source.into()))?;
    let Some(first) = chain.first() else {
        return Err(file(certificate, "certificate chain", "no certificate in it".into()));
    };
    let not_after = match x509_parser::parse_x509_certificate(first) {
        Ok((_, parsed)) => parsed.validity().not_after.timestamp(),
        Err(source) => return Err(file(certificate, "certificate", source.into())),
    };
    let pair = |source| TlsError::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    };
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    let not_after = UnixMillis(u64::try_from(not_after).unwrap_or(0).saturating_mul(1000));
    Ok(Identity { config: Arc::new(config), not_after })
}

/// Writes a self-signed certificate for `host` where there is none yet: first start.
///
/// # Errors
/// [`TlsError::File`] when it cannot be made or written.
pub fn ensure_self_signed(host: &str, certificate: &Path, key: &Path) -> Result<(), TlsError> {
    if certificate.exists() || key.exists() {
        return Ok(());
    }
    let failed = |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| TlsError::File {
        path: path.to_owned(),
        what: "self-signed certificate",
        source,
    };
    let (pem, private) = self_signed(host).map_err(|source| failed(certificate, source.into()))?;
    write_private(key, &private).map_err(|source| failed(key, source.into()))?;
    write_private(certificate, &pem).map_err(|source| failed(certificate, source.into()))
}

/// Certificate and key, PEM. The subject names the host too: it is what a peer's log shows.
fn self_signed(host: &str) -> Result<(String, String), rcgen::Error> {
    let signing_key = rcgen::KeyPair::generate()?;
    let mut wanted = rcgen::CertificateParams::new([host.to_owned()])?;
    wanted.distinguished_name = rcgen::DistinguishedName::new();
    wanted.distinguished_name.push(rcgen::DnType::CommonName, host);
    let certificate = wanted.self_signed(&signing_key)?;
    Ok((certificate.pem(), signing_key.serialize_pem()))
}

/// A secret is readable for its owner only from its first moment on.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_start_makes_a_certificate_and_later_ones_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("s/cert.pem"), dir.path().join("s/key.pem"));
        ensure_self_signed("mx.example.com", &certificate, &key).unwrap();
        let first = std::fs::metadata(&certificate).unwrap().modified().unwrap();
        ensure_self_signed("mx.example.com", &certificate, &key).unwrap();
        assert_eq!(std::fs::metadata(&certificate).unwrap().modified().unwrap(), first);
        let loaded = Certificates::load(&certificate, &key).unwrap();
        assert!(loaded.current().not_after.0 > 1_700_000_000_000);
        let chain = CertificateDer::from_pem_file(&certificate).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&chain).unwrap();
        assert_eq!(parsed.subject().to_string(), "CN=mx.example.com");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test may block")]
    fn an_unreadable_certificate_is_named_and_the_old_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        ensure_self_signed("mx.example.com", &certificate, &key).unwrap();
        let loaded = Certificates::load(&certificate, &key).unwrap();
        let before = loaded.current();
        std::fs::write(&certificate, "garbage").unwrap();
        let error = loaded.reload(&certificate, &key).unwrap_err().to_string();
        assert!(error.contains("cert.pem"), "{error}");
        assert!(Arc::ptr_eq(&before, &loaded.current()));
    }
}
