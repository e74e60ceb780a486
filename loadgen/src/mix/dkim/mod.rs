//! DKIM signatures on generated mail, and the zone that has their keys.
//!
//! Signed here and not by mail-auth: its signer takes the time of day into `t=`, and then the same
//! seed would not give the same octets; and it would bring an asynchronous run-time into a load
//! generator. What is signed is only what `compose` makes, with `c=relaxed/relaxed` (RFC 6376);
//! that it verifies is shown in the tests by mail-auth, which has its own canonicalisation.
//!
//! The RSA key is a test key that everybody can read here: it signs for names under `.example` only
//! (RFC 2606), so it proves nothing about anybody. The Ed25519 key (RFC 8463) comes from the seed.

#[cfg(test)]
mod tests;

use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};

use super::text::base64;
use crate::random::Random;

const RSA_KEY: &str = include_str!("test-key.pem");
/// SubjectPublicKeyInfo of a 2048-bit RSA key with exponent 65537, up to the key itself.
const RSA_INFO: &[u8] = &[
    0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01,
    0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00,
];
/// The zone that all signing domains are in.
pub const ZONE: &str = "signed.example";
/// How many domains sign.
pub(super) const DOMAINS: usize = 16;
const SIGNED: &[&str] =
    &["from", "to", "subject", "date", "message-id", "mime-version", "content-type"];

/// Which of the two algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// Selector `rsa`.
    Rsa,
    /// Selector `ed`.
    Ed25519,
}

/// The keys of a run.
pub(super) struct Keys {
    rsa: RsaKeyPair,
    ed25519: Ed25519KeyPair,
}

impl Keys {
    /// # Errors
    /// The test key in this folder was damaged.
    pub(super) fn from_seed(seed: u64) -> Result<Self, String> {
        let lines: String = RSA_KEY.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64_simd::STANDARD
            .decode_to_vec(lines)
            .map_err(|error| format!("test-key.pem: {error}"))?;
        let rsa = RsaKeyPair::from_pkcs8(&der).map_err(|error| format!("test-key.pem: {error}"))?;
        let mut random = Random::new(seed ^ 0x6564_3235_3531_3973);
        let secret: Vec<u8> = (0..4).flat_map(|_| random.bits().to_le_bytes()).collect();
        let ed25519 = Ed25519KeyPair::from_seed_unchecked(&secret)
            .map_err(|error| format!("ed25519 seed of 32 octets: {error}"))?;
        Ok(Self { rsa, ed25519 })
    }

    /// `mail` with a signature field of `domain` in front.
    ///
    /// # Errors
    /// The key does not sign.
    pub(super) fn sign(
        &self,
        algorithm: Algorithm,
        domain: &str,
        mail: &[u8],
    ) -> Result<Vec<u8>, String> {
        let text = String::from_utf8_lossy(mail);
        let (header, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let body_hash = base64(digest(&SHA256, relaxed_body(body).as_bytes()).as_ref());
        let (name, selector) = match algorithm {
            Algorithm::Rsa => ("rsa-sha256", "rsa"),
            Algorithm::Ed25519 => ("ed25519-sha256", "ed"),
        };
        let field = format!(
            "DKIM-Signature: v=1; a={name}; c=relaxed/relaxed; d={domain}; s={selector};\r\n\
             \th={};\r\n\tbh={body_hash};\r\n\tb=",
            SIGNED.join(":")
        );
        let mut signed = String::new();
        let fields = fields(header);
        for wanted in SIGNED {
            let found = fields.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            if let Some((name, value)) = found {
                signed.push_str(&relaxed_field(name, value));
                signed.push_str("\r\n");
            }
        }
        let (own_name, own_value) = field.split_once(':').unwrap_or((&field, ""));
        signed.push_str(&relaxed_field(own_name, own_value));
        let signature = match algorithm {
            Algorithm::Rsa => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                self.rsa
                    .sign(
                        &RSA_PKCS1_SHA256,
                        &SystemRandom::new(),
                        signed.as_bytes(),
                        &mut signature,
                    )
                    .map_err(|error| format!("rsa signature: {error}"))?;
                signature
            }
            Algorithm::Ed25519 => {
                let hash = digest(&SHA256, signed.as_bytes());
                self.ed25519.sign(hash.as_ref()).as_ref().to_vec()
            }
        };
        let folded = fold(&base64(&signature));
        Ok([field.as_bytes(), folded.as_bytes(), b"\r\n", mail].concat())
    }

    /// Records of both selectors, without their quotes.
    fn records(&self) -> [(&'static str, String); 2] {
        let rsa = [RSA_INFO, self.rsa.public_key().as_ref()].concat();
        [
            ("rsa", format!("v=DKIM1; k=rsa; p={}", base64(&rsa))),
            ("ed", format!("v=DKIM1; k=ed25519; p={}", base64(self.ed25519.public_key().as_ref()))),
        ]
    }

    /// The zone as a master file (RFC 1035 section 5): keys, SPF and DMARC of each signing domain.
    /// Every client of loopback may send for them.
    pub(super) fn zone(&self) -> String {
        let mut zone = format!(
            "$ORIGIN {ZONE}.\n$TTL 300\n@ IN SOA ns hostmaster 1 3600 900 604800 300\n@ IN NS ns\n\
             ns IN A 127.0.0.1\n"
        );
        for index in 0..DOMAINS {
            let label = label(index);
            zone.push_str(&format!(
                "{label} IN MX 10 ns\n{label} IN TXT \"v=spf1 ip4:127.0.0.0/8 ip6:::1 -all\"\n\
                 _dmarc.{label} IN TXT \"v=DMARC1; p=reject\"\n"
            ));
            for (selector, record) in self.records() {
                zone.push_str(&format!("{selector}._domainkey.{label} IN TXT"));
                // A string of a TXT record has 255 octets at most.
                for part in record.as_bytes().chunks(250) {
                    zone.push_str(&format!(" \"{}\"", String::from_utf8_lossy(part)));
                }
                zone.push('\n');
            }
        }
        zone
    }
}

fn label(index: usize) -> String {
    format!("d{}", index % DOMAINS)
}

/// The `index`-th signing domain.
pub(super) fn domain(index: usize) -> String {
    format!("{}.{ZONE}", label(index))
}

/// Names and values of a header section, folding kept.
fn fields(header: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in header.split("\r\n") {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push_str("\r\n");
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.to_owned(), value.to_owned()));
        }
    }
    fields
}

fn squeezed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut gap = false;
    for c in text.chars() {
        if c == ' ' || c == '\t' {
            gap = true;
            continue;
        }
        if gap {
            out.push(' ');
            gap = false;
        }
        out.push(c);
    }
    out
}

/// RFC 6376 section 3.4.2.
fn relaxed_field(name: &str, value: &str) -> String {
    let value = value.replace("\r\n", "");
    format!("{}:{}", name.trim_end().to_ascii_lowercase(), squeezed(&value).trim_start())
}

/// RFC 6376 section 3.4.4.
fn relaxed_body(body: &str) -> String {
    let mut lines: Vec<String> = body.split("\r\n").map(squeezed).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

fn fold(value: &str) -> String {
    let parts: Vec<&str> = value
        .as_bytes()
        .chunks(72)
        .map(|part| std::str::from_utf8(part).unwrap_or_default())
        .collect();
    parts.join("\r\n\t")
}
