//! Entries for fuzzing: no input may make a reader panic.

use super::open::Patterns;
use super::sources::{Collected, clamav, spamassassin, toml};

/// All readers of sources. Number of rules.
pub fn fuzz_sources(data: &[u8]) -> usize {
    let mut reader = spamassassin::Reader::default();
    reader.read("fuzz.cf", 0, data);
    let rules = reader.finish().drafts.len();
    let mut out = Collected::default();
    clamav::read_ndb("fuzz.ndb", 0, data, &mut out);
    clamav::read_ldb("fuzz.ldb", 0, data, &mut out);
    clamav::read_cdb("fuzz.cdb", 0, data, &mut out);
    clamav::note_not_read("fuzz.pdb", data, &mut out);
    clamav::ignored_names(data, &mut std::collections::HashSet::new());
    toml::read("fuzz.toml", 0, data, &mut out);
    for name in ["fuzz.hdb", "fuzz.mdb"] {
        let _ = clamav::hashes(name, data);
    }
    rules + out.drafts.len()
}

/// Opening a payload. 1 if it is one.
pub fn fuzz_open(data: &[u8]) -> usize {
    let mut framed = b"SKPATT01".to_vec();
    framed.extend_from_slice(&(data.len() as u64).to_le_bytes());
    framed.extend_from_slice(data);
    let _ = Patterns::open(&framed);
    usize::from(Patterns::open(data).is_ok())
}
