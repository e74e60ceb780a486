//! Cabinets: members by MSZIP, LZX or stored. What cannot be unpacked is named and not scanned.

use std::io::Cursor;

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
    for name in names {
        if !budget.admits_member(place) || !budget.admits_input(octets.len(), place) {
            return out;
        }
        let mut content = Vec::new();
        match cabinet.read_file(&name) {
            Ok(mut source) => {
                let (read, whole) = budget.read(&mut source, octets.len() as u64, place);
                content = read;
                if !whole {
                    budget.note(ExceptionKind::Malformed, place, "cabinet member that ends early");
                }
            }
            Err(_) => {
                let detail = "cabinet member that cannot be unpacked";
                budget.note(ExceptionKind::NotScanned, place, detail);
            }
        }
        // Each member is reached by unpacking its folder from the begin.
        budget.used_input(octets.len() as u64);
        out.push(Member { name: name.into_bytes(), octets: content });
    }
    out
}
