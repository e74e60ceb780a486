//! Encrypted Office documents (MS-OFFCRYPTO): an OOXML package inside of a compound file, opened where
//! the mail itself says the password.
//!
//! Agile (section 2.3.4.10) and standard encryption (section 2.3.4.5) with AES. Trying a password
//! costs what the document asks for (its spin count), and is paid from the message's budget of work.

use md5::Md5;
use memchr::memmem;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::compound::{Compound, word};
use crate::message::ExceptionKind;
use crate::scan::active::xml;
use crate::scan::archive::{Budget, Member};
use crate::scan::cipher::{BLOCK_BYTES, aes_undone as decrypt};

/// Excel opens what has this password without a question: it hides from scanners, not from readers.
pub(super) const STANDING: &str = "VelvetSweatshop";
const SEGMENT_BYTES: usize = 4096;
const SPINS_OF_STANDARD: u64 = 50_000;

/// Keys for the uses of a password. MS-OFFCRYPTO section 2.3.4.13.
const FOR_INPUT: [u8; 8] = [0xFE, 0xA7, 0xD2, 0x76, 0x3B, 0x4B, 0x9E, 0x79];
const FOR_VALUE: [u8; 8] = [0xD7, 0xAA, 0x0F, 0x6D, 0x30, 0x61, 0x34, 0x4E];
const FOR_KEY: [u8; 8] = [0x14, 0x6E, 0x0B, 0xE7, 0xAB, 0xAC, 0xD0, 0xD6];

/// The package behind the password, if the mail or Excel knows it.
pub(super) fn members(file: &Compound<'_>, place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let stream = |path: &str, bytes| file.find(path).map(|entry| file.stream(entry, bytes));
    let info = stream("EncryptionInfo", 64 * 1024).unwrap_or_default();
    let scheme = Scheme::read(&info);
    let Some(scheme) = scheme else {
        budget.note(ExceptionKind::Encrypted, place, "password-protected");
        return Vec::new();
    };
    let key = |password: &str| scheme.key(password);
    let opened = first_that_fits(scheme.cost(), Some(STANDING), budget, key);
    let Some((password, key)) = opened else {
        budget.note(ExceptionKind::Encrypted, place, "password-protected");
        return Vec::new();
    };
    say(&password, place, budget);
    let package = stream("EncryptedPackage", super::STREAM_BYTES_MAX).unwrap_or_default();
    let Some(plain) = scheme.package(&key, &package).filter(|_| budget.admits_member(place)) else {
        return Vec::new();
    };
    let mut source = plain.as_slice();
    let (octets, _) = budget.read(&mut source, package.len() as u64, place);
    vec![Member::new(b"package".to_vec(), octets)]
}

/// Says with what a document was opened.
pub(super) fn say(password: &str, place: &str, budget: &mut Budget<'_>) {
    if password == STANDING {
        budget.note(ExceptionKind::Encrypted, place, "encrypted with Excel's own password");
    } else {
        budget.note(ExceptionKind::Opened, place, "opened with a password of the mail");
    }
}

/// The first password that fits, and the key that it gives; first of all the one that everybody knows.
pub(in crate::scan) fn first_that_fits<K>(
    cost: u64,
    standing: Option<&str>,
    budget: &mut Budget<'_>,
    key: impl Fn(&str) -> Option<K>,
) -> Option<(std::rc::Rc<str>, K)> {
    if let Some(standing) = standing
        && budget.passwords.pay(cost)
        && let Some(key) = key(standing)
    {
        return Some((standing.into(), key));
    }
    let mut number = 0;
    while let Some(password) = budget.passwords.candidate(number, cost) {
        number += 1;
        if let Some(key) = key(&password) {
            budget.passwords.fits(&password);
            return Some((password, key));
        }
    }
    None
}

/// Fuzz entry: the information about the encryption, up to a line of its own, then the package. Number of members.
pub(super) fn fuzz(data: &[u8], place: &str, budget: &mut Budget<'_>) -> usize {
    const BETWEEN: &[u8] = b"\n--\n";
    let at = memmem::find(data, BETWEEN).unwrap_or(data.len());
    let (info, package) = data.split_at_checked(at).unwrap_or((data, &[]));
    let package = package.get(BETWEEN.len()..).unwrap_or_default();
    let Some(scheme) = Scheme::read(info) else { return 0 };
    // What a try costs is the document's to say, and ours to refuse.
    if scheme.cost() <= 200 || budget.passwords.pay(scheme.cost() * 40) {
        let _ = scheme.key("secret");
    }
    let plain = scheme.package(&[7; 16], package).filter(|_| budget.admits_member(place));
    assert!(plain.as_ref().is_none_or(|plain| plain.len() <= package.len()), "more than there was");
    1 + usize::from(plain.is_some())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().replace('-', "").as_str() {
            "MD5" => Self::Md5,
            "SHA1" => Self::Sha1,
            "SHA256" => Self::Sha256,
            "SHA384" => Self::Sha384,
            "SHA512" => Self::Sha512,
            _ => return None,
        })
    }

    fn of(self, one: &[u8], two: &[u8]) -> Vec<u8> {
        fn digest<D: Digest>(one: &[u8], two: &[u8]) -> Vec<u8> {
            D::new().chain_update(one).chain_update(two).finalize().to_vec()
        }
        match self {
            Self::Md5 => digest::<Md5>(one, two),
            Self::Sha1 => digest::<Sha1>(one, two),
            Self::Sha256 => digest::<Sha256>(one, two),
            Self::Sha384 => digest::<Sha384>(one, two),
            Self::Sha512 => digest::<Sha512>(one, two),
        }
    }

    /// The password, hashed `spins` times over. Each step has a number.
    fn spun(self, salt: &[u8], password: &str, spins: u32) -> Vec<u8> {
        let wide: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut hash = self.of(salt, &wide);
        for number in 0..spins {
            hash = self.of(&number.to_le_bytes(), &hash);
        }
        hash
    }
}

/// How a document is encrypted.
enum Scheme {
    Standard { salt: Vec<u8>, key_bytes: usize, input: Vec<u8>, value: Vec<u8> },
    Agile(Box<Agile>),
}

struct Agile {
    hash: Hash,
    spins: u32,
    key_bytes: usize,
    salt: Vec<u8>,
    input: Vec<u8>,
    value: Vec<u8>,
    key: Vec<u8>,
    data_hash: Hash,
    data_salt: Vec<u8>,
}

impl Scheme {
    fn read(info: &[u8]) -> Option<Self> {
        let version = word(info, 0)?;
        if version == 0x0004_0004 {
            return Agile::read(info.get(8..)?).map(|agile| Self::Agile(Box::new(agile)));
        }
        if version >> 16 != 2 {
            return None;
        }
        let head = usize::try_from(word(info, 8)?).ok()?;
        let bits = word(info, 12 + 16)?;
        // 0x660E to 0x6610: AES. RC4 is not opened.
        if !matches!(word(info, 12 + 8)?, 0x660E..=0x6610) {
            return None;
        }
        let verifier = info.get(12_usize.checked_add(head)?..)?;
        Some(Self::Standard {
            salt: verifier.get(4..20)?.to_vec(),
            key_bytes: key_bytes(bits)?,
            input: verifier.get(20..36)?.to_vec(),
            value: verifier.get(40..72)?.to_vec(),
        })
    }

    /// Hashes of one try, roughly, in blocks of SHA-1.
    fn cost(&self) -> u64 {
        match self {
            Self::Standard { .. } => SPINS_OF_STANDARD,
            Self::Agile(agile) => match agile.hash {
                Hash::Md5 | Hash::Sha1 | Hash::Sha256 => u64::from(agile.spins),
                Hash::Sha384 | Hash::Sha512 => u64::from(agile.spins) * 3,
            },
        }
    }

    /// The key of the package, if this is the password.
    fn key(&self, password: &str) -> Option<Vec<u8>> {
        match self {
            Self::Standard { salt, key_bytes, input, value } => {
                let spun = Hash::Sha1.spun(salt, password, 50_000);
                let hash = Hash::Sha1.of(&spun, &[0; 4]);
                let derived = |fill: u8| {
                    let mut pad = [fill; 64];
                    pad.iter_mut().zip(&hash).for_each(|(octet, other)| *octet ^= other);
                    Hash::Sha1.of(&pad, &[])
                };
                let key = [derived(0x36), derived(0x5C)].concat().get(..*key_bytes)?.to_vec();
                let input = decrypt(&key, None, input)?;
                let value = decrypt(&key, None, value)?;
                (value.get(..20)? == Hash::Sha1.of(&input, &[])).then_some(key)
            }
            Self::Agile(agile) => agile.key(password),
        }
    }

    /// The octets behind the length in front.
    fn package(&self, key: &[u8], package: &[u8]) -> Option<Vec<u8>> {
        let bytes = usize::try_from(word(package, 0)?).ok()?;
        let data = package.get(8..)?;
        let whole = data.get(..data.len() / BLOCK_BYTES * BLOCK_BYTES)?;
        let mut out = match self {
            Self::Standard { .. } => decrypt(key, None, whole)?,
            Self::Agile(agile) => {
                let mut out = Vec::with_capacity(whole.len());
                for (number, segment) in (0_u32..).zip(whole.chunks(SEGMENT_BYTES)) {
                    let iv = agile.data_hash.of(&agile.data_salt, &number.to_le_bytes());
                    out.append(&mut decrypt(key, Some(&iv), segment)?);
                }
                out
            }
        };
        out.truncate(bytes);
        Some(out)
    }
}

impl Agile {
    fn read(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let (mut data, mut key) = (None, None);
        for tag in xml::tags(&text) {
            match tag.name {
                "keyData" => data = Some(tag),
                "encryptedKey" => key = Some(tag),
                _ => {}
            }
        }
        let (data, key) = (data?, key?);
        let octets = |tag: &xml::Tag<'_>, name| {
            base64_simd::STANDARD.decode_to_vec(tag.attribute(name)?.as_bytes()).ok()
        };
        let cipher = data.attribute("cipherAlgorithm")?;
        if &*cipher != "AES"
            || memmem::find(data.attribute("cipherChaining")?.as_bytes(), b"CBC").is_none()
        {
            return None;
        }
        Some(Self {
            hash: Hash::named(&key.attribute("hashAlgorithm")?)?,
            spins: key.attribute("spinCount")?.parse().ok()?,
            key_bytes: key_bytes(key.attribute("keyBits")?.parse().ok()?)?,
            salt: octets(&key, "saltValue")?,
            input: octets(&key, "encryptedVerifierHashInput")?,
            value: octets(&key, "encryptedVerifierHashValue")?,
            key: octets(&key, "encryptedKeyValue")?,
            data_hash: Hash::named(&data.attribute("hashAlgorithm")?)?,
            data_salt: octets(&data, "saltValue")?,
        })
    }

    fn key(&self, password: &str) -> Option<Vec<u8>> {
        let spun = self.hash.spun(&self.salt, password, self.spins);
        let undo = |purpose: &[u8], data: &[u8]| {
            let mut key = self.hash.of(&spun, purpose);
            key.resize(self.key_bytes, 0x36);
            decrypt(&key, Some(&self.salt), data)
        };
        let input = undo(&FOR_INPUT, &self.input)?;
        let value = undo(&FOR_VALUE, &self.value)?;
        let wanted = self.hash.of(input.get(..self.salt.len())?, &[]);
        if value.get(..wanted.len())? != wanted {
            return None;
        }
        undo(&FOR_KEY, &self.key)?.get(..self.key_bytes).map(<[u8]>::to_vec)
    }
}

/// Octets of a key of AES. Any other number is the sender's, and memory would be made for it.
fn key_bytes(bits: u32) -> Option<usize> {
    match bits {
        128 => Some(16),
        192 => Some(24),
        256 => Some(32),
        _ => None,
    }
}
