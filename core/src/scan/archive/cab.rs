//! Cabinets: members by MSZIP, LZX or stored. What cannot be unpacked is named and not scanned.
//!
//! The library panics on a member that begins behind the end of its folder. That costs this member and no other: who
//! adds such a one hides nothing.

use std::collections::HashSet;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cab::Cabinet;

use super::{Budget, Member};
use crate::message::ExceptionKind;

pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut out = Vec::new();
    let Ok(mut cabinet) = Cabinet::new(Cursor::new(octets)) else {
        // InstallShield's have the same ending and another form.
        let kind = match octets.starts_with(b"MSCF") {
            true => ExceptionKind::Malformed,
            false => ExceptionKind::NotScanned,
        };
        budget.note(kind, place, "cabinet that cannot be read");
        return out;
    };
    let names: Vec<String> = cabinet
        .folder_entries()
        .flat_map(|folder| {
            let names: Vec<String> =
                folder.file_entries().map(|file| file.name().to_owned()).collect();
            names
        })
        .collect();
    let mut known = HashSet::new();
    for name in names {
        if !budget.admits_member(place) || !budget.admits_input(octets.len(), place) {
            return out;
        }
        // The library finds members by their names alone; readers write the later one over the first.
        if !known.insert(name.clone()) {
            let detail = "cabinet with two members of one name";
            budget.note(ExceptionKind::NotScanned, place, detail);
            continue;
        }
        let read = catch_unwind(AssertUnwindSafe(|| {
            let mut source = cabinet.read_file(&name).ok()?;
            Some(budget.read(&mut source, octets.len() as u64, place))
        }));
        let content = match read {
            Ok(Some((content, whole))) => {
                if !whole {
                    budget.note(ExceptionKind::Malformed, place, "cabinet member that ends early");
                }
                content
            }
            Ok(None) => {
                let detail = "cabinet member that cannot be unpacked";
                budget.note(ExceptionKind::NotScanned, place, detail);
                Vec::new()
            }
            Err(_) => {
                let detail = "cabinet member that its reader cannot bear";
                budget.note(ExceptionKind::Malformed, place, detail);
                Vec::new()
            }
        };
        // Each member is reached by unpacking its folder from the begin.
        budget.used_input(octets.len() as u64);
        out.push(Member { name: name.into_bytes(), octets: content });
    }
    out
}
