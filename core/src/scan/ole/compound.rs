//! Compound files (MS-CFB), read as far as they go: a table that contradicts itself, a tree out of
//! order, a stream that ends early cost what they concern and nothing else, because clients repair
//! such files and attackers make them. Entries that no storage leads to are listed too.
//!
//! Bounds: a chain has at most as many sectors as the file, entries are at most [`ENTRIES_MAX`].

/// Entries of a directory that are looked at.
const ENTRIES_MAX: usize = 20_000;
/// Storages inside each other that have a path of their own; deeper ones share it.
const DEPTH_MAX: usize = 30;
const HEAD_BYTES: usize = 512;
const ENTRY_BYTES: usize = 128;
const MINI_BYTES: usize = 64;
/// Marks above it are no sectors. MS-CFB section 2.1.
const SECTOR_MAX: u32 = 0xFFFF_FFFA;
const NOTHING: u32 = 0xFFFF_FFFF;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Storage,
    Stream,
    Root,
}

/// One storage or stream.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Names from the root down, with `/` between.
    pub(super) path: String,
    /// Its own name.
    pub(super) name: String,
    pub(super) kind: Kind,
    start: u32,
    bytes: u64,
}

impl Entry {
    /// Names of the storages around it; empty for what is in the root.
    pub(super) fn parent(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(parent, _)| parent)
    }

    /// Octets that it says it has.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A compound file.
#[derive(Debug)]
pub(super) struct Compound<'d> {
    octets: &'d [u8],
    sector_bytes: usize,
    fat: Vec<u32>,
    mini_fat: Vec<u32>,
    mini: Vec<u8>,
    mini_below: u64,
    /// In the order of the directory.
    pub(super) entries: Vec<Entry>,
}

impl<'d> Compound<'d> {
    /// Reads tables and directory; `None` where there is no directory to be found.
    pub(super) fn read(octets: &'d [u8]) -> Option<Self> {
        octets.get(..HEAD_BYTES)?;
        let shift = u32::from(half(octets, 30)?);
        // Some writers leave the shift out; 512 is what nearly all files have.
        let sector_bytes = if shift == 12 { 4096 } else { 512 };
        let mini_below = u64::from(word(octets, 56)?);
        let mut file = Self {
            octets,
            sector_bytes,
            fat: Vec::new(),
            mini_fat: Vec::new(),
            mini: Vec::new(),
            mini_below: if mini_below == 0 { 4096 } else { mini_below },
            entries: Vec::new(),
        };
        file.read_fat();
        let directory = file.chain(word(octets, 48)?, ENTRIES_MAX * ENTRY_BYTES);
        file.mini_fat = words(&file.chain(word(octets, 60)?, octets.len()));
        let raw: Vec<Raw> = directory.chunks_exact(ENTRY_BYTES).filter_map(Raw::read).collect();
        let root = raw.iter().find(|entry| entry.kind == 5)?;
        file.mini = file.chain(root.start, octets.len());
        file.entries = listed(&raw);
        Some(file)
    }

    /// Octets of the whole file.
    pub(super) fn bytes(&self) -> usize {
        self.octets.len()
    }

    /// The entry of this path, in any case.
    pub(super) fn find(&self, path: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.path.eq_ignore_ascii_case(path))
    }

    /// The octets of a stream, at most `bytes_max`.
    pub(super) fn stream(&self, entry: &Entry, bytes_max: usize) -> Vec<u8> {
        let wanted = usize::try_from(entry.bytes).unwrap_or(usize::MAX).min(bytes_max);
        if entry.bytes >= self.mini_below {
            return self.chain(entry.start, wanted);
        }
        let mut out = Vec::new();
        let (mut at, mut steps) = (entry.start, 0);
        while at < SECTOR_MAX && out.len() < wanted && steps <= self.mini_fat.len() {
            let begin = (at as usize).saturating_mul(MINI_BYTES);
            let Some(rest) = self.mini.get(begin..) else { break };
            out.extend_from_slice(rest.get(..MINI_BYTES).unwrap_or(rest));
            at = self.mini_fat.get(at as usize).copied().unwrap_or(NOTHING);
            steps += 1;
        }
        out.truncate(wanted);
        out
    }

    fn sector(&self, number: u32) -> Option<&'d [u8]> {
        let begin = (number as usize).checked_add(1)?.checked_mul(self.sector_bytes)?;
        let rest = self.octets.get(begin..).filter(|rest| !rest.is_empty())?;
        Some(rest.get(..self.sector_bytes).unwrap_or(rest))
    }

    /// The sectors that the header and the tables behind it name. MS-CFB section 2.5.
    fn read_fat(&mut self) {
        let sectors_max = self.octets.len() / self.sector_bytes + 1;
        let mut places = words(self.octets.get(76..HEAD_BYTES).unwrap_or_default());
        let (mut next, mut steps) = (word(self.octets, 68).unwrap_or(NOTHING), 0);
        while next < SECTOR_MAX && steps < sectors_max && places.len() < sectors_max {
            let Some(sector) = self.sector(next) else { break };
            let mut more = words(sector);
            next = more.pop().unwrap_or(NOTHING);
            places.append(&mut more);
            steps += 1;
        }
        let tables = places.into_iter().filter(|place| *place < SECTOR_MAX);
        for place in tables.take(sectors_max) {
            // A place that is not there still stands for the sectors that it would speak of.
            match self.sector(place) {
                Some(sector) => self.fat.append(&mut words(sector)),
                None => self.fat.resize(self.fat.len() + self.sector_bytes / 4, NOTHING),
            }
            if self.fat.len() >= sectors_max {
                break;
            }
        }
        self.fat.truncate(sectors_max);
    }

    /// Follows a chain of sectors, at most `bytes_max` octets and never in a circle for long.
    fn chain(&self, start: u32, bytes_max: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let (mut at, mut steps) = (start, 0);
        while at < SECTOR_MAX && out.len() < bytes_max && steps <= self.fat.len() {
            let Some(sector) = self.sector(at) else { break };
            out.extend_from_slice(sector);
            at = self.fat.get(at as usize).copied().unwrap_or(NOTHING);
            steps += 1;
        }
        out.truncate(bytes_max);
        out
    }
}

/// An entry as it stands in the directory. MS-CFB section 2.6.1.
struct Raw {
    name: String,
    kind: u8,
    left: u32,
    right: u32,
    child: u32,
    start: u32,
    bytes: u64,
}

impl Raw {
    fn read(octets: &[u8]) -> Option<Self> {
        let name_bytes = usize::from(half(octets, 64)?).clamp(2, 64) - 2;
        let units: Vec<u16> = octets
            .get(..name_bytes)?
            .chunks_exact(2)
            .filter_map(|pair| Some(u16::from_le_bytes(pair.try_into().ok()?)))
            .take_while(|unit| *unit != 0)
            .collect();
        Some(Self {
            name: String::from_utf16_lossy(&units).replace('/', "_"),
            kind: *octets.get(66)?,
            left: word(octets, 68)?,
            right: word(octets, 72)?,
            child: word(octets, 76)?,
            start: word(octets, 116)?,
            // The upper half is rubbish in files of version 3.
            bytes: u64::from(word(octets, 120)?),
        })
    }
}

/// Entries with their paths; those that the tree does not reach come last, as if in the root.
fn listed(raw: &[Raw]) -> Vec<Entry> {
    let mut paths: Vec<Option<(String, usize)>> = vec![None; raw.len()];
    let mut todo: Vec<(u32, String, usize)> = Vec::new();
    for (at, entry) in raw.iter().enumerate() {
        if entry.kind == 5 {
            todo.push((entry.child, String::new(), 0));
            if let Some(slot) = paths.get_mut(at) {
                *slot = Some((String::new(), 0));
            }
        }
    }
    while let Some((id, parent, depth)) = todo.pop() {
        let index = id as usize;
        let (Some(entry), Some(slot)) = (raw.get(index), paths.get_mut(index)) else { continue };
        if slot.is_some() {
            continue;
        }
        let path =
            if parent.is_empty() { entry.name.clone() } else { format!("{parent}/{}", entry.name) };
        *slot = Some((path.clone(), depth));
        todo.push((entry.left, parent.clone(), depth));
        todo.push((entry.right, parent, depth));
        if entry.kind == 1 {
            let path = if depth < DEPTH_MAX { path } else { String::new() };
            todo.push((entry.child, path, depth + 1));
        }
    }
    let entry = |raw: &Raw, path: Option<(String, usize)>| {
        let kind = match raw.kind {
            1 => Kind::Storage,
            2 => Kind::Stream,
            5 => Kind::Root,
            _ => return None,
        };
        let path = path.map_or_else(|| raw.name.clone(), |(path, _)| path);
        let (name, start, bytes) = (raw.name.clone(), raw.start, raw.bytes);
        Some(Entry { path, name, kind, start, bytes })
    };
    raw.iter().zip(paths).filter_map(|(raw, path)| entry(raw, path)).collect()
}

/// The 16 bits at `at`, little-endian.
pub(in crate::scan) fn half(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(octets.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// The 32 bits at `at`, little-endian.
pub(in crate::scan) fn word(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(octets.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn words(octets: &[u8]) -> Vec<u32> {
    octets.chunks_exact(4).filter_map(|four| word(four, 0)).collect()
}
