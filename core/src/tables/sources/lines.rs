//! Source files line by line, however long they are.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::tables::{SourceError, disk};

/// Longest line that is read; a longer one is a mistake, not a reason to run out of memory.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// More mistakes than this are counted, not listed.
const ERRORS_MAX: usize = 100_000;

/// All mistakes of a build.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    list: Vec<SourceError>,
    more: u64,
}

impl Errors {
    pub(crate) fn push(&mut self, error: SourceError) {
        if self.list.len() < ERRORS_MAX {
            self.list.push(error);
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// By file in the order of the sources, then by line.
    pub(crate) fn into_list(self, files: &[PathBuf]) -> Vec<SourceError> {
        let Self { mut list, more } = self;
        list.sort_by_key(|error| {
            let place = files.iter().position(|file| *file == error.file);
            (place.unwrap_or(usize::MAX), error.line, error.column)
        });
        if more > 0
            && let Some(file) = list.last().map(|error| error.file.clone())
        {
            list.push(SourceError::new(&file, 0, 0, format!("and {more} more mistakes")));
        }
        list
    }
}

/// A mistake in a line: column in octets from 0, and what it is.
pub(crate) type LineError = (usize, String);

/// Calls `each` with the number (from 1) and text of every line, without its end. Counts lines.
/// A file that begins with a byte order mark is refused as a whole (U5).
pub(crate) fn each_line(
    file: &Path,
    errors: &mut Errors,
    each: &mut dyn FnMut(u64, &str) -> Result<(), LineError>,
) -> u64 {
    match disk::open(file) {
        Ok(handle) => each_line_of(BufReader::with_capacity(1 << 18, handle), file, errors, each),
        Err(error) => {
            errors.push(SourceError::new(file, 0, 0, error.to_string()));
            0
        }
    }
}

pub(crate) fn each_line_of(
    mut reader: impl BufRead,
    file: &Path,
    errors: &mut Errors,
    each: &mut dyn FnMut(u64, &str) -> Result<(), LineError>,
) -> u64 {
    let mut line = Vec::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        match (&mut reader).take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line) {
            Ok(0) => return number,
            Ok(_) => number += 1,
            Err(error) => {
                errors.push(SourceError::new(file, number + 1, 0, error.to_string()));
                return number;
            }
        }
        if number == 1 && has_byte_order_mark(&line) {
            let text = "begins with a byte order mark; save it as plain UTF-8";
            errors.push(SourceError::new(file, 1, 1, text));
            return number;
        }
        if line.len() > LINE_BYTES_MAX {
            let text = format!("line is longer than {LINE_BYTES_MAX} octets");
            errors.push(SourceError::new(file, number, 1, text));
            if skip_line(&mut reader).is_err() {
                return number;
            }
            continue;
        }
        let content = line.strip_suffix(b"\n").unwrap_or(&line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        match std::str::from_utf8(content) {
            Ok(text) => {
                if let Err((at, what)) = each(number, text) {
                    let before = text.get(..at).map_or(at, |text| text.chars().count());
                    errors.push(SourceError::new(file, number, before as u64 + 1, what));
                }
            }
            Err(error) => {
                let column = error.valid_up_to() as u64 + 1;
                errors.push(SourceError::new(file, number, column, "is not UTF-8"));
            }
        }
    }
}

fn has_byte_order_mark(line: &[u8]) -> bool {
    [&b"\xef\xbb\xbf"[..], b"\xff\xfe", b"\xfe\xff"].iter().any(|mark| line.starts_with(mark))
}

fn skip_line(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let piece = reader.fill_buf()?;
        let (count, end) = match memchr::memchr(b'\n', piece) {
            Some(at) => (at + 1, true),
            None => (piece.len(), piece.is_empty()),
        };
        reader.consume(count);
        if end {
            return Ok(());
        }
    }
}

/// The item of a plain list's line: without comment and blanks; its column in octets from 0. `None`
/// for a line without an item.
pub(crate) fn plain_item(line: &str) -> Option<(usize, &str)> {
    let item = line.split_once('#').map_or(line, |(item, _)| item);
    let start = item.len() - item.trim_start().len();
    let item = item.trim();
    (!item.is_empty()).then_some((start, item))
}
