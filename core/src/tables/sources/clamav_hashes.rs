//! ClamAV's hash signatures: `hdb` and `hsb` (whole files), `mdb` and `msb` (PE sections).

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
}

impl Shape {
    pub(crate) fn of(file: &std::path::Path) -> Option<Self> {
        match file.extension()?.to_str()? {
            "hdb" | "hsb" | "hdu" | "hsu" => Some(Self::WholeFile),
            "mdb" | "msb" | "mdu" | "msu" => Some(Self::Section),
            _ => None,
        }
    }
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
        Shape::WholeFile => {
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
    let whole = shape == Shape::WholeFile;
    Some(match octets.len() {
        16 if whole => Digest::Md5(octets.try_into().ok()?),
        20 if whole => Digest::Sha1(octets.try_into().ok()?),
        32 if whole => Digest::Sha256(octets.try_into().ok()?),
        16 => Digest::SectionMd5(octets.try_into().ok()?),
        20 => Digest::SectionSha1(octets.try_into().ok()?),
        32 => Digest::SectionSha256(octets.try_into().ok()?),
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
