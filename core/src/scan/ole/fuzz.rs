//! Entry for fuzzing: streams as their readers get them, without the compound file around, which bent octets
//! rarely leave in order.

use super::{biff, crypt, linked, macros, old_crypt, package, powerpoint, visio, word_fields};
use crate::scan::archive::Budget;

/// First octet: which reader. Number of members.
pub(in crate::scan) fn fuzz_stream(data: &[u8], budget: &mut Budget<'_>) -> usize {
    let Some((&reader, stream)) = data.split_first() else { return 0 };
    let place = "1";
    match reader % 10 {
        0 => biff::look(stream, place, budget),
        1 => return powerpoint::members(stream, place, budget).len(),
        2 => return usize::from(visio::project(stream, place, budget).is_some()),
        3 => return usize::from(package::native(stream, place, budget).is_some()),
        4 => return package::native_files(stream, place, budget).len(),
        5 => {
            let mut out = Vec::new();
            macros("VBA", stream, &mut super::Project::default(), (place, budget), &mut out);
            return out.len();
        }
        6 => word_fields(stream, place, budget),
        7 => linked(stream, place, budget),
        8 => return old_crypt::fuzz(stream),
        _ => return crypt::fuzz(stream, place, budget),
    }
    0
}
