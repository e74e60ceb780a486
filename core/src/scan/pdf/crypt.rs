//! Encrypted PDF (ISO 32000-2 section 7.6): the standard security handler, opened with no password, which is what most
//! such files have and what every reader tries first, or with one that the mail says.
//!
//! Like everything of PDF here, the dictionary of encryption is looked for by its words; what it says is believed only
//! where the password fits. Owners' passwords are not tried: who has one says the other in the mail.

use md5::{Digest, Md5};
use memchr::memmem;
use sha2::{Sha256, Sha384, Sha512};

use crate::message::ExceptionKind;
use crate::scan::archive::Budget;
use crate::scan::cipher::{BLOCK_BYTES, aes_done, aes_undone, rc4};

/// Octets of a dictionary that are read.
const DICTIONARY_BYTES_MAX: usize = 8 * 1024;
/// Octets in front of a stream in which its object begins.
const BEFORE_BYTES_MAX: usize = 4 * 1024;
/// Octets of a password. ISO 32000-2 section 7.6.4.3.3.
const PASSWORD_BYTES_MAX: usize = 127;
/// Strings of one file that are undone.
const STRINGS_MAX: usize = 200_000;
/// Octets of one of them; and how often an end may be looked for in vain.
const STRING_BYTES_MAX: usize = 64 * 1024;
const UNENDED_MAX: usize = 1_000;
/// What a try costs, in blocks of hashes: about 70 for the old revisions; 64 rounds and more of AES and SHA-2 over 5 KiB
/// for revision 6.
const COST_OLD: u64 = 100;
const COST_NEW: u64 = 20_000;

/// What a password is filled up with. ISO 32000-1 algorithm 2.
const PAD: &[u8; 32] = b"\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08\
                         \x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cipher {
    Rc4,
    Aes,
    /// AES of 256 bits, by the file's key itself.
    AesWhole,
}

/// How a file is encrypted.
struct Lock {
    revision: i64,
    cipher: Cipher,
    key_bytes: usize,
    owner: Vec<u8>,
    user: Vec<u8>,
    user_key: Vec<u8>,
    permissions: u32,
    id: Vec<u8>,
    metadata: bool,
}

/// An encrypted file with its key.
pub(super) struct Opened {
    cipher: Cipher,
    key: Vec<u8>,
}

/// Says that a file is encrypted, or with what it was opened.
pub(super) fn open(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Option<Opened> {
    if !super::has_name(octets, b"Encrypt") {
        return None;
    }
    let found = Lock::read(octets).and_then(|lock| {
        let cost = if lock.revision < 5 { COST_OLD } else { COST_NEW };
        let key = |password: &str| lock.key(password);
        let found = crate::scan::ole::first_that_fits(cost, Some(""), budget, key);
        found.map(|(password, key)| (password, Opened { cipher: lock.cipher, key }))
    });
    match &found {
        Some((password, _)) if !password.is_empty() => {
            budget.note(ExceptionKind::Opened, place, "pdf opened with a password of the mail");
        }
        // The word may stand in a comment of a file that is not encrypted at all.
        Some(_) | None => budget.note(ExceptionKind::Encrypted, place, "encrypted PDF"),
    }
    found.map(|(_, opened)| opened)
}

impl Lock {
    fn read(octets: &[u8]) -> Option<Self> {
        let dictionary = dictionary(octets)?;
        let number = |name: &[u8]| integer(value(dictionary, name)?);
        let text = |name: &[u8]| string(value(dictionary, name)?).map(|(text, _)| text);
        if !value(dictionary, b"Filter")?.starts_with(b"/Standard") {
            return None;
        }
        let (version, revision) = (number(b"V")?, number(b"R")?);
        let method = value(dictionary, b"CFM").unwrap_or_default();
        let bits = usize::try_from(number(b"Length").unwrap_or(40)).ok()?;
        let (cipher, key_bytes) = match version {
            1 => (Cipher::Rc4, 5),
            2 | 3 => (Cipher::Rc4, (bits / 8).clamp(5, 16)),
            4 if method.starts_with(b"/AESV2") => (Cipher::Aes, 16),
            4 => (Cipher::Rc4, 16),
            5 => (Cipher::AesWhole, 32),
            _ => return None,
        };
        if !matches!((version, revision), (1..=4, 2..=4) | (5, 5 | 6)) {
            return None;
        }
        let permissions = number(b"P")?.rem_euclid(1 << 32);
        let metadata = value(dictionary, b"EncryptMetadata");
        Some(Self {
            revision,
            cipher,
            key_bytes,
            owner: text(b"O")?,
            user: text(b"U")?,
            user_key: text(b"UE").unwrap_or_default(),
            permissions: u32::try_from(permissions).ok()?,
            id: id(octets).unwrap_or_default(),
            metadata: !metadata.is_some_and(|value| value.starts_with(b"false")),
        })
    }

    /// The key of the file, if this is the password of its users.
    fn key(&self, password: &str) -> Option<Vec<u8>> {
        match self.revision {
            5 | 6 => self.new_key(password),
            _ => self.old_key(password),
        }
    }

    /// ISO 32000-1 algorithms 2, 4 and 5.
    fn old_key(&self, password: &str) -> Option<Vec<u8>> {
        let narrow = |c: char| u8::try_from(u32::from(c)).ok();
        let octets: Option<Vec<u8>> = password.chars().map(narrow).collect();
        let mut padded = octets.unwrap_or_else(|| password.as_bytes().to_vec());
        padded.extend_from_slice(PAD);
        padded.truncate(PAD.len());
        let mut hash = Md5::new();
        hash.update(&padded);
        hash.update(self.owner.get(..32)?);
        hash.update(self.permissions.to_le_bytes());
        hash.update(&self.id);
        if self.revision >= 4 && !self.metadata {
            hash.update([0xFF; 4]);
        }
        let mut key = hash.finalize().to_vec();
        key.truncate(self.key_bytes);
        if self.revision == 2 {
            return (rc4(&key, PAD)? == self.user.get(..32)?).then_some(key);
        }
        for _ in 0..50 {
            key = Md5::digest(&key).to_vec();
            key.truncate(self.key_bytes);
        }
        let mut seen = Md5::new().chain_update(PAD).chain_update(&self.id).finalize().to_vec();
        for round in 0..20_u8 {
            let turned: Vec<u8> = key.iter().map(|octet| octet ^ round).collect();
            seen = rc4(&turned, &seen)?;
        }
        (seen == self.user.get(..16)?).then_some(key)
    }

    /// ISO 32000-2 algorithms 2.A and 11.
    fn new_key(&self, password: &str) -> Option<Vec<u8>> {
        let password = password.as_bytes();
        let password = password.get(..PASSWORD_BYTES_MAX).unwrap_or(password);
        let hash = |salt: &[u8]| match self.revision {
            5 => {
                let hash = Sha256::new().chain_update(password).chain_update(salt);
                Some(hash.finalize().to_vec())
            }
            _ => hardened(password, salt),
        };
        if hash(self.user.get(32..40)?)? != self.user.get(..32)? {
            return None;
        }
        let key = hash(self.user.get(40..48)?)?;
        aes_undone(&key, Some(&[0; BLOCK_BYTES]), self.user_key.get(..32)?)
    }
}

/// ISO 32000-2 algorithm 2.B, for the password of users. At most 288 rounds.
fn hardened(password: &[u8], salt: &[u8]) -> Option<Vec<u8>> {
    let mut key = Sha256::new().chain_update(password).chain_update(salt).finalize().to_vec();
    let (mut round, mut last) = (0_u32, 0_u8);
    while round < 64 || u32::from(last) > round - 32 {
        let repeated = [password, &key].concat().repeat(64);
        let done = aes_done(key.get(..16)?, key.get(16..32)?, &repeated)?;
        let sum: u32 = done.iter().take(16).map(|octet| u32::from(*octet)).sum();
        key = match sum % 3 {
            0 => Sha256::digest(&done).to_vec(),
            1 => Sha384::digest(&done).to_vec(),
            _ => Sha512::digest(&done).to_vec(),
        };
        last = done.last().copied()?;
        round += 1;
    }
    key.truncate(32);
    Some(key)
}

impl Opened {
    /// The stream whose word `stream` is at `at`, as it was before it was encrypted. `None`: no object is around it.
    pub(super) fn stream(&self, octets: &[u8], at: usize, data: &[u8]) -> Option<Vec<u8>> {
        let before = octets.get(at.saturating_sub(BEFORE_BYTES_MAX)..at)?;
        let begin = memmem::rfind(before, b" obj")?;
        let object = object_before(before, begin)?;
        let end = memmem::find(data, b"endstream").unwrap_or(data.len());
        self.undone(object, data.get(..end)?)
    }

    /// ISO 32000-1 algorithm 1, ISO 32000-2 algorithm 1.A.
    fn undone(&self, (number, generation): (u32, u32), data: &[u8]) -> Option<Vec<u8>> {
        if self.cipher == Cipher::AesWhole {
            return unchained(&self.key, data);
        }
        let mut hash = Md5::new();
        hash.update(&self.key);
        hash.update(number.to_le_bytes().get(..3)?);
        hash.update(generation.to_le_bytes().get(..2)?);
        if self.cipher == Cipher::Aes {
            hash.update(b"sAlT");
        }
        let mut key = hash.finalize().to_vec();
        key.truncate(self.key.len() + 5);
        match self.cipher {
            Cipher::Rc4 => rc4(&key, data),
            Cipher::Aes | Cipher::AesWhole => unchained(&key, data),
        }
    }

    /// The objects with their strings undone, streams left out.
    pub(super) fn objects(&self, octets: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(octets.len());
        let (mut at, mut object, mut strings, mut unended, mut ends) = (0, None, 0, 0, true);
        while let Some(octet) = octets.get(at) {
            let rest = octets.get(at..).unwrap_or_default();
            if rest.starts_with(b" obj") {
                object = object_before(octets, at);
            } else if rest.starts_with(b"endobj") {
                object = None;
            } else if rest.starts_with(b"stream") && ends {
                // Where there is no end behind one, there is none behind the next.
                match memmem::find(rest, b"endstream") {
                    Some(end) => at += end,
                    None => ends = false,
                }
                out.extend_from_slice(b"stream\n");
                at += 9;
                continue;
            } else if rest.starts_with(b"<<") {
                out.extend_from_slice(b"<<");
                at += 2;
                continue;
            } else if matches!(octet, b'(' | b'<') && strings < STRINGS_MAX && unended < UNENDED_MAX
            {
                if let Some((text, bytes)) = string(rest) {
                    strings += 1;
                    let plain = object.and_then(|object| self.undone(object, &text));
                    write_hex(&plain.unwrap_or(text), &mut out);
                    at += bytes;
                    continue;
                }
                unended += 1;
            }
            out.push(*octet);
            at += 1;
        }
        out
    }
}

/// Writes a string in hexadecimal, which needs no escapes.
fn write_hex(text: &[u8], out: &mut Vec<u8>) {
    let digit = |value: u8| b"0123456789ABCDEF".get(usize::from(value)).copied().unwrap_or(b'0');
    out.push(b'<');
    out.extend(text.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]));
    out.push(b'>');
}

/// AES behind a first block that is its beginning; what fills up the last block is left out.
fn unchained(key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let (iv, data) = data.split_at_checked(BLOCK_BYTES)?;
    let mut plain = aes_undone(key, Some(iv), data)?;
    let fill = plain.last().map_or(0, |last| usize::from(*last));
    if (1..=BLOCK_BYTES).contains(&fill) {
        plain.truncate(plain.len().saturating_sub(fill));
    }
    Some(plain)
}

/// Number and generation in front of the ` obj` at `at`.
fn object_before(octets: &[u8], at: usize) -> Option<(u32, u32)> {
    let head = octets.get(at.saturating_sub(32)..at)?;
    let mut words = head.rsplit(|octet| octet.is_ascii_whitespace()).filter(|w| !w.is_empty());
    let mut word = |most: usize| {
        let word = words.next()?;
        let digits = word.iter().rev().take_while(|octet| octet.is_ascii_digit()).count();
        std::str::from_utf8(word.get(word.len() - digits.min(most)..)?).ok()?.parse().ok()
    };
    let generation = word(5)?;
    Some((word(10)?, generation))
}

/// The dictionary of encryption: where `/Encrypt` stands, or the object that it names there.
fn dictionary(octets: &[u8]) -> Option<&[u8]> {
    let short = |at: usize| {
        let rest = octets.get(at..)?;
        let rest = rest.get(..DICTIONARY_BYTES_MAX).unwrap_or(rest);
        Some(memmem::find(rest, b"endobj").and_then(|end| rest.get(..end)).unwrap_or(rest))
    };
    memmem::find_iter(octets, b"/Encrypt").take(10).find_map(|at| {
        let rest = octets.get(at + 8..)?.trim_ascii_start();
        if rest.starts_with(b"<<") {
            return short(at + 8);
        }
        let digits = rest.iter().take_while(|octet| octet.is_ascii_digit()).count();
        let number = rest.get(..digits).filter(|number| !number.is_empty())?;
        let mark = [number, b" 0 obj"].concat();
        let alone = |at: &usize| {
            let before = at.checked_sub(1).and_then(|before| octets.get(before));
            before.is_none_or(|octet| !octet.is_ascii_digit())
        };
        memmem::find_iter(octets, &mark).filter(alone).last().and_then(short)
    })
}

/// What follows a key of a dictionary.
fn value<'d>(dictionary: &'d [u8], name: &[u8]) -> Option<&'d [u8]> {
    let key = [b"/", name].concat();
    memmem::find_iter(dictionary, &key).find_map(|at| {
        let rest = dictionary.get(at + key.len()..)?;
        let regular = |octet: &u8| octet.is_ascii_alphanumeric();
        (!rest.first().is_some_and(regular) || rest.first().is_some_and(u8::is_ascii_digit))
            .then(|| rest.trim_ascii_start())
    })
}

fn integer(text: &[u8]) -> Option<i64> {
    let inside = |octet: &u8| octet.is_ascii_digit() || matches!(octet, b'-' | b'+');
    let bytes = text.iter().take_while(|octet| inside(octet)).count();
    std::str::from_utf8(text.get(..bytes)?).ok()?.parse().ok()
}

/// The first string behind `/ID`.
fn id(octets: &[u8]) -> Option<Vec<u8>> {
    memmem::find_iter(octets, b"/ID").take(1_000).find_map(|at| {
        let rest = octets.get(at + 3..)?.trim_ascii_start().strip_prefix(b"[")?;
        string(rest.trim_ascii_start()).map(|(text, _)| text)
    })
}

/// A string in brackets or hexadecimal, undone (ISO 32000-1 section 7.3.4), and how many octets it takes.
fn string(rest: &[u8]) -> Option<(Vec<u8>, usize)> {
    let rest = rest.get(..STRING_BYTES_MAX).unwrap_or(rest);
    if rest.first() == Some(&b'<') {
        let end = memchr::memchr(b'>', rest)?;
        return Some((super::from_hex(rest.get(1..end)?), end + 1));
    }
    let inside = rest.strip_prefix(b"(")?;
    let (mut out, mut depth, mut at) = (Vec::new(), 1, 0);
    while let Some(octet) = inside.get(at) {
        at += 1;
        match octet {
            b'(' => depth += 1,
            b')' => {
                depth -= 1;
                if depth == 0 {
                    return Some((out, at + 1));
                }
            }
            b'\\' => {
                let (value, bytes) = escaped(inside.get(at..)?);
                out.extend(value);
                at += bytes;
                continue;
            }
            _ => {}
        }
        out.push(*octet);
    }
    None
}

/// What stands behind a backslash, and how many octets it takes.
fn escaped(rest: &[u8]) -> (Option<u8>, usize) {
    match rest {
        [b'n', ..] => (Some(b'\n'), 1),
        [b'r', ..] => (Some(b'\r'), 1),
        [b't', ..] => (Some(b'\t'), 1),
        [b'b', ..] => (Some(8), 1),
        [b'f', ..] => (Some(12), 1),
        [b'\r', b'\n', ..] => (None, 2),
        [b'\r' | b'\n', ..] => (None, 1),
        [b'0'..=b'7', ..] => {
            let digits = rest.iter().take(3).take_while(|octet| matches!(octet, b'0'..=b'7'));
            let (value, count) = digits.fold((0_u32, 0), |(value, count), octet| {
                (value * 8 + u32::from(octet - b'0'), count + 1)
            });
            // What is above 255 loses its highest bit.
            (u8::try_from(value & 0xFF).ok(), count)
        }
        [octet, ..] => (Some(*octet), 1),
        [] => (None, 0),
    }
}

/// Fuzz entry: any octets as an encrypted file of any kind. Octets that came of it.
pub(super) fn fuzz(data: &[u8]) -> usize {
    let known = Lock::read(data).and_then(|lock| Some((lock.cipher, lock.key("secret")?)));
    let (cipher, key) = known.unwrap_or_else(|| match data.len() % 3 {
        0 => (Cipher::Rc4, vec![7; 5]),
        1 => (Cipher::Aes, vec![7; 16]),
        _ => (Cipher::AesWhole, vec![7; 32]),
    });
    let opened = Opened { cipher, key };
    let streams = memmem::find_iter(data, b"stream").take(20);
    let streams = streams.filter_map(|at| opened.stream(data, at, data.get(at + 6..)?));
    opened.objects(data).len() + streams.map(|plain| plain.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02X}")).collect()
    }

    /// A file of revision 2 with a link and a stream, and what opens it.
    pub(crate) fn locked(password: &str, stream: &[u8]) -> Vec<u8> {
        let mut lock = Lock {
            revision: 2,
            cipher: Cipher::Rc4,
            key_bytes: 5,
            owner: vec![0x5A; 32],
            user: vec![0; 32],
            user_key: Vec::new(),
            permissions: u32::MAX - 3,
            id: vec![1, 2, 3],
            metadata: true,
        };
        let mut padded = [password.as_bytes(), PAD].concat();
        padded.truncate(32);
        let hash = Md5::new().chain_update(&padded).chain_update(&lock.owner);
        let hash = hash.chain_update(lock.permissions.to_le_bytes()).chain_update(&lock.id);
        let key = hash.finalize()[..5].to_vec();
        lock.user = rc4(&key, PAD).unwrap();
        assert_eq!(lock.key(password), Some(key.clone()));
        let opened = Opened { cipher: Cipher::Rc4, key };
        let link = hex(&opened.undone((1, 0), b"http://hidden.example/").unwrap());
        let head = format!(
            "%PDF-1.4\n1 0 obj<</S/URI/URI<{link}>>>endobj\n2 0 obj<</Length 1>>\nstream\n"
        );
        let tail = format!(
            "\nendstream endobj\n9 0 obj<</Filter/Standard/V 1/R 2/O<{}>/U<{}>/P -4>>endobj\n\
             trailer<</Encrypt 9 0 R/ID[<010203><010203>]>>\n",
            hex(&lock.owner),
            hex(&lock.user)
        );
        let stream = opened.undone((2, 0), stream).unwrap();
        [head.as_bytes(), &stream, tail.as_bytes()].concat()
    }

    #[test]
    fn a_password_fits_or_does_not_and_what_it_opens_is_what_was_there() {
        for password in ["", "secret"] {
            let file = locked(password, b"the stream");
            let lock = Lock::read(&file).unwrap();
            assert_eq!(lock.key("other"), None);
            let opened = Opened { cipher: lock.cipher, key: lock.key(password).unwrap() };
            let at = memmem::find(&file, b"stream").unwrap();
            let plain = opened.stream(&file, at, &file[at + 7..]).unwrap();
            assert!(plain.starts_with(b"the stream"), "{plain:?}");
            let objects = opened.objects(&file);
            let link = hex(b"http://hidden.example/");
            assert!(memmem::find(&objects, link.as_bytes()).is_some());
        }
    }

    #[test]
    fn strings_are_undone_as_readers_do() {
        for (text, plain) in [
            ("(a\\(b\\)\\101\\7\\n)", b"a(b)A\x07\n".as_slice()),
            ("((x)y)z", b"(x)y"),
            ("(a\\\r\nb)", b"ab"),
            ("<41 4>", b"A@"),
        ] {
            assert_eq!(string(text.as_bytes()).unwrap().0, plain, "{text}");
        }
        assert_eq!(string(b"(a"), None);
    }
}
