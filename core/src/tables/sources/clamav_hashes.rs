//! ClamAV's hash signatures: `hdb` and `hsb` (whole files), `mdb` and `msb` (PE sections), `imp` (what a PE file imports), and
//! hashes of good files: `fp`, `sfp`. `ign` and `ign2` name signatures that are left out.

use super::lines::LineError;
use crate::tables::Digest;
use crate::tables::hashes::ANY_SIZE;

/// Which of the two shapes a file has, by its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `digest:size:name`.
    WholeFile,
    /// `size:digest:name`.
    Section,
    /// `digest:size:name`, of what a program imports.
    Imports,
    /// `digest:size:name`, of a file that is known to be good.
    Good,
}

impl Shape {
    pub(crate) fn of(file: &std::path::Path) -> Option<Self> {
        match file.extension()?.to_str()? {
            "hdb" | "hsb" | "hdu" | "hsu" => Some(Self::WholeFile),
            "mdb" | "msb" | "mdu" | "msu" => Some(Self::Section),
            "imp" => Some(Self::Imports),
            "fp" | "sfp" => Some(Self::Good),
            _ => None,
        }
    }
}

/// Whether a file lists names of signatures that are to be left out.
pub(crate) fn names_to_ignore(file: &std::path::Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("ign" | "ign2"))
}

/// Signatures in a file of them, for a test over many.
#[cfg(test)]
pub(crate) fn count(file: &std::path::Path, octets: &[u8]) -> Result<usize, String> {
    let shape = Shape::of(file).ok_or_else(|| "not a file of hashes".to_owned())?;
    let text = String::from_utf8_lossy(octets);
    let mut count = 0;
    for line in text.lines() {
        count += usize::from(signature(line.trim_end(), shape).map_err(|(_, why)| why)?.is_some());
    }
    Ok(count)
}

/// One signature; none for an empty line or a comment.
pub(crate) fn signature(
    line: &str,
    shape: Shape,
) -> Result<Option<(Digest, u64, &str)>, LineError> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let mut fields = line.splitn(4, ':');
    let mut column = 0;
    let mut next = |what: &str| {
        let field = fields.next().ok_or_else(|| (line.len(), format!("{what} is missing")))?;
        let at = column;
        column += field.len() + 1;
        Ok((at, field))
    };
    let (digest, size) = match shape {
        Shape::WholeFile | Shape::Imports | Shape::Good => {
            let digest = next("digest")?;
            (digest, next("size")?)
        }
        Shape::Section => {
            let size = next("size")?;
            (next("digest")?, size)
        }
    };
    let (name_at, name) = next("name")?;
    if name.is_empty() || name.len() > 1000 {
        return Err((name_at, format!("name has {} octets, 1 to 1000 are taken", name.len())));
    }
    let (size_at, size) = size;
    let size = match size {
        "*" => ANY_SIZE,
        digits => digits
            .parse()
            .map_err(|_| (size_at, format!("`{digits}` is neither a size nor `*`")))?,
    };
    let (digest_at, digest) = digest;
    let digest = digest_of(digest, shape).ok_or_else(|| {
        (digest_at, format!("`{digest}` is not an MD5, SHA-1 or SHA-256 in hexadecimal"))
    })?;
    Ok(Some((digest, size, name)))
}

fn digest_of(text: &str, shape: Shape) -> Option<Digest> {
    let octets = hex(text)?;
    let octets = octets.as_slice();
    Some(match octets.len() {
        16 => {
            let digest = octets.try_into().ok()?;
            match shape {
                Shape::WholeFile => Digest::Md5(digest),
                Shape::Section => Digest::SectionMd5(digest),
                Shape::Imports => Digest::ImportsMd5(digest),
                Shape::Good => Digest::GoodMd5(digest),
            }
        }
        20 => {
            let digest = octets.try_into().ok()?;
            match shape {
                Shape::WholeFile => Digest::Sha1(digest),
                Shape::Section => Digest::SectionSha1(digest),
                Shape::Imports => Digest::ImportsSha1(digest),
                Shape::Good => Digest::GoodSha1(digest),
            }
        }
        32 => {
            let digest = octets.try_into().ok()?;
            match shape {
                Shape::WholeFile => Digest::Sha256(digest),
                Shape::Section => Digest::SectionSha256(digest),
                Shape::Imports => Digest::ImportsSha256(digest),
                Shape::Good => Digest::GoodSha256(digest),
            }
        }
        _ => return None,
    })
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|d| u8::try_from(d).ok());
    if !text.len().is_multiple_of(2) || text.len() > 64 {
        return None;
    }
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}
