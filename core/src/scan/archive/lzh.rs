//! LHA/LZH, still sent in Japan.

use std::io::Read as _;

use delharc::LhaDecodeReader;

use super::{Budget, Member};
use crate::message::ExceptionKind;

pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut out = Vec::new();
    let Ok(mut reader) = LhaDecodeReader::new(octets) else {
        budget.note(ExceptionKind::Malformed, place, "lzh that cannot be read");
        return out;
    };
    loop {
        if reader.is_absent() {
            return out;
        }
        if !reader.header().is_directory() {
            if !budget.admits_member(place) {
                return out;
            }
            let name = name(reader.header());
            let bytes_in = reader.header().compressed_size;
            if reader.is_decoder_supported() {
                let (content, whole) = budget.read(&mut reader, bytes_in, place);
                if !whole {
                    budget.note(ExceptionKind::Malformed, place, "lzh member that ends early");
                }
                out.push(Member::new(name, content));
            } else {
                budget.note(ExceptionKind::NotScanned, place, "lzh method that is not read here");
                out.push(Member::unread(name, reader.header().original_size, false));
            }
            if budget.is_full() {
                return out;
            }
        }
        // What was not read of this member is skipped.
        let mut rest = [0; 4096];
        if reader.is_decoder_supported() {
            while matches!(reader.read(&mut rest), Ok(count) if count > 0) {}
        }
        match reader.next_file() {
            Ok(true) => {}
            Ok(false) => return out,
            Err(_) => {
                budget.note(ExceptionKind::Malformed, place, "lzh that cannot be read to its end");
                return out;
            }
        }
    }
}

/// The octets where they stand in the header itself (Shift_JIS, mostly), else what the extensions say.
fn name(header: &delharc::LhaHeader) -> Vec<u8> {
    match header.filename.is_empty() {
        false => header.filename.to_vec(),
        true => header.parse_pathname_to_str().into_bytes(),
    }
}
