//! What is known of host names: bad ones, shorteners, disposable and free mail domains (table
//! `urls`).
//!
//! An entry is for a name, for the names below it, or both; or for a page, `host/path`, and then for it alone: who asks
//! asks for what the path begins with, too. Of each list the entry nearest to the
//! asked name decides (rbldnsd: `!` takes a name out of a wider entry); the flags of all lists add up.

use rkyv::{Archive, Serialize};
use smallvec::SmallVec;

use super::HostFlags;
use super::flat::Flat;

/// What of the names an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Exact,
    Below,
    Both,
}

/// The table.
#[derive(Debug, Default, Archive, Serialize)]
pub(super) struct HostsTable {
    pub flat: Flat,
    pub lists: Vec<HostList>,
}

/// One list of hosts.
#[derive(Debug, Clone, Archive, Serialize)]
pub(super) struct HostList {
    pub name: String,
    pub flags: u8,
}

pub(super) fn flag_bits(flags: HostFlags) -> u8 {
    let HostFlags { bad, shortener, disposable, free_mail, suspicious } = flags;
    let bits = [bad, shortener, disposable, free_mail, suspicious];
    bits.iter().rev().fold(0, |bits, bit| bits << 1 | u8::from(*bit))
}

fn flags_of(bits: u8) -> HostFlags {
    HostFlags {
        bad: bits & 1 != 0,
        shortener: bits & 2 != 0,
        disposable: bits & 4 != 0,
        free_mail: bits & 8 != 0,
        suspicious: bits & 16 != 0,
    }
}

/// Value: number of the list, scope, 1 where the name is taken out of the list.
pub(super) fn value(list: u16, scope: Scope, excluded: bool) -> [u8; 4] {
    let [low, high] = list.to_le_bytes();
    let scope = match scope {
        Scope::Exact => 1,
        Scope::Below => 2,
        Scope::Both => 3,
    };
    [low, high, scope, u8::from(excluded)]
}

/// The same list with an overlapping scope.
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    let scopes = left.get(2).copied().unwrap_or(0) & right.get(2).copied().unwrap_or(0);
    left.get(..2) == right.get(..2) && scopes != 0
}

impl ArchivedHostsTable {
    /// Flags of `host` (A-labels, lower case), or of a page on it (`host/path`).
    pub(super) fn find(&self, host: &str) -> HostFlags {
        let mut decided: SmallVec<[u16; 8]> = SmallVec::new();
        let mut bits = 0;
        let (mut name, mut wanted_scope) = (host, 1);
        loop {
            for value in self.flat.find(name.as_bytes()) {
                let Ok([low, high, scope, excluded]) = <[u8; 4]>::try_from(value) else { continue };
                let list = u16::from_le_bytes([low, high]);
                if scope & wanted_scope == 0 || decided.contains(&list) {
                    continue;
                }
                decided.push(list);
                if excluded == 0 {
                    bits |= self.lists.get(usize::from(list)).map_or(0, |list| list.flags);
                }
            }
            // A page has no names above it.
            let parent = name.split_once('.').filter(|_| !host.contains('/'));
            let Some((_, parent)) = parent else { break };
            (name, wanted_scope) = (parent, 2);
        }
        flags_of(bits)
    }
}
