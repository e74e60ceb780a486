//! VBA in compound files: sources unpacked (MS-OVBA section 2.4.1), and what they call.
//!
//! The project's own directory is not believed, and need not be there: sources are found by how they
//! begin, in every stream, so that a damaged or hidden project hides nothing. What is left of a
//! project whose sources were taken out is found by its streams.

use aho_corasick::AhoCorasick;
use memchr::memmem;
use std::sync::LazyLock;

/// How the octets of a compressed source begin, behind the container's first octet and the head of its
/// first chunk: eight literals, "Attribut".
const BEGIN: &[u8] = b"\0Attribut";
/// Head of a chunk that is not packed: 4,096 octets, always.
const RAW: &[u8] = b"\xFF\x3F";
/// Sources of one stream that are unpacked.
const SOURCES_MAX: usize = 200;
/// Octets of one source.
const SOURCE_BYTES_MAX: usize = 1024 * 1024;

/// Procedures that run without being asked for, in lower case.
const AUTORUN: [&str; 26] = [
    "autoexec",
    "autoopen",
    "auto_open",
    "autoclose",
    "auto_close",
    "autoexit",
    "autonew",
    "auto_exec",
    "auto_new",
    "document_open",
    "documentopen",
    "document_close",
    "document_new",
    "documentbeforeclose",
    "workbook_open",
    "workbook_activate",
    "workbook_close",
    "workbook_beforeclose",
    "worksheet_calculate",
    "app_documentopen",
    "document_beforeclose",
    "_layout(",
    "_gotfocus(",
    "inkpicture1_painted",
    "app_presentationopen",
    "onslideshowpagechange",
];

/// Calls that start programs, load code or fetch something, in lower case.
const DANGEROUS: [&str; 30] = [
    "shell",
    "wscript",
    "powershell",
    "createobject(chr",
    "urldownloadtofile",
    "msxml2.xmlhttp",
    "winhttp",
    "xmlhttp",
    "adodb.stream",
    "savetofile",
    "createprocess",
    "virtualalloc",
    "createthread",
    "rtlmovememory",
    "cmd.exe",
    "cmd /c",
    "mshta",
    "regsvr32",
    "rundll32",
    "certutil",
    "bitsadmin",
    "schtasks",
    "winmgmts",
    "win32_process",
    "shellexecute",
    "macscript",
    "executeexcel4macro",
    "regwrite",
    "internetexplorer.application",
    "writeprocessmemory",
];

static AUTORUNS: LazyLock<AhoCorasick> = LazyLock::new(|| words(&AUTORUN));
static CALLS: LazyLock<AhoCorasick> = LazyLock::new(|| words(&DANGEROUS));

fn words(words: &[&str]) -> AhoCorasick {
    let built = AhoCorasick::builder().ascii_case_insensitive(true).build(words);
    built.unwrap_or_else(|error| unreachable!("a few short strings: {error}"))
}

/// What a source does.
#[derive(Debug, Default)]
pub(in crate::scan) struct Seen {
    pub(in crate::scan) autorun: Vec<&'static str>,
    pub(in crate::scan) dangerous: Vec<&'static str>,
}

impl Seen {
    pub(in crate::scan) fn add(&mut self, source: &[u8]) {
        for hit in AUTORUNS.find_iter(source) {
            add(&mut self.autorun, AUTORUN.get(hit.pattern().as_usize()));
        }
        for hit in CALLS.find_iter(source) {
            // `shell` is also the beginning of many harmless names.
            let before = hit.start().checked_sub(1).and_then(|at| source.get(at));
            if !before.is_some_and(u8::is_ascii_alphanumeric) {
                add(&mut self.dangerous, DANGEROUS.get(hit.pattern().as_usize()));
            }
        }
    }
}

fn add(list: &mut Vec<&'static str>, word: Option<&&'static str>) {
    if let Some(word) = word
        && !list.contains(word)
        && list.len() < 8
    {
        list.push(word);
    }
}

/// The sources in a stream, unpacked one by one. A first chunk that is not packed has no octet of flags before its text.
pub(in crate::scan) fn sources(stream: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut behind = 0;
    let begin = BEGIN.get(1..).unwrap_or(BEGIN);
    let found = memmem::find_iter(stream, begin).filter_map(move |at| {
        let raw = at.checked_sub(2).filter(|start| stream.get(*start..at) == Some(RAW));
        let packed = at.checked_sub(3).filter(|_| stream.get(at - 1) == Some(&0));
        let start = raw.or(packed).filter(|start| *start >= behind)?;
        let (source, used) = decompress(stream.get(start..).unwrap_or_default());
        behind = start + used;
        (!source.is_empty()).then_some(source)
    });
    found.take(SOURCES_MAX)
}

/// Unpacks chunks one after the other, and says how many octets they take. MS-OVBA section 2.4.1.3.
fn decompress(chunks: &[u8]) -> (Vec<u8>, usize) {
    let mut out: Vec<u8> = Vec::new();
    let mut at = 0;
    while let Some(&[low, high]) = chunks.get(at..at + 2) {
        let head = u16::from_le_bytes([low, high]);
        if head >> 12 & 0b111 != 0b011 || out.len() >= SOURCE_BYTES_MAX {
            break;
        }
        let bytes = usize::from(head & 0x0FFF) + 1;
        let rest = chunks.get(at + 2..).unwrap_or_default();
        let chunk = rest.get(..bytes).unwrap_or(rest);
        at += 2 + chunk.len();
        if head & 0x8000 == 0 {
            out.extend_from_slice(chunk);
        } else {
            unpack(chunk, &mut out);
        }
        if chunk.len() < bytes {
            break;
        }
    }
    (out, at)
}

/// One compressed chunk: at most 4,096 octets come of it.
fn unpack(chunk: &[u8], out: &mut Vec<u8>) {
    let begin = out.len();
    let mut octets = chunk.iter().copied();
    while let Some(flags) = octets.next() {
        for bit in 0..8 {
            if flags >> bit & 1 == 0 {
                let Some(literal) = octets.next() else { return };
                out.push(literal);
                continue;
            }
            let (Some(low), Some(high)) = (octets.next(), octets.next()) else { return };
            let token = usize::from(u16::from_le_bytes([low, high]));
            let made = out.len() - begin;
            // As many bits for the offset as the octets so far need, at least four.
            let bits = (4..12).find(|bits| 1_usize << bits >= made).unwrap_or(12);
            let length = (token & (0xFFFF >> bits)) + 3;
            let offset = (token >> (16 - bits)) + 1;
            if offset > made || made >= 4096 {
                return;
            }
            for _ in 0..length {
                let Some(octet) = out.get(out.len() - offset).copied() else { return };
                out.push(octet);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_whose_first_chunk_is_not_packed_is_found_and_a_word_of_a_text_is_none() {
        let begin = format!("{:4096}", "Attribute VB_Name = \"A\"\r\nSub AutoOpen()\r\n");
        // Behind it one that is packed: eight literals.
        let stream = [&b"\x01\xFF\x3F"[..], begin.as_bytes(), b"\x08\xB0\0Shell(x)"].concat();
        let found: Vec<Vec<u8>> = sources(&stream).collect();
        assert_eq!(found.len(), 1);
        let text = String::from_utf8_lossy(&found[0]).into_owned();
        assert!(text.contains("AutoOpen") && text.contains("Shell("), "{text}");
        assert_eq!(sources(b"see 1Attribut and 0?Attribute").count(), 0);
    }
}
