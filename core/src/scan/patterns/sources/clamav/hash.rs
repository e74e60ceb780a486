//! Hash signatures: `hdb`/`hsb` (whole parts), `mdb`/`msb` (sections of Windows programs).

use super::super::super::error::SourceError;
use super::super::octets_as_text;

/// One hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashSignature {
    /// MD5 (16 octets), SHA-1 (20) or SHA-256 (32).
    pub digest: Vec<u8>,
    /// Size of what was hashed, in octets; `None`: any.
    pub bytes: Option<u64>,
    /// Its name.
    pub name: String,
    /// It is the hash of a section of a Windows program, not of a whole part.
    pub section: bool,
}

/// Reads a file of hash signatures; its format follows from the ending of `file`.
///
/// # Errors
/// All lines that cannot be understood.
pub fn hashes(file: &str, octets: &[u8]) -> Result<Vec<HashSignature>, Vec<SourceError>> {
    let ending = file.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let section = matches!(ending.as_str(), "mdb" | "msb" | "mdu" | "msu");
    let mut out = Vec::new();
    let mut errors = Vec::new();
    for (index, line) in octets_as_text(octets).lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match one(line, section) {
            Ok(signature) => out.push(signature),
            Err((column, text)) => errors.push(SourceError {
                file: file.to_owned(),
                line: u32::try_from(index + 1).unwrap_or(u32::MAX),
                column: u32::try_from(column + 1).unwrap_or(u32::MAX),
                text,
            }),
        }
    }
    if errors.is_empty() { Ok(out) } else { Err(errors) }
}

fn one(line: &str, section: bool) -> Result<HashSignature, (usize, String)> {
    let parts: Vec<&str> = line.split(':').collect();
    let [first, second, name, ..] = parts.as_slice() else {
        return Err((0, "expected hash:size:name, or size:hash:name for sections".into()));
    };
    let (hash, hash_at, size, size_at) = if section {
        (*second, first.len() + 1, *first, 0)
    } else {
        (*first, 0, *second, first.len() + 1)
    };
    let digest = digest(hash)
        .ok_or_else(|| (hash_at, format!("`{hash}` is no MD5, SHA-1 or SHA-256 in hexadecimal")))?;
    let bytes = match size {
        "*" => None,
        size => Some(size.parse().map_err(|_| (size_at, format!("size `{size}` is no number")))?),
    };
    Ok(HashSignature { digest, bytes, name: (*name).to_owned(), section })
}

fn digest(text: &str) -> Option<Vec<u8>> {
    if !matches!(text.len(), 32 | 40 | 64) {
        return None;
    }
    let digit = |c: &u8| char::from(*c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? * 16 + digit(low)?),
            _ => None,
        })
        .collect()
}
