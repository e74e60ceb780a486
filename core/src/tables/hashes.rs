//! Digests of known bad files, with size where the signature gives one.

use super::Digest;
use super::flat::ArchivedFlat;

/// Any size (`*` in ClamAV's files).
pub(super) const ANY_SIZE: u64 = u64::MAX;

/// Key: one octet of kind, then the digest.
pub(super) fn key(digest: &Digest) -> Vec<u8> {
    let (kind, octets): (u8, &[u8]) = match digest {
        Digest::Md5(octets) => (b'5', octets),
        Digest::Sha1(octets) => (b'1', octets),
        Digest::Sha256(octets) => (b'2', octets),
        Digest::SectionMd5(octets) => (b's', octets),
        Digest::SectionSha1(octets) => (b't', octets),
        Digest::SectionSha256(octets) => (b'u', octets),
        Digest::ImportsMd5(octets) => (b'i', octets),
        Digest::ImportsSha1(octets) => (b'j', octets),
        Digest::ImportsSha256(octets) => (b'k', octets),
        Digest::GoodMd5(octets) => (b'g', octets),
        Digest::GoodSha1(octets) => (b'h', octets),
        Digest::GoodSha256(octets) => (b'f', octets),
    };
    let mut key = Vec::with_capacity(33);
    key.push(kind);
    key.extend_from_slice(octets);
    key
}

/// Value: size, then the name of the signature.
pub(super) fn value(size: u64, name: &str) -> Vec<u8> {
    let mut value = size.to_le_bytes().to_vec();
    value.extend_from_slice(name.as_bytes());
    value
}

/// The signature that fits digest and size.
pub(super) fn find<'t>(table: &'t ArchivedFlat, digest: &Digest, size: u64) -> Option<&'t str> {
    table.find(&key(digest)).find_map(|value| {
        let (wanted, name) = value.split_first_chunk::<8>()?;
        let wanted = u64::from_le_bytes(*wanted);
        (wanted == ANY_SIZE || wanted == size).then(|| std::str::from_utf8(name).ok()).flatten()
    })
}

/// The same digest with the same size twice; the name does not matter.
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    left.first_chunk::<8>() == right.first_chunk::<8>()
}
