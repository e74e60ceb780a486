use super::super::bypass::{self, Bypass, Bypasses};
use crate::clock::UnixMillis;

const HOUR: u64 = 3_600_000;

fn new(domain: &str, rule: Option<&str>, since: u64, until: u64) -> Bypass {
    Bypass {
        id: 0,
        domain: domain.into(),
        rule: rule.map(Into::into),
        since: UnixMillis(since),
        until: UnixMillis(until),
        by: "me".into(),
        why: "a reason".into(),
        removed: None,
    }
}

#[test]
fn a_bypass_is_in_force_from_its_beginning_to_its_end() {
    let mut all = Bypasses::default();
    let id = all.add(new("a.example", Some("r"), 1_000, HOUR)).expect("sensible");
    let count = |domain: &str, at| all.of(domain, UnixMillis(at)).count();
    assert_eq!([count("a.example", 999), count("a.example", 1_000)], [0, 1]);
    assert_eq!([count("a.example", HOUR - 1), count("a.example", HOUR)], [1, 0]);
    assert_eq!(count("b.example", 1_000), 0);
    let mut ended = all.clone();
    ended.end(id, "you", UnixMillis(2_000)).expect("it was");
    assert_eq!(ended.of("a.example", UnixMillis(2_000)).count(), 0);
    assert!(ended.end(id, "you", UnixMillis(3_000)).is_err(), "it has ended");
    assert_eq!(ended.iter().count(), 1, "the record of it stays");
}

#[test]
fn what_makes_no_sense_is_refused_and_old_records_go() {
    let mut all = Bypasses::default();
    assert!(all.add(new("a", None, 10, 10)).is_err());
    assert!(all.add(new("a", None, 0, 32 * 24 * HOUR)).unwrap_err().contains("31 days"));
    let first = all.add(new("a", None, 0, HOUR)).expect("sensible");
    let later = 91 * 24 * HOUR + HOUR;
    let second = all.add(new("a", None, later, later + HOUR)).expect("sensible");
    assert!(second > first && all.iter().count() == 1);
}

#[test]
fn the_file_is_read_back_and_damage_is_seen() {
    let dir = tempfile::tempdir().expect("a directory");
    assert!(bypass::read(dir.path()).expect("none is fine").is_empty());
    let mut all = Bypasses::default();
    all.add(new("a.example", None, 0, HOUR)).expect("sensible");
    bypass::write(dir.path(), &all).expect("written");
    assert_eq!(*bypass::read(dir.path()).expect("read"), all);
    let path = dir.path().join("bypasses");
    let mut octets = std::fs::read(&path).expect("there");
    let last = octets.len() - 1;
    octets[last] ^= 1;
    std::fs::write(&path, octets).expect("damaged");
    assert!(bypass::read(dir.path()).is_err());
}
