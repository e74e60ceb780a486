//! Cabinets: members by MSZIP, LZX or stored. What cannot be unpacked is named and not scanned.
//!
//! The library finds a member by its name, and two members may have one: so the table of files is read here, and the library
//! is shown a table in which each folder is one file. Members are then ranges of their folder.

use std::io::{Cursor, Read, Seek, SeekFrom};

use cab::Cabinet;

use super::{Budget, Member, RATIO_FREE_BYTES};
use crate::message::ExceptionKind;
use crate::scan::ole::{half, word};

const HEADER_BYTES: usize = 36;
const FOLDER_BYTES: usize = 8;
const FILE_BYTES: usize = 16;
const BLOCK_BYTES: usize = 8;
/// A block unfolds to at most as many octets.
const BLOCK_UNPACKED_BYTES: u64 = 32 * 1024;
/// A name with its zero.
const NAME_BYTES_MAX: usize = 257;
// Flags of the header.
const HAS_PREVIOUS: u16 = 1;
const HAS_NEXT: u16 = 2;
const HAS_RESERVE: u16 = 4;
/// From here on a folder's number says that the file goes on in another cabinet.
const CONTINUED: usize = 0xFFFD;

/// One file. MS-CAB section 2.3.
struct File<'z> {
    bytes: u64,
    /// Where it begins in its folder.
    offset: u64,
    folder: usize,
    name: &'z [u8],
}

/// Octets of the data of a folder.
#[derive(Default)]
struct Folder {
    packed: u64,
    bytes: u64,
}

/// What the header says.
struct Cab<'z> {
    octets: &'z [u8],
    /// Where the data of each folder begin, and their blocks.
    folders: Vec<(u32, u16)>,
    /// Octets that are kept free in front of the data of each block.
    reserve: usize,
    /// By folder, then by where they begin in it.
    files: Vec<File<'z>>,
    /// The table of files ends as it should.
    whole: bool,
}

pub(super) fn members(octets: &[u8], place: &str, budget: &mut Budget<'_>) -> Vec<Member> {
    let read = Cab::read(octets);
    let library = read.as_ref().and_then(|cab| Cabinet::new(Cursor::new(cab.by_folders()?)).ok());
    let (Some(cab), Some(mut library)) = (read, library) else {
        // InstallShield's have the same ending and another form.
        let kind = match octets.starts_with(b"MSCF") {
            true => ExceptionKind::Malformed,
            false => ExceptionKind::NotScanned,
        };
        budget.note(kind, place, "cabinet that cannot be read");
        return Vec::new();
    };
    if !cab.whole {
        budget.note(ExceptionKind::Malformed, place, "cabinet with a broken table of files");
    }
    let mut out = Vec::new();
    let mut reading = Reading { cab: &cab, place, budget };
    for files in cab.files.chunk_by(|one, next| one.folder == next.folder) {
        let number = files.first().map_or(0, |file| file.folder);
        let done = match cab.folders.get(number) {
            Some((data, blocks)) => {
                let folder = Folder::read(octets, *data, *blocks, cab.reserve);
                // Opening it unpacks its first block.
                reading.budget.used_input(BLOCK_UNPACKED_BYTES);
                let data = library.read_file(&number.to_string());
                reading.folder(&folder, files, data.ok(), &mut out)
            }
            None => reading.elsewhere(files, &mut out),
        };
        if done.is_none() {
            break;
        }
    }
    out
}

struct Reading<'c, 'z, 'b, 'l> {
    cab: &'c Cab<'z>,
    place: &'b str,
    budget: &'b mut Budget<'l>,
}

impl Reading<'_, '_, '_, '_> {
    /// The files of one folder, in the order of their data: each is reached by going on from the one before. `None`: there
    /// is no room for more.
    fn folder(
        &mut self,
        folder: &Folder,
        files: &[File<'_>],
        mut data: Option<impl Read + Seek>,
        out: &mut Vec<Member>,
    ) -> Option<()> {
        let (place, bytes_in) = (self.place, self.cab.octets.len() as u64);
        let mut at = u64::MAX;
        for file in files {
            if !self.budget.admits_member(place)
                || !self.budget.admits_input(self.cab.octets.len(), place)
            {
                return None;
            }
            let Some(data) = &mut data else {
                let detail = "cabinet member that cannot be unpacked";
                self.budget.note(ExceptionKind::NotScanned, place, detail);
                out.push(Member::unread(file.name.to_vec(), file.bytes, false));
                continue;
            };
            // To go back is to begin again.
            if file.offset < at {
                self.budget.used_input(folder.packed);
            }
            let mut whole =
                file.offset <= folder.bytes && data.seek(SeekFrom::Start(file.offset)).is_ok();
            let mut content = Vec::new();
            if whole {
                let mut source = data.take(file.bytes);
                (content, whole) = self.budget.read(&mut source, bytes_in, place);
                // What a bound cut off is said already.
                let cut = self.budget.is_full() || content.len() as u64 >= RATIO_FREE_BYTES;
                whole &= source.limit() == 0 || cut;
            }
            if !whole {
                let detail = "cabinet member that ends early";
                self.budget.note(ExceptionKind::Malformed, place, detail);
            }
            at = file.offset.saturating_add(content.len() as u64);
            out.push(Member::new(file.name.to_vec(), content));
        }
        Some(())
    }

    /// Files whose folder is not in this cabinet.
    fn elsewhere(&mut self, files: &[File<'_>], out: &mut Vec<Member>) -> Option<()> {
        for file in files {
            if !self.budget.admits_member(self.place) {
                return None;
            }
            let (kind, detail) = match file.folder >= CONTINUED {
                true => {
                    (ExceptionKind::NotScanned, "cabinet member that goes on in another cabinet")
                }
                false => (ExceptionKind::Malformed, "cabinet member of a folder that is not there"),
            };
            self.budget.note(kind, self.place, detail);
            out.push(Member::unread(file.name.to_vec(), file.bytes, false));
        }
        Some(())
    }
}

impl<'z> Cab<'z> {
    /// Reads the tables; `None` where there is no header.
    fn read(octets: &'z [u8]) -> Option<Self> {
        let header = octets.get(..HEADER_BYTES).filter(|header| header.starts_with(b"MSCF"))?;
        let (folders, files) = (usize::from(half(header, 26)?), usize::from(half(header, 28)?));
        let flags = half(header, 30)?;
        let mut at = HEADER_BYTES;
        let (mut folder_reserve, mut reserve) = (0, 0);
        if flags & HAS_RESERVE != 0 {
            folder_reserve = usize::from(*octets.get(at + 2)?);
            reserve = usize::from(*octets.get(at + 3)?);
            at += 4 + usize::from(half(octets, at)?);
        }
        // Two names each: of the file and of the disk.
        for flag in [HAS_PREVIOUS, HAS_PREVIOUS, HAS_NEXT, HAS_NEXT] {
            if flags & flag != 0 {
                at += name_at(octets, at)?.len() + 1;
            }
        }
        let (folders_at, files_at) = (Vec::new(), Vec::new());
        let mut cab = Self { octets, folders: folders_at, reserve, files: files_at, whole: true };
        for _ in 0..folders {
            let (data, blocks) = (word(octets, at)?, half(octets, at + 4)?);
            cab.folders.push((data, blocks));
            at += FOLDER_BYTES + folder_reserve;
        }
        let mut at = usize::try_from(word(header, 16)?).ok()?;
        for _ in 0..files {
            let Some(file) = File::read(octets, at) else {
                cab.whole = false;
                break;
            };
            at += FILE_BYTES + file.name.len() + 1;
            cab.files.push(file);
        }
        cab.files.sort_by_key(|file| (file.folder, file.offset));
        Some(cab)
    }

    /// The same cabinet with one file for each folder, called by its number. Their table stands at the end.
    fn by_folders(&self) -> Option<Vec<u8>> {
        let mut out = self.octets.to_vec();
        let table = u32::try_from(out.len()).ok()?;
        let count = u16::try_from(self.folders.len()).ok()?;
        out.get_mut(16..20)?.copy_from_slice(&table.to_le_bytes());
        out.get_mut(28..30)?.copy_from_slice(&count.to_le_bytes());
        for number in 0..count {
            // Its size, which no reader holds against its blocks, and where it begins.
            out.extend(u32::MAX.to_le_bytes());
            out.extend(0_u32.to_le_bytes());
            out.extend(number.to_le_bytes());
            out.extend([0; 6]);
            out.extend(number.to_string().bytes());
            out.push(0);
        }
        Some(out)
    }
}

impl<'z> File<'z> {
    fn read(octets: &'z [u8], at: usize) -> Option<Self> {
        Some(Self {
            bytes: u64::from(word(octets, at)?),
            offset: u64::from(word(octets, at + 4)?),
            folder: usize::from(half(octets, at + 8)?),
            name: name_at(octets, at + FILE_BYTES)?,
        })
    }
}

impl Folder {
    /// What its blocks say, as far as they can be read.
    fn read(octets: &[u8], data: u32, blocks: u16, reserve: usize) -> Self {
        let mut at = usize::try_from(data).unwrap_or(usize::MAX);
        let mut folder = Self::default();
        for _ in 0..blocks {
            let sizes =
                at.checked_add(4).and_then(|at| Some((half(octets, at)?, half(octets, at + 2)?)));
            let Some((packed, bytes)) = sizes else { break };
            folder.packed += u64::from(packed);
            folder.bytes += u64::from(bytes);
            at = at.saturating_add(BLOCK_BYTES + reserve + usize::from(packed));
        }
        folder
    }
}

/// A name up to its zero.
fn name_at(octets: &[u8], at: usize) -> Option<&[u8]> {
    let rest = octets.get(at..)?;
    let rest = rest.get(..NAME_BYTES_MAX).unwrap_or(rest);
    rest.get(..memchr::memchr(0, rest)?)
}
