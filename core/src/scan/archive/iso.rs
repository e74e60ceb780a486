//! ISO 9660, with the names of Joliet where an image has them, and UDF. All trees are walked: which one a client shows is its
//! choice.

use std::collections::HashSet;

use super::{Budget, Member, udf};
use crate::message::{ExceptionKind, Limit};

const SECTOR: usize = 2048;
/// Volume descriptors begin here.
const FIRST_DESCRIPTOR: usize = 16;
/// Descriptors looked at, and directories of one image.
const DESCRIPTORS_MAX: usize = 64;
const DIRECTORIES_MAX: usize = 10_000;

pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let mut reading = Reading {
        octets,
        place,
        budget,
        out: Vec::new(),
        files: HashSet::new(),
        directories: HashSet::new(),
        walked: 0,
    };
    let mut trees = Vec::new();
    for number in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + DESCRIPTORS_MAX {
        let Some(descriptor) = sector(octets, number) else { break };
        match (descriptor.first(), descriptor.get(1..6)) {
            (Some(1), Some(b"CD001")) => trees.push((descriptor, false)),
            (Some(2), Some(b"CD001")) => {
                let joliet = matches!(descriptor.get(88..91), Some(b"%/@" | b"%/C" | b"%/E"));
                trees.push((descriptor, joliet));
            }
            (Some(255), _) => break,
            _ => {}
        }
    }
    let udf = udf::is_named(octets);
    if udf && !reading.udf() {
        return reading.out;
    }
    if trees.is_empty() && !udf {
        reading.budget.note(ExceptionKind::NotScanned, place, "a disk image that is not read here");
        return reading.out;
    }
    // The longer names first: the same file is taken once.
    trees.sort_by_key(|(_, joliet)| !joliet);
    for (descriptor, joliet) in trees {
        let Some(root) = descriptor.get(156..190).and_then(Entry::read) else {
            reading.malformed();
            continue;
        };
        reading.tree(&root, joliet);
    }
    reading.out
}

struct Reading<'z, 'b, 'l> {
    octets: &'z [u8],
    place: &'b str,
    budget: &'b mut Budget<'l>,
    out: Vec<Member>,
    /// What was read, with its ending: a file stands in several trees, and a hostile image points in circles. Under another
    /// ending it is another file.
    files: HashSet<(usize, usize, Vec<u8>)>,
    directories: HashSet<usize>,
    /// Octets of directories that were walked; they may lie on each other.
    walked: usize,
}

/// A directory record.
struct Entry<'z> {
    extent: usize,
    bytes: usize,
    directory: bool,
    name: &'z [u8],
}

impl<'z> Entry<'z> {
    /// Reads the record that begins here. `None`: there is none, or it is cut off.
    fn read(record: &'z [u8]) -> Option<Self> {
        let length = usize::from(*record.first()?);
        let record = record.get(..length)?;
        let word = |at: usize| -> Option<usize> {
            let field = record.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_le_bytes(field)).ok()
        };
        let name_bytes = usize::from(*record.get(32)?);
        Some(Self {
            extent: word(2)?,
            bytes: word(10)?,
            directory: record.get(25)? & 2 != 0,
            name: record.get(33..33 + name_bytes)?,
        })
    }
}

impl<'z> Reading<'z, '_, '_> {
    fn malformed(&mut self) {
        let detail = "a disk image that cannot be read to its end";
        self.budget.note(ExceptionKind::Malformed, self.place, detail);
    }

    fn tree(&mut self, root: &Entry<'z>, joliet: bool) {
        let mut todo = vec![(root.extent, root.bytes)];
        while let Some((extent, bytes)) = todo.pop() {
            if !self.directories.insert(extent) {
                continue;
            }
            self.walked = self.walked.saturating_add(bytes);
            if self.directories.len() > DIRECTORIES_MAX
                || self.walked > self.octets.len().saturating_mul(4)
            {
                let detail = "a disk image with too many directories";
                self.budget.limit(Limit::Entries, self.place, detail);
                return;
            }
            let Some(directory) = extent_of(self.octets, extent, bytes) else {
                self.malformed();
                continue;
            };
            // A record does not cross the end of a sector.
            for sector in directory.chunks(SECTOR) {
                let mut rest = sector;
                while let Some(entry) = Entry::read(rest) {
                    let length = usize::from(*rest.first().unwrap_or(&0));
                    rest = rest.get(length..).unwrap_or_default();
                    // The directory itself and the one above.
                    if matches!(entry.name, [0 | 1]) || length == 0 {
                        if length == 0 {
                            break;
                        }
                        continue;
                    }
                    if entry.directory {
                        todo.push((entry.extent, entry.bytes));
                    } else if !self.file(&entry, joliet) {
                        return;
                    }
                }
            }
        }
    }

    /// Whether a file was not read under such an ending. ISO 9660 has three letters of it.
    fn is_new(&mut self, start: usize, bytes: usize, name: &[u8]) -> bool {
        let ending = name.rsplit(|octet| *octet == b'.').next().unwrap_or_default();
        let ending = ending.iter().take(3).map(u8::to_ascii_lowercase).collect();
        self.files.insert((start, bytes, ending))
    }

    /// The tree of UDF. `false`: there is no room for more members.
    fn udf(&mut self) -> bool {
        let bytes_in = self.octets.len() as u64;
        let done = udf::files(self.octets, &mut |mut file| {
            if !self.is_new(file.start, file.bytes, &file.name) {
                return true;
            }
            if !self.budget.admits_member(self.place) {
                return false;
            }
            let (content, _) = self.budget.read(&mut file.data, bytes_in, self.place);
            if content.len() < file.bytes && !self.budget.is_full() {
                self.malformed();
            }
            self.out.push(Member::new(file.name, content));
            true
        });
        match done {
            Ok(()) => {}
            Err(udf::Stop::Enough) => return false,
            Err(udf::Stop::Malformed) => self.malformed(),
            Err(udf::Stop::NotRead) => {
                let detail = "UDF of a kind that is not read here";
                self.budget.note(ExceptionKind::NotScanned, self.place, detail);
            }
            Err(udf::Stop::Limit) => {
                let detail = "a disk image with too many directories";
                self.budget.limit(Limit::Entries, self.place, detail);
            }
        }
        true
    }

    /// `false`: there is no room for more members.
    fn file(&mut self, entry: &Entry<'z>, joliet: bool) -> bool {
        let name = match joliet {
            true => {
                let halves = entry.name.chunks_exact(2).map(|pair| match pair {
                    [high, low] => u16::from_be_bytes([*high, *low]),
                    _ => 0,
                });
                let text = char::decode_utf16(halves).map(|c| c.unwrap_or('?'));
                text.collect::<String>().into_bytes()
            }
            false => entry.name.to_vec(),
        };
        // `NAME.EXT;1` is version 1 of NAME.EXT.
        let end = name.iter().rposition(|octet| *octet == b';').unwrap_or(name.len());
        let name = name.get(..end).unwrap_or(&name).to_vec();
        let start = entry.extent.saturating_mul(SECTOR);
        if !self.is_new(start, entry.bytes, &name) {
            return true;
        }
        if !self.budget.admits_member(self.place) {
            return false;
        }
        let data = extent_of(self.octets, entry.extent, entry.bytes);
        if data.is_none() {
            self.malformed();
        }
        let mut source = data.or_else(|| self.octets.get(start..)).unwrap_or_default();
        let bytes_in = source.len() as u64;
        let (content, _) = self.budget.read(&mut source, bytes_in, self.place);
        self.out.push(Member::new(name, content));
        true
    }
}

fn sector(octets: &[u8], number: usize) -> Option<&[u8]> {
    extent_of(octets, number, SECTOR)
}

fn extent_of(octets: &[u8], extent: usize, bytes: usize) -> Option<&[u8]> {
    let start = extent.checked_mul(SECTOR)?;
    octets.get(start..start.checked_add(bytes)?)
}
