//! Entry points for fuzzing: any octets are read or refused; never a panic, never out of bounds.

use std::net::IpAddr;
use std::path::Path;

use rkyv::rancor;

use super::file::{self, Kind};
use super::flat::ArchivedFlat;
use super::hosts::ArchivedHostsTable;
use super::networks::ArchivedNetworksTable;
use super::sources::clamav_hashes::{Shape, signature};
use super::sources::lines::{Errors, LineError, each_line_of};
use super::sources::rbldnsd::Zone;
use super::sources::{csv, item};

/// Table files: the whole file, and octets that stand where a payload would. What passes for a table
/// is asked: a broken one may answer nonsense, it may not read out of bounds.
pub fn fuzz_table(data: &[u8]) {
    for kind in Kind::TABLES.into_iter().chain([Kind::Delta, Kind::Stretch, Kind::Bypasses]) {
        let _ = file::verify(data, kind);
    }
    let mut aligned = rkyv::util::AlignedVec::<16>::new();
    aligned.extend_from_slice(data);
    if let Ok(table) = rkyv::access::<ArchivedFlat, rancor::Error>(&aligned) {
        let _ = table.find(b"key").count();
        let _ = table.records().take(1000).count();
    }
    if let Ok(table) = rkyv::access::<ArchivedNetworksTable, rancor::Error>(&aligned) {
        let _ = table.find(IpAddr::from([127, 0, 0, 1]));
        let _ = table.find(IpAddr::from([0x20; 16]));
    }
    if let Ok(table) = rkyv::access::<ArchivedHostsTable, rancor::Error>(&aligned) {
        let _ = table.find("a.b.example");
    }
}

/// Calls `each` with every line, as a build does; every mistake has a place in the file. Number of lines that are right.
fn lines(data: &[u8], each: &mut dyn FnMut(u64, &str) -> Result<(), LineError>) -> usize {
    let mut errors = Errors::default();
    let mut right = 0;
    let count = each_line_of(data, Path::new("fuzz"), &mut errors, &mut |number, line| {
        each(number, line).inspect(|()| right += 1)
    });
    for error in errors.into_list(&[]) {
        assert!((1..=count.max(1)).contains(&error.line), "{error}");
        assert!(!error.text.is_empty(), "a refusal without a reason");
    }
    right
}

/// rbldnsd zones of addresses and of names. Number of lines that are right.
pub fn fuzz_rbldnsd(data: &[u8]) -> usize {
    let (mut networks, mut hosts) = (Zone::default(), Zone::default());
    lines(data, &mut |_, line| networks.network(line).map(drop))
        + lines(data, &mut |_, line| hosts.host(line).map(drop))
}

/// CSV, plain items and ClamAV hash signatures. Number of lines that are right.
pub fn fuzz_csv(data: &[u8]) -> usize {
    let right = lines(data, &mut |_, line| csv::entry(line).map(drop))
        + lines(data, &mut |_, line| csv::recipient(line).map(drop))
        + lines(data, &mut |_, line| signature(line, Shape::WholeFile).map(drop))
        + lines(data, &mut |_, line| signature(line, Shape::Section).map(drop));
    lines(data, &mut |_, line| {
        // What is canonical stays as it is.
        if let Ok(pattern) = item::pattern(line) {
            assert_eq!(item::pattern(&pattern.to_string()).as_ref(), Ok(&pattern), "{line}");
        }
        Ok(())
    });
    right
}
