//! Mails out of files: a directory, or an mbox.

use std::fs;
use std::io;
use std::path::Path;

/// A mail file as it is sent: without an mbox `From ` line, every line end CR LF.
#[must_use]
pub fn to_canonical(octets: &[u8]) -> Vec<u8> {
    let mut rest = octets;
    if rest.starts_with(b"From ") {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        rest = rest.get(end..).unwrap_or_default();
    }
    let mut out = Vec::with_capacity(rest.len() + rest.len() / 32 + 2);
    let mut previous = 0;
    for &octet in rest {
        // A bare CR and a bare LF are line ends too: that is what the engine makes of them.
        match octet {
            b'\n' if previous == b'\r' => {}
            b'\r' | b'\n' => out.extend_from_slice(b"\r\n"),
            other => out.push(other),
        }
        previous = octet;
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Every file of a directory and of those in it, by name.
pub(super) fn read_tree(dir: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut paths = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.iter().map(|path| Ok(to_canonical(&fs::read(path)?))).collect()
}

/// The mails of an mbox: each begins with a `From ` line at the start or after an empty line; one
/// `>` goes from lines that are `>`s and `From ` (RFC 4155, quoting of the "mboxrd" kind). A
/// `From ` line inside a paragraph is text of a mailer that did not quote, and stays.
pub(super) fn split_mbox(octets: &[u8]) -> Vec<Vec<u8>> {
    let mut mails: Vec<Vec<u8>> = Vec::new();
    let mut after_empty = true;
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        let is_empty = matches!(line, b"\n" | b"\r\n");
        if after_empty && line.starts_with(b"From ") {
            mails.push(Vec::new());
            after_empty = false;
            continue;
        }
        after_empty = is_empty;
        // What stands before the first separator belongs to no mail.
        let Some(mail) = mails.last_mut() else { continue };
        let marks = line.iter().take_while(|&&octet| octet == b'>').count();
        let quoted = marks > 0 && line.get(marks..).is_some_and(|rest| rest.starts_with(b"From "));
        mail.extend_from_slice(if quoted { line.get(1..).unwrap_or_default() } else { line });
    }
    let mut canonical = Vec::with_capacity(mails.len());
    for mail in mails {
        // A mail's own first line may look like a separator only in a broken file; it is dropped by
        // `to_canonical` as in a file of one mail.
        let mut mail = to_canonical(&mail);
        // The empty line before the next separator is the mbox's, not the mail's.
        if mail.ends_with(b"\r\n\r\n") && !ends_with_header_section(&mail) {
            mail.truncate(mail.len() - 2);
        }
        canonical.push(mail);
    }
    canonical.retain(|mail| !mail.is_empty());
    canonical
}

/// Whether the only empty line of a mail is its last: then it ends the header section.
fn ends_with_header_section(mail: &[u8]) -> bool {
    memchr::memmem::find(mail, b"\r\n\r\n") == Some(mail.len() - 4)
}
