//! UDF (ECMA-167), which Windows prefers where an image has it beside ISO 9660: one volume, one plain partition, files in
//! short, long or embedded allocation descriptors. What an image has besides (tables of defects, partitions of metadata, virtual
//! partitions) is said to be not read.

use std::collections::HashSet;
use std::io::{Read, Result as IoResult};
use std::ops::Range;

use crate::scan::ole::{half, word};

/// Where the anchor is, in blocks.
const ANCHOR: usize = 256;
/// Sizes of a block: optical, then disks.
const BLOCKS: [usize; 3] = [2048, 512, 4096];
/// Descriptors of the volume that are looked at.
const DESCRIPTORS_MAX: usize = 64;
/// Directories and extents of a file or directory that are followed.
const DIRECTORIES_MAX: usize = 10_000;
const EXTENTS_MAX: usize = 10_000;
/// Octets of one directory.
const DIRECTORY_BYTES_MAX: usize = 16 * 1024 * 1024;

// Tags of descriptors. ECMA-167 3/7.2.1, 4/7.2.1.
const ANCHOR_TAG: u16 = 2;
const PARTITION: u16 = 5;
const LOGICAL_VOLUME: u16 = 6;
const TERMINATOR: u16 = 8;
const FILE_SET: u16 = 256;
const FILE_IDENTIFIER: u16 = 257;
const FILE_ENTRY: u16 = 261;
const EXTENDED_FILE_ENTRY: u16 = 266;

/// Whether the image says that it has UDF, in the sectors behind those of ISO 9660.
pub(super) fn is_named(octets: &[u8]) -> bool {
    let sectors = (16..80).filter_map(|number| octets.get(number * 2048 + 1..number * 2048 + 6));
    sectors.take_while(|id| id.iter().any(|octet| *octet != 0)).any(|id| id.starts_with(b"NSR0"))
}

/// What was read of a file.
pub(super) struct File<'z> {
    pub(super) name: Vec<u8>,
    pub(super) data: Pieces<'z>,
    /// Where it begins in the image.
    pub(super) start: usize,
    /// Octets that it says it has.
    pub(super) bytes: usize,
}

/// The pieces of a file, one behind the other. Several may be the same octets, so that they are not put together at once.
pub(super) struct Pieces<'z> {
    octets: &'z [u8],
    /// In order; the first is the last.
    ranges: Vec<Range<usize>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> IoResult<usize> {
        while let Some(range) = self.ranges.last_mut() {
            let rest = self.octets.get(range.clone()).unwrap_or_default();
            let count = rest.len().min(out.len());
            if count > 0 {
                out.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                range.start += count;
                return Ok(count);
            }
            if out.is_empty() {
                return Ok(0);
            }
            self.ranges.pop();
        }
        Ok(0)
    }
}

/// Why there are no more files.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The structures do not hold together.
    Malformed,
    /// A kind of partition or allocation that is not read here.
    NotRead,
    /// Too many directories.
    Limit,
    /// The taker wants no more.
    Enough,
}

/// Gives each file to `take`, which says whether it wants more.
pub(super) fn files<'z>(
    octets: &'z [u8],
    take: &mut dyn FnMut(File<'z>) -> bool,
) -> Result<(), Stop> {
    let (volume, root) = Volume::read(octets)?;
    let mut seen = HashSet::new();
    let (mut todo, mut broken) = (vec![root], false);
    // Directories and descriptors may all lie on each other.
    let (mut work, most) = (0_usize, octets.len().saturating_mul(4));
    while let Some(place) = todo.pop() {
        if !seen.insert(place) {
            continue;
        }
        if seen.len() > DIRECTORIES_MAX || work > most {
            return Err(Stop::Limit);
        }
        let Some(entry) = volume.entry(place) else {
            broken = true;
            continue;
        };
        let mut directory = Vec::new();
        let bytes = entry.bytes.min(DIRECTORY_BYTES_MAX) as u64;
        let _ = volume.pieces(&entry)?.take(bytes).read_to_end(&mut directory);
        work += directory.len();
        let mut rest = directory.as_slice();
        while !rest.is_empty() {
            let Some((name, file, behind)) = identifier(rest) else {
                broken = true;
                break;
            };
            rest = behind;
            let Some(name) = name else { continue };
            let Some(inside) = volume.entry(file) else {
                broken = true;
                continue;
            };
            if inside.directory {
                todo.push(file);
                continue;
            }
            work += inside.descriptors.len();
            if work > most {
                return Err(Stop::Limit);
            }
            let data = volume.pieces(&inside)?;
            let start = data.ranges.last().map_or(0, |range| range.start);
            if !take(File { name, data, start, bytes: inside.bytes }) {
                return Err(Stop::Enough);
            }
        }
    }
    if broken { Err(Stop::Malformed) } else { Ok(()) }
}

/// A block of a partition, and which of the volume's partitions that is.
type Place = (u32, u16);

struct Volume<'z> {
    octets: &'z [u8],
    block: usize,
    /// Where the only partition begins, in blocks.
    partition: usize,
}

/// A file or directory.
struct Entry {
    directory: bool,
    bytes: usize,
    /// How its descriptors are written.
    form: u16,
    /// Where these are.
    descriptors: Range<usize>,
    partition: u16,
}

impl<'z> Volume<'z> {
    /// The volume and the place of its root directory.
    fn read(octets: &'z [u8]) -> Result<(Self, Place), Stop> {
        let anchored = BLOCKS.into_iter().find_map(|block| {
            let last = octets.len() / block;
            [ANCHOR, last.saturating_sub(1), last.saturating_sub(ANCHOR + 1)]
                .into_iter()
                .filter_map(|number| octets.get(number.checked_mul(block)?..))
                .find(|anchor| half(anchor, 0) == Some(ANCHOR_TAG))
                .map(|anchor| (block, anchor))
        });
        let (block, anchor) = anchored.ok_or(Stop::Malformed)?;
        let first = word(anchor, 20).and_then(|place| usize::try_from(place).ok());
        let first = first.ok_or(Stop::Malformed)?;
        let mut volume = Self { octets, block, partition: 0 };
        let (mut partition, mut logical) = (None, None);
        for number in first..first.saturating_add(DESCRIPTORS_MAX) {
            let Some(descriptor) = volume.at(number) else { break };
            match half(descriptor, 0) {
                Some(PARTITION) => partition = word(descriptor, 188),
                Some(LOGICAL_VOLUME) => logical = Some(descriptor),
                Some(TERMINATOR) => break,
                _ => {}
            }
        }
        let partition = partition.and_then(|start| usize::try_from(start).ok());
        volume.partition = partition.ok_or(Stop::Malformed)?;
        let logical = logical.ok_or(Stop::Malformed)?;
        // One map, of the plain kind.
        if word(logical, 268) != Some(1) || logical.get(440) != Some(&1) {
            return Err(Stop::NotRead);
        }
        let set = place(logical.get(248..).unwrap_or_default());
        let set =
            set.and_then(|place| octets.get(volume.offset(place)?..)).ok_or(Stop::Malformed)?;
        if half(set, 0) != Some(FILE_SET) {
            return Err(Stop::Malformed);
        }
        let root = place(set.get(400..).unwrap_or_default()).ok_or(Stop::Malformed)?;
        Ok((volume, root))
    }

    /// The octets from this block of the image on.
    fn at(&self, number: usize) -> Option<&'z [u8]> {
        self.octets.get(number.checked_mul(self.block)?..)
    }

    /// Where this block of the partition is.
    fn offset(&self, (block, partition): Place) -> Option<usize> {
        let block = self.partition.checked_add(usize::try_from(block).ok()?)?;
        block.checked_mul(self.block).filter(|_| partition == 0)
    }

    fn entry(&self, place: Place) -> Option<Entry> {
        let start = self.offset(place)?;
        let entry = self.octets.get(start..)?;
        let fixed = match half(entry, 0)? {
            FILE_ENTRY => 168,
            EXTENDED_FILE_ENTRY => 208,
            _ => return None,
        };
        let size = |at| usize::try_from(word(entry, at)?).ok();
        let from = (fixed + 8_usize).checked_add(size(fixed)?)?;
        let to = from.checked_add(size(fixed + 4)?)?;
        let bytes = u64::from(word(entry, 60)?) << 32 | u64::from(word(entry, 56)?);
        Some(Entry {
            directory: *entry.get(27)? == 4,
            bytes: usize::try_from(bytes).ok()?,
            form: half(entry, 34)? & 7,
            descriptors: entry.get(from..to).map(|_| start + from..start + to)?,
            partition: place.1,
        })
    }

    /// The pieces of a file. Those that are not recorded are holes, and nothing is in them.
    fn pieces(&self, entry: &Entry) -> Result<Pieces<'z>, Stop> {
        let mut out = Pieces { octets: self.octets, ranges: Vec::new() };
        let descriptors = entry.descriptors.clone();
        let step = match entry.form {
            0 => 8,
            1 => 16,
            3 => {
                let end = descriptors.end.min(descriptors.start.saturating_add(entry.bytes));
                out.ranges.push(descriptors.start..end);
                return Ok(out);
            }
            _ => return Err(Stop::NotRead),
        };
        let mut left = entry.bytes;
        let descriptors = self.octets.get(descriptors).unwrap_or_default();
        for descriptor in descriptors.chunks_exact(step).take(EXTENTS_MAX) {
            let (Some(length), Some(block)) = (word(descriptor, 0), word(descriptor, 4)) else {
                break;
            };
            let bytes = usize::try_from(length & 0x3FFF_FFFF).unwrap_or(usize::MAX).min(left);
            match length >> 30 {
                _ if bytes == 0 => break,
                // The descriptors go on elsewhere: files in very many pieces.
                3 => return Err(Stop::NotRead),
                0 => {
                    let partition = half(descriptor, 8).filter(|_| step == 16);
                    let place = (block, partition.unwrap_or(entry.partition));
                    let start = self.offset(place).filter(|start| *start < self.octets.len());
                    let start = start.ok_or(Stop::Malformed)?;
                    let end = start.saturating_add(bytes).min(self.octets.len());
                    out.ranges.push(start..end);
                }
                _ => {}
            }
            left -= bytes;
        }
        out.ranges.reverse();
        Ok(out)
    }
}

/// Block and partition of a long allocation descriptor. ECMA-167 4/14.14.2.
fn place(descriptor: &[u8]) -> Option<Place> {
    Some((word(descriptor, 4)?, half(descriptor, 8)?))
}

/// Name, place, and what is behind the entry.
type Identified<'z> = (Option<Vec<u8>>, Place, &'z [u8]);

/// One entry of a directory, and what is behind it; no name for the directory above and for what was deleted.
fn identifier(octets: &[u8]) -> Option<Identified<'_>> {
    if half(octets, 0)? != FILE_IDENTIFIER {
        return None;
    }
    let (characteristics, name_bytes) = (*octets.get(18)?, usize::from(*octets.get(19)?));
    let place = place(octets.get(20..)?)?;
    let from = 38 + usize::from(half(octets, 36)?);
    let name = octets.get(from..from + name_bytes)?;
    let behind = octets.get((from + name_bytes).next_multiple_of(4)..).unwrap_or_default();
    // Deleted entries are not shown, but a reader may show what it should not.
    let name = match name {
        _ if characteristics & 8 != 0 => None,
        [16, wide @ ..] => {
            let units =
                wide.chunks_exact(2).filter_map(|pair| Some([*pair.first()?, *pair.get(1)?]));
            let units: Vec<u16> = units.map(u16::from_be_bytes).collect();
            Some(String::from_utf16_lossy(&units).into_bytes())
        }
        [_, narrow @ ..] => {
            Some(narrow.iter().map(|octet| char::from(*octet)).collect::<String>().into_bytes())
        }
        [] => None,
    };
    Some((name, place, behind))
}
