//! RC4 of the old binary formats (MS-OFFCRYPTO sections 2.3.5 and 2.3.6): workbooks and texts, opened with Excel's own
//! password or one that the mail says. Obfuscation by XOR and presentations are not opened.
//!
//! Malware is sent in workbooks that have Excel's own password: Excel asks nobody, and scanners see nothing.

use md5::{Digest, Md5};
use sha1::Sha1;

use super::compound::{Compound, half, word};
use super::{biff, crypt};
use crate::message::ExceptionKind;
use crate::scan::archive::Budget;
use crate::scan::cipher::rc4;

/// Hashes of one try, with the two blocks of RC4 that it takes.
const COST: u64 = 50;
/// Octets that one key is for, in a workbook and in a text.
const BOOK_BLOCK_BYTES: usize = 1024;
const TEXT_BLOCK_BYTES: usize = 512;
/// Octets at the begin of a text that are in clear. MS-DOC section 2.2.6.2.
const TEXT_CLEAR_BYTES: usize = 68;
/// Octets of a header of encryption.
const HEADER_BYTES_MAX: usize = 4096;

/// A document that was opened.
pub(super) struct Opened {
    scheme: Scheme,
    base: Vec<u8>,
}

enum Scheme {
    /// RC4 of 40 bits, by MD5.
    Plain { salt: Vec<u8>, input: Vec<u8>, value: Vec<u8> },
    /// RC4 of the CryptoAPI, by SHA-1.
    Api { salt: Vec<u8>, input: Vec<u8>, value: Vec<u8>, key_bytes: usize },
}

/// Tries the passwords on an encrypted document, and says that it is encrypted, or with which it was opened.
pub(super) fn open(file: &Compound<'_>, place: &str, budget: &mut Budget<'_>) -> Option<Opened> {
    let book = book_header(file).and_then(|header| Scheme::read(&header));
    let standing = book.is_some().then_some(crypt::STANDING);
    let scheme = book.or_else(|| text_header(file).and_then(|header| Scheme::read(&header)));
    let opened = scheme.and_then(|scheme| {
        let key = |password: &str| scheme.base(password);
        let found = crypt::first_that_fits(COST, standing, budget, key);
        found.map(|(password, base)| (password, Opened { scheme, base }))
    });
    match opened {
        Some((password, opened)) => {
            crypt::say(&password, place, budget);
            Some(opened)
        }
        None => {
            budget.note(ExceptionKind::Encrypted, place, "password-protected document");
            None
        }
    }
}

impl Opened {
    /// The stream of this name as it was before it was encrypted; `None` for streams that are not encrypted.
    pub(super) fn stream(&self, name: &str, stream: &[u8]) -> Option<Vec<u8>> {
        match name {
            "Workbook" | "Book" => {
                let mut plain = self.undone(stream, BOOK_BLOCK_BYTES)?;
                biff::restore(stream, &mut plain);
                Some(plain)
            }
            "WordDocument" => {
                let mut plain = self.undone(stream, TEXT_BLOCK_BYTES)?;
                let clear = plain.iter_mut().zip(stream).take(TEXT_CLEAR_BYTES);
                clear.for_each(|(to, from)| *to = *from);
                Some(plain)
            }
            _ => None,
        }
    }

    /// The table of a text document, which says where its pieces are. MS-DOC section 2.2.6.2.
    pub(super) fn table(&self, name: &str, stream: &[u8]) -> Option<Vec<u8>> {
        matches!(name, "0Table" | "1Table").then(|| self.undone(stream, TEXT_BLOCK_BYTES)).flatten()
    }

    fn undone(&self, stream: &[u8], block_bytes: usize) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(stream.len());
        for (number, block) in (0_u32..).zip(stream.chunks(block_bytes)) {
            out.append(&mut rc4(&self.scheme.key(&self.base, number), block)?);
        }
        Some(out)
    }
}

impl Scheme {
    /// Reads a header: version, then what belongs to it.
    fn read(header: &[u8]) -> Option<Self> {
        let octets = |from: usize, bytes: usize| {
            header.get(from..from.checked_add(bytes)?).map(<[u8]>::to_vec)
        };
        match (half(header, 0)?, half(header, 2)?) {
            (1, 1) => Some(Self::Plain {
                salt: octets(4, 16)?,
                input: octets(20, 16)?,
                value: octets(36, 16)?,
            }),
            (2..=4, 2) => {
                let bytes = usize::try_from(word(header, 8)?).ok()?;
                let verifier = bytes.checked_add(12)?;
                let key_bytes = match word(header, 12 + 16)? {
                    0 => 5,
                    bits @ 40..=128 if bits % 8 == 0 => usize::try_from(bits / 8).ok()?,
                    _ => return None,
                };
                // RC4, or whatever the flags say, which for these is the same.
                if !matches!(word(header, 12 + 8)?, 0 | 0x6801) {
                    return None;
                }
                Some(Self::Api {
                    salt: octets(verifier.checked_add(4)?, 16)?,
                    input: octets(verifier.checked_add(20)?, 16)?,
                    value: octets(verifier.checked_add(40)?, 20)?,
                    key_bytes,
                })
            }
            _ => None,
        }
    }

    /// What the keys of all blocks are made of, if this is the password.
    fn base(&self, password: &str) -> Option<Vec<u8>> {
        let wide: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (base, input, value) = match self {
            Self::Plain { salt, input, value } => {
                let hash = Md5::digest(&wide);
                let mut repeated = Md5::new();
                for _ in 0..16 {
                    repeated.update(hash.get(..5)?);
                    repeated.update(salt);
                }
                (repeated.finalize().get(..5)?.to_vec(), input, value)
            }
            Self::Api { salt, input, value, .. } => {
                let hash = Sha1::new().chain_update(salt).chain_update(&wide).finalize();
                (hash.to_vec(), input, value)
            }
        };
        let both = rc4(&self.key(&base, 0), &[input.as_slice(), value].concat())?;
        let (input, value) = both.split_at_checked(16)?;
        let right = match self {
            Self::Plain { .. } => value == &Md5::digest(input)[..],
            Self::Api { .. } => value == &Sha1::digest(input)[..],
        };
        right.then_some(base)
    }

    /// The key of one block.
    fn key(&self, base: &[u8], block: u32) -> Vec<u8> {
        match self {
            Self::Plain { .. } => {
                Md5::new().chain_update(base).chain_update(block.to_le_bytes()).finalize().to_vec()
            }
            Self::Api { key_bytes, .. } => {
                let hash = Sha1::new().chain_update(base).chain_update(block.to_le_bytes());
                let mut key = hash.finalize().to_vec();
                key.truncate(*key_bytes);
                // A key of 40 bits is used as one of 128.
                if *key_bytes == 5 {
                    key.resize(16, 0);
                }
                key
            }
        }
    }
}

/// What stands behind the kind in the record FILEPASS, if that is RC4.
fn book_header(file: &Compound<'_>) -> Option<Vec<u8>> {
    let entry = file.find("Workbook").or_else(|| file.find("Book"))?;
    biff::file_pass(&file.stream(entry, biff::HEAD_BYTES))
}

/// The header at the begin of the table stream of a text. MS-DOC sections 2.2.6 and 2.5.2.
fn text_header(file: &Compound<'_>) -> Option<Vec<u8>> {
    let fib = file.stream(file.find("WordDocument")?, 32);
    let flags = half(&fib, 10)?;
    if flags & 0x0100 == 0 || flags & 0x8000 != 0 {
        return None;
    }
    let table = if flags & 0x0200 == 0 { "0Table" } else { "1Table" };
    Some(file.stream(file.find(table)?, HEADER_BYTES_MAX))
}

/// Fuzz entry: any octets as a header, then as a workbook. 1 if it is a header.
pub(super) fn fuzz(data: &[u8]) -> usize {
    let (header, stream) = data.split_at_checked(200).unwrap_or((data, &[]));
    let Some(scheme) = Scheme::read(header) else { return 0 };
    let base = scheme.base("secret").unwrap_or_else(|| vec![7; 5]);
    let opened = Opened { scheme, base };
    for name in ["Workbook", "WordDocument"] {
        let plain = opened.stream(name, stream);
        assert!(plain.is_none_or(|plain| plain.len() == stream.len()), "more than there was");
    }
    1
}
