//! ARC sealing (RFC 8617 section 5.1): who changes a mail says what he saw before, and signs it.
//!
//! Keys and hashes are mail-auth's and ring's; what is hashed is written here. mail-auth's own sealer reads the system's
//! clock, wants the body in memory, and signs a chain that has failed as if it had not (decision 0105). No clock, no I/O but
//! the pieces of the mail; runs on the side threads.

use mail_auth::common::crypto::{Algorithm, Ed25519Key, RsaKey, Sha256, SigningKey as _};
use mail_auth::common::headers::{Writable, Writer};
use mail_auth::dkim::Canonicalization;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::AuthResult;
use super::octets::{self, Front};
use crate::content::Content;

/// Sets that a chain may have. RFC 8617 section 4.2.1.
const SETS_MAX: u32 = 50;
/// Instances of header fields that are signed: a sender chooses how many there are.
const FIELDS_MAX: usize = 100;
/// Octets of names on one line of a field.
const NAMES_LINE_BYTES: usize = 60;

/// Fields that are signed, all that there are (RFC 6376 section 5.4.1). Those with `true` are named once more than there
/// are, so that nobody can add one.
const SIGNED: &[(&str, bool)] = &[
    ("from", true),
    ("sender", false),
    ("reply-to", true),
    ("to", true),
    ("cc", true),
    ("subject", true),
    ("date", true),
    ("message-id", true),
    ("in-reply-to", false),
    ("references", false),
    ("mime-version", false),
    ("content-type", true),
    ("content-transfer-encoding", false),
    ("list-id", false),
    ("list-unsubscribe", false),
    ("list-unsubscribe-post", false),
    ("dkim-signature", false),
];

/// Who seals.
pub struct Sealer {
    key: Key,
    domain: Box<str>,
    selector: Box<str>,
}

enum Key {
    Rsa(RsaKey<Sha256>),
    Ed25519(Ed25519Key),
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key: _, domain, selector } = self;
        write!(f, "Sealer {{ {selector}._domainkey.{domain} }}")
    }
}

/// What a seal says.
#[derive(Clone, Debug)]
pub struct Sealing {
    /// Our authserv-id and results, as in Authentication-Results.
    pub results: String,
    /// What became of the chain that came with the mail.
    pub chain: AuthResult,
    /// Seconds since 1970.
    pub now: u64,
}

/// Why a mail is not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealed {
    /// RFC 8617 section 5.1.2: nobody seals after that.
    #[error("the chain was sealed as failed already")]
    Ended,
    /// It has `SETS_MAX` sets.
    #[error("the chain is full")]
    Full,
    /// The DNS did not answer about it: neither "pass" nor "fail" would be true, and a seal is for ever.
    #[error("the chain is not known to hold")]
    Unknown,
    /// Sets that cannot be counted, no header section that ends, a file that cannot be read.
    #[error("the message cannot be read")]
    Unreadable,
    /// No thread in time.
    #[error("no time")]
    Late,
    /// The key signs nothing.
    #[error("the key cannot sign")]
    Key,
}

impl Sealer {
    /// Reads a private key: PEM, RSA (PKCS #1 or #8, from 1024 bits on) or Ed25519 (PKCS #8).
    ///
    /// # Errors
    /// What is wrong with it; the operator is at fault.
    pub fn from_pem(pem: &[u8], domain: &str, selector: &str) -> Result<Self, String> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
        let ed25519 = match &der {
            PrivateKeyDer::Pkcs8(der) => {
                Ed25519Key::from_pkcs8_maybe_unchecked_der(der.secret_pkcs8_der()).ok()
            }
            _ => None,
        };
        let key = match ed25519 {
            Some(key) => Key::Ed25519(key),
            None => Key::Rsa(RsaKey::from_key_der(der).map_err(|error| error.to_string())?),
        };
        Ok(Self { key, domain: domain.into(), selector: selector.into() })
    }

    /// The TXT record that belongs to the key (RFC 6376 section 3.6.1, RFC 8463): its name and its value.
    #[must_use]
    pub fn record(&self) -> (String, String) {
        let (kind, public) = match &self.key {
            Key::Rsa(key) => ("rsa", key.public_key()),
            Key::Ed25519(key) => ("ed25519", key.public_key()),
        };
        // A verifier takes the bare RSAPublicKey of PKCS #1 as well as the one in a SubjectPublicKeyInfo; the RFC's
        // example and most verifiers want the latter.
        let public = match &self.key {
            Key::Rsa(_) => subject_public_key(&public),
            Key::Ed25519(_) => public,
        };
        let name = format!("{}._domainkey.{}", self.selector, self.domain);
        (name, format!("v=DKIM1; k={kind}; p={}", base64(&public)))
    }

    /// The three fields of our set, to stand before `content`, which is the mail as it goes on.
    ///
    /// # Errors
    /// [`Unsealed`].
    pub fn seal(&self, content: &Content, sealing: &Sealing) -> Result<Vec<u8>, Unsealed> {
        self.seal_fields(content, sealing, SIGNED)
    }

    /// The same with other fields signed: names in lower case, and whether nobody may add one.
    ///
    /// # Errors
    /// [`Unsealed`].
    pub fn seal_fields(
        &self,
        content: &Content,
        sealing: &Sealing,
        names: &[(&str, bool)],
    ) -> Result<Vec<u8>, Unsealed> {
        let front = octets::front(content).ok_or(Unsealed::Unreadable)?;
        let header = header_section(&front);
        let fields = Fields::read(header);
        let instance = fields.next_instance(sealing.chain)?;
        let hash = octets::hash_with::<Sha256>(content, header.len(), Canonicalization::Relaxed)
            .ok_or(Unsealed::Unreadable)?;
        let results = format!("i={instance}; {}", sealing.results.trim());
        let tail =
            [format!("i={instance}"), format!("s={}", self.selector), format!("t={}", sealing.now)];
        let message = self.message_signature(&fields.named(names), &hash, &tail)?;
        let validation = match (instance, sealing.chain) {
            (1, _) => "none",
            (_, AuthResult::Pass) => "pass",
            _ => "fail",
        };
        let mut input = Vec::new();
        // A chain that failed is signed as if ours were its only set (RFC 8617 section 5.1.2): what cannot be put into order
        // cannot be signed in order.
        if validation == "pass" {
            fields.chain(&mut input);
        }
        relaxed(&mut input, RESULTS, results.as_bytes());
        input.extend_from_slice(b"\r\n");
        relaxed(&mut input, MESSAGE, message.as_bytes());
        input.extend_from_slice(b"\r\n");
        let mut tags = vec![format!("cv={validation}"), format!("d={}", self.domain)];
        tags.extend(tail);
        let seal = self.signed(&mut input, SEAL, &tags)?;
        Ok(format!(
            "ARC-Seal: {seal}\r\nARC-Message-Signature: {message}\r\n\
             ARC-Authentication-Results: {results}\r\n"
        )
        .into_bytes())
    }

    fn message_signature(
        &self,
        named: &[(&str, Option<&[u8]>)],
        hash: &[u8],
        tail: &[String],
    ) -> Result<String, Unsealed> {
        let mut input = Vec::new();
        for (name, value) in named.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
            relaxed(&mut input, name, value);
            input.extend_from_slice(b"\r\n");
        }
        let mut list = String::new();
        for (name, _) in named {
            if !list.is_empty() {
                list.push(':');
            }
            if list.len() - list.rfind('\t').unwrap_or(0) > NAMES_LINE_BYTES {
                list.push_str("\r\n\t");
            }
            list.push_str(name);
        }
        let mut tags = vec![
            format!("bh={}", base64(hash)),
            "c=relaxed/relaxed".to_owned(),
            format!("d={}", self.domain),
            format!("h={list}"),
        ];
        tags.extend_from_slice(tail);
        self.signed(&mut input, MESSAGE, &tags)
    }

    /// The value of a field that signs `input` and itself, its tags in the order of the alphabet.
    fn signed(&self, input: &mut Vec<u8>, name: &str, tags: &[String]) -> Result<String, Unsealed> {
        // One tag a line: the blank of a fold is all that a relaxed reader sees of it.
        let value = |b: &str| {
            let first = [format!("a={}", self.algorithm()), format!("b={b}")];
            first.iter().chain(tags).map(String::as_str).collect::<Vec<_>>().join(";\r\n\t")
        };
        relaxed(input, name, value("").as_bytes());
        Ok(value(&self.sign(input)?))
    }

    /// The signature in base64, on one line: what folds it changes what the seal signs.
    fn sign(&self, input: &[u8]) -> Result<String, Unsealed> {
        let signed = match &self.key {
            Key::Rsa(key) => key.sign(Octets(input)),
            Key::Ed25519(key) => key.sign(Octets(input)),
        };
        signed.map(|signed| base64(&signed)).map_err(|_| Unsealed::Key)
    }

    /// The algorithm of its signatures.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        let algorithm = match &self.key {
            Key::Rsa(key) => key.algorithm(),
            Key::Ed25519(key) => key.algorithm(),
        };
        match algorithm {
            Algorithm::RsaSha1 => "rsa-sha1",
            Algorithm::RsaSha256 => "rsa-sha256",
            Algorithm::Ed25519Sha256 => "ed25519-sha256",
        }
    }
}

const SEAL: &str = "arc-seal";
const MESSAGE: &str = "arc-message-signature";
const RESULTS: &str = "arc-authentication-results";

fn header_section<'f>(front: &'f Front<'_>) -> &'f [u8] {
    let octets = front.octets();
    let end = memchr::memmem::find(octets, b"\r\n\r\n").map_or(octets.len(), |at| at + 4);
    octets.get(..end).unwrap_or_default()
}

/// The fields of a header section: name in lower case, value with its folds.
struct Fields<'h>(Vec<(String, &'h [u8])>);

impl<'h> Fields<'h> {
    fn read(header: &'h [u8]) -> Self {
        let mut fields = Vec::new();
        let mut rest = header;
        while !rest.is_empty() {
            let mut end = 0;
            loop {
                let line = rest.get(end..).unwrap_or_default();
                end += memchr::memchr(b'\n', line).map_or(line.len(), |at| at + 1);
                if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                    break;
                }
            }
            let (field, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            rest = after;
            if let Some(colon) = memchr::memchr(b':', field) {
                let name = field.get(..colon).unwrap_or_default().trim_ascii_end();
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                fields.push((name, field.get(colon + 1..).unwrap_or_default()));
            }
        }
        Self(fields)
    }

    /// The number of our set. RFC 8617 section 5.1, steps 1 to 3.
    fn next_instance(&self, chain: AuthResult) -> Result<u32, Unsealed> {
        let sets = self.0.iter().filter(|(name, _)| [SEAL, MESSAGE, RESULTS].contains(&&**name));
        let mut highest = 0;
        for (name, value) in sets {
            let instance = tag(value, "i").and_then(|text| text.parse::<u32>().ok());
            let instance = instance.filter(|instance| (1..=SETS_MAX).contains(instance));
            let instance = instance.ok_or(Unsealed::Unreadable)?;
            highest = highest.max(instance);
            if name == SEAL && tag(value, "cv").is_some_and(|cv| cv.eq_ignore_ascii_case("fail")) {
                return Err(Unsealed::Ended);
            }
        }
        match (highest, chain) {
            (SETS_MAX.., _) => Err(Unsealed::Full),
            (0, _) | (_, AuthResult::Pass | AuthResult::Fail) => Ok(highest + 1),
            _ => Err(Unsealed::Unknown),
        }
    }

    /// The sets that are there, first sealer first, as a seal signs them. Of a chain that holds each instance is there once.
    fn chain(&self, out: &mut Vec<u8>) {
        for instance in 1..=SETS_MAX {
            for wanted in [RESULTS, MESSAGE, SEAL] {
                let field = self.0.iter().find(|(name, value)| {
                    name == wanted && tag(value, "i").and_then(|i| i.parse().ok()) == Some(instance)
                });
                let Some((_, value)) = field else { return };
                relaxed(out, wanted, value);
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Names for `h=`, each with the field that it stands for: from the bottom up (RFC 6376 section 5.4.2). `None`: there
    /// is none, and nobody shall add one.
    fn named<'n>(&self, names: &[(&'n str, bool)]) -> Vec<(&'n str, Option<&'h [u8]>)> {
        let mut named = Vec::new();
        for (name, once_more) in names {
            let there = self.0.iter().rev().filter(|(field, _)| field == name);
            named.extend(there.map(|(_, value)| (*name, Some(*value))));
            if *once_more {
                named.push((*name, None));
            }
        }
        named.truncate(FIELDS_MAX);
        named
    }
}

/// The value of a tag in a tag list; of ARC-Authentication-Results only `i`, which comes first, is asked for.
fn tag(value: &[u8], wanted: &str) -> Option<String> {
    let text = String::from_utf8_lossy(value);
    let mut tags = text.split(';').filter_map(|tag| tag.split_once('='));
    let found = tags.find(|(name, _)| name.trim() == wanted)?;
    Some(found.1.trim().to_owned())
}

/// RFC 6376 section 3.4.2, without the line end. `name` is in lower case.
fn relaxed(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let blank = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n');
    let words = value.split(blank).filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

struct Octets<'o>(&'o [u8]);

impl Writable for Octets<'_> {
    fn write(self, writer: &mut impl Writer) {
        writer.write(self.0);
    }
}

/// RFC 4648 section 4.
fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let octet = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for place in 0..4_usize {
            let index = usize::try_from((bits >> (18 - 6 * place)) & 63).unwrap_or(0);
            let letter = ALPHABET.get(index).copied().unwrap_or(b'A');
            out.push(if place > group.len() { '=' } else { char::from(letter) });
        }
    }
    out
}

/// Any header section is read for its chain and its fields, of which there are never too many.
pub(super) fn fuzz(data: &[u8]) {
    let fields = Fields::read(data);
    let mut out = Vec::new();
    if fields.next_instance(AuthResult::Pass).is_ok() {
        fields.chain(&mut out);
    }
    assert!(fields.named(SIGNED).len() <= FIELDS_MAX);
}

/// An RSAPublicKey in a SubjectPublicKeyInfo (RFC 8017 appendix A.1, RFC 5280 section 4.1).
fn subject_public_key(key: &[u8]) -> Vec<u8> {
    const RSA_ENCRYPTION: &[u8] =
        &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let mut bits = vec![0];
    bits.extend_from_slice(key);
    let mut inner = RSA_ENCRYPTION.to_vec();
    inner.extend(der(0x03, &bits));
    der(0x30, &inner)
}

/// Tag, length and value in DER (X.690), for keys.
#[must_use]
pub fn der(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(value.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let length: Vec<u8> =
                value.len().to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
            out.push(0x80 | u8::try_from(length.len()).unwrap_or(0));
            out.extend(length);
        }
    }
    out.extend_from_slice(value);
    out
}
