//! Known files by their digests: bad ones whole, by a section of a program or by what it imports; and good ones, of which no
//! signature of octets is believed.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::examine::{HashLookUp, push};
use super::finding::{Finding, FindingKind};
use crate::message::pe::Pe;
use crate::message::{FileType, Part, View};
use crate::tables::Digest;

/// Marks parts that are known to be good (ClamAV `fp`, `sfp`): rules for octets do not see them.
pub(super) fn mark_good(view: &View<'_>, known: HashLookUp<'_>) {
    for part in view.parts.iter().filter(|part| !part.decoded.is_empty()) {
        let hashes = part.hashes();
        let digests = [
            Digest::GoodSha256(hashes.sha256),
            Digest::GoodSha1(hashes.sha1),
            Digest::GoodMd5(hashes.md5),
        ];
        let size = part.decoded.len() as u64;
        if digests.iter().any(|digest| known(digest, size).is_some()) {
            part.mark_good();
        }
    }
}

/// Known bad files.
pub(super) fn findings(view: &View<'_>, known: HashLookUp<'_>, out: &mut Vec<Finding>) {
    let parts = view.parts.iter();
    for part in parts.filter(|part| !part.decoded.is_empty() && !part.is_known_good()) {
        if let Some(name) = whole(part, known).or_else(|| program(part, known)) {
            let place = part.file_name().unwrap_or(&part.path);
            push(out, FindingKind::of_malware_name(&name), &name, place);
        }
    }
}

fn whole(part: &Part<'_>, known: HashLookUp<'_>) -> Option<Box<str>> {
    let hashes = part.hashes();
    let digests =
        [Digest::Sha256(hashes.sha256), Digest::Sha1(hashes.sha1), Digest::Md5(hashes.md5)];
    digests.iter().find_map(|digest| known(digest, part.decoded.len() as u64))
}

/// Sections of a Windows program (`mdb`, `msb`), and what it imports (`imp`).
fn program(part: &Part<'_>, known: HashLookUp<'_>) -> Option<Box<str>> {
    if part.file_type() != FileType::Pe {
        return None;
    }
    let octets = &*part.decoded;
    let pe = Pe::read(octets)?;
    // Sections may be made to lie on one another: what is hashed of one file has a bound.
    let mut left = octets.len().saturating_mul(2);
    for section in pe.sections.iter().filter(|section| !section.is_empty()) {
        let Some(rest) = left.checked_sub(section.len()) else { break };
        left = rest;
        let section = octets.get(section.clone()).unwrap_or_default();
        let digests = [
            Digest::SectionSha256(Sha256::digest(section).into()),
            Digest::SectionSha1(Sha1::digest(section).into()),
            Digest::SectionMd5(Md5::digest(section).into()),
        ];
        let size = section.len() as u64;
        if let Some(name) = digests.iter().find_map(|digest| known(digest, size)) {
            return Some(name);
        }
    }
    let imports = pe.imports(octets)?;
    let digests = [
        Digest::ImportsSha256(Sha256::digest(&imports).into()),
        Digest::ImportsSha1(Sha1::digest(&imports).into()),
        Digest::ImportsMd5(Md5::digest(&imports).into()),
    ];
    digests.iter().find_map(|digest| known(digest, imports.len() as u64))
}
