//! A disk that forgets. One seed decides everything that happens on it: in which order tasks run, which
//! unflushed writes survive a power cut (whole, torn or not at all, in any order), which calls fail and which octets
//! flip. A test runs the real store on it, cuts the power, starts again and looks what is there.
//!
//! Model. A file has durable octets, and writes since the last `fdatasync` in order. A cut keeps for each
//! page-sized piece of each unflushed write, independently, the new or the old octets. File lengths may end up
//! anywhere between. A directory has durable names and changes since the last `sync_dir`; a cut keeps any
//! subset of the changes. `fdatasync` that fails throws the unflushed writes away, keeps showing them to readers (page
//! cache), and never fails for them again, as Linux does.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::disk::{Disk, Entry};
use crate::content::LargeFile;

/// Octets that a device writes as one.
const PAGE_BYTES: usize = 512;
/// What one call takes on its clock: then some flushes wait for company and some do not.
const CALL_TAKES: Duration = Duration::from_micros(300);

/// What may go wrong, each in thousandths of the calls it concerns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// `fdatasync` fails with EIO.
    pub sync_fails: u32,
    /// A write is cut short.
    pub short_write: u32,
    /// A write fails with ENOSPC.
    pub no_space: u32,
    /// `fdatasync` does nothing and says it did: the canary.
    pub sync_is_a_lie: bool,
    /// `sync_dir` does nothing and says it did: the other canary.
    pub dir_sync_is_a_lie: bool,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    /// What readers see.
    seen: Vec<u8>,
    /// What a cut cannot take.
    durable: Vec<u8>,
    /// Ranges written since the last flush.
    unflushed: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum Change {
    Add(PathBuf, u64),
    Remove(PathBuf),
}

#[derive(Debug, Default)]
struct World {
    random: u64,
    faults: Faults,
    next_inode: u64,
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    changes: Vec<Change>,
    capacity: u64,
    calls: u64,
    slept: Duration,
}

impl World {
    fn random(&mut self) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn chance(&mut self, thousandths: u32) -> bool {
        thousandths > 0 && self.random() % 1000 < u64::from(thousandths)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random() % (bound.max(1) as u64)).unwrap_or(0)
    }

    fn used(&self) -> u64 {
        self.inodes.values().map(|inode| inode.seen.len() as u64).sum()
    }

    fn inode(&mut self, number: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&number).ok_or_else(|| io::Error::other("stale file handle"))
    }
}

fn write_into(octets: &mut Vec<u8>, at: usize, new: &[u8]) {
    // The usual case, and quick without optimisation, too.
    if octets.len() == at {
        octets.extend_from_slice(new);
        return;
    }
    if octets.len() < at + new.len() {
        octets.resize(at + new.len(), 0);
    }
    if let Some(range) = octets.get_mut(at..at + new.len()) {
        range.copy_from_slice(new);
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The disk, and the executor of the tasks that use it. Cheap to clone.
#[derive(Clone)]
pub struct SimDisk {
    world: Rc<RefCell<World>>,
    spawned: Rc<RefCell<Vec<Task>>>,
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimDisk").field("calls", &self.world.borrow().calls).finish_non_exhaustive()
    }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let world = World { random: seed, capacity: u64::MAX, ..World::default() };
        Self { world: Rc::new(RefCell::new(world)), spawned: Rc::default() }
    }

    /// Sets what may go wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.world.borrow_mut().faults = faults;
    }

    /// Sets the size of the disk in octets.
    pub fn set_capacity(&self, bytes: u64) {
        self.world.borrow_mut().capacity = bytes;
    }

    /// The next number of the seed, for the test's own choices.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.world.borrow_mut().random()
    }

    /// Runs a future, and everything it spawns, until it ends or `polls_max` rounds are over: then the power
    /// is cut wherever everything stands, and `None` is given. Tasks run in an order of the seed's choice.
    pub fn run<T>(&self, future: impl Future<Output = T>, polls_max: u64) -> Option<T> {
        let mut main = Box::pin(future);
        let mut tasks: Vec<Task> = Vec::new();
        let mut context = Context::from_waker(Waker::noop());
        let mut outcome = None;
        for _ in 0..polls_max {
            tasks.append(&mut self.spawned.borrow_mut());
            let chosen = self.world.borrow_mut().below(tasks.len() + 1);
            if chosen < tasks.len() {
                let mut task = tasks.swap_remove(chosen);
                if task.as_mut().poll(&mut context).is_pending() {
                    tasks.push(task);
                }
            } else if let Poll::Ready(value) = main.as_mut().poll(&mut context) {
                outcome = Some(value);
                break;
            }
        }
        self.spawned.borrow_mut().clear();
        outcome
    }

    /// Cuts the power: what was not flushed survives in part.
    pub fn crash(&self) {
        let mut world = self.world.borrow_mut();
        let numbers: Vec<u64> = world.inodes.keys().copied().collect();
        for number in numbers {
            let Some(mut inode) = world.inodes.remove(&number) else { continue };
            let mut pieces: Vec<(usize, Vec<u8>)> = Vec::new();
            for (at, octets) in std::mem::take(&mut inode.unflushed) {
                for (index, piece) in octets.chunks(PAGE_BYTES).enumerate() {
                    pieces.push((at + index * PAGE_BYTES, piece.to_vec()));
                }
            }
            // All, none, a prefix, or any.
            let mode = world.below(4);
            let prefix = world.below(pieces.len() + 1);
            for (index, (at, piece)) in pieces.iter().enumerate() {
                let kept = match mode {
                    0 => true,
                    1 => false,
                    2 => index < prefix,
                    _ => world.below(2) == 0,
                };
                if kept {
                    write_into(&mut inode.durable, *at, piece);
                }
            }
            inode.seen = inode.durable.clone();
            world.inodes.insert(number, inode);
        }
        for change in std::mem::take(&mut world.changes) {
            if world.below(2) == 0 {
                match change {
                    Change::Add(path, inode) => {
                        world.durable_names.insert(path, inode);
                    }
                    Change::Remove(path) => {
                        world.durable_names.remove(&path);
                    }
                }
            }
        }
        world.names = world.durable_names.clone();
        let named: Vec<u64> = world.names.values().copied().collect();
        world.inodes.retain(|number, _| named.contains(number));
    }

    /// Files under a directory with their octets, for tests that damage them.
    #[must_use]
    pub fn files(&self, under: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let world = self.world.borrow();
        let named = world.names.iter().filter(|(path, _)| path.starts_with(under));
        named
            .filter_map(|(path, number)| {
                Some((path.clone(), world.inodes.get(number)?.seen.clone()))
            })
            .collect()
    }

    /// Replaces a file's octets behind the store's back: bit rot, truncation.
    pub fn set_file(&self, path: &Path, octets: Vec<u8>) {
        let mut world = self.world.borrow_mut();
        if let Some(number) = world.names.get(path).copied()
            && let Some(inode) = world.inodes.get_mut(&number)
        {
            *inode = Inode { seen: octets.clone(), durable: octets, unflushed: Vec::new() };
        }
    }

    /// One call to the disk: other tasks may run before it.
    async fn call(&self) {
        let waits = {
            let mut world = self.world.borrow_mut();
            world.calls += 1;
            world.below(3)
        };
        for _ in 0..waits {
            self.pause().await;
        }
    }

    fn number(&self, path: &Path) -> io::Result<u64> {
        let found = self.world.borrow().names.get(path).copied();
        found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn add_name(&self, path: &Path, inode: u64) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        if world.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        world.names.insert(path.to_path_buf(), inode);
        world.changes.push(Change::Add(path.to_path_buf(), inode));
        Ok(())
    }
}

impl Disk for SimDisk {
    type File = u64;

    async fn create(&self, path: &Path) -> io::Result<u64> {
        self.call().await;
        let number = {
            let mut world = self.world.borrow_mut();
            world.next_inode += 1;
            let number = world.next_inode;
            world.inodes.insert(number, Inode::default());
            number
        };
        self.add_name(path, number)?;
        Ok(number)
    }

    async fn open(&self, path: &Path) -> io::Result<u64> {
        self.call().await;
        self.number(path)
    }

    async fn write_at(&self, file: &u64, octets: Vec<u8>, offset: u64) -> io::Result<usize> {
        self.call().await;
        let mut world = self.world.borrow_mut();
        let faults = world.faults;
        if world.chance(faults.no_space)
            || world.used().saturating_add(octets.len() as u64) > world.capacity
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut octets = octets;
        if world.chance(faults.short_write) {
            let bytes = world.below(octets.len());
            octets.truncate(bytes);
        }
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let inode = world.inode(*file)?;
        write_into(&mut inode.seen, at, &octets);
        let bytes = octets.len();
        inode.unflushed.push((at, octets));
        Ok(bytes)
    }

    async fn read_at(&self, file: &u64, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        self.call().await;
        let mut world = self.world.borrow_mut();
        let seen = &world.inode(*file)?.seen;
        let at = usize::try_from(offset).map_err(io::Error::other)?.min(seen.len());
        let end = at.saturating_add(bytes).min(seen.len());
        Ok(seen.get(at..end).unwrap_or_default().to_vec())
    }

    async fn bytes(&self, file: &u64) -> io::Result<u64> {
        self.call().await;
        Ok(self.world.borrow_mut().inode(*file)?.seen.len() as u64)
    }

    async fn fdatasync(&self, file: &u64) -> io::Result<()> {
        // What is written while it runs is not covered by it.
        let covered = self.world.borrow_mut().inode(*file)?.unflushed.len();
        self.call().await;
        let mut world = self.world.borrow_mut();
        let faults = world.faults;
        if faults.sync_is_a_lie {
            return Ok(());
        }
        let fails = world.chance(faults.sync_fails);
        let inode = world.inode(*file)?;
        let covered = covered.min(inode.unflushed.len());
        let flushed: Vec<(usize, Vec<u8>)> = inode.unflushed.drain(..covered).collect();
        if fails {
            return Err(io::Error::other("input/output error"));
        }
        for (at, octets) in flushed {
            write_into(&mut inode.durable, at, &octets);
        }
        Ok(())
    }

    async fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        self.call().await;
        let mut world = self.world.borrow_mut();
        if world.faults.dir_sync_is_a_lie {
            return Ok(());
        }
        for change in std::mem::take(&mut world.changes) {
            let (Change::Add(path, _) | Change::Remove(path)) = &change;
            if path.parent() != Some(directory) {
                world.changes.push(change);
                continue;
            }
            match change {
                Change::Add(path, inode) => drop(world.durable_names.insert(path, inode)),
                Change::Remove(path) => drop(world.durable_names.remove(&path)),
            }
        }
        Ok(())
    }

    async fn create_dir(&self, _directory: &Path) -> io::Result<()> {
        self.call().await;
        Ok(())
    }

    async fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        self.call().await;
        let world = self.world.borrow();
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for (path, number) in &world.names {
            let Ok(rest) = path.strip_prefix(directory) else { continue };
            let mut parts = rest.components();
            let Some(first) = parts.next() else { continue };
            let name = first.as_os_str().to_string_lossy().into_owned();
            let directory = parts.next().is_some();
            let length = world.inodes.get(number).map_or(0, |inode| inode.seen.len() as u64);
            let bytes = if directory { 0 } else { length };
            entries.insert(name.clone(), Entry { name, bytes, directory });
        }
        Ok(entries.into_values().collect())
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call().await;
        let number = self.number(from)?;
        let mut world = self.world.borrow_mut();
        world.names.remove(from);
        world.names.insert(to.to_path_buf(), number);
        world.changes.push(Change::Add(to.to_path_buf(), number));
        world.changes.push(Change::Remove(from.to_path_buf()));
        Ok(())
    }

    async fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call().await;
        let number = self.number(from)?;
        self.add_name(to, number)
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        self.call().await;
        self.number(path)?;
        let mut world = self.world.borrow_mut();
        world.names.remove(path);
        world.changes.push(Change::Remove(path.to_path_buf()));
        Ok(())
    }

    async fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let world = self.world.borrow();
        Ok(world.capacity.saturating_sub(world.used()))
    }

    async fn open_large(&self, path: &Path) -> io::Result<LargeFile> {
        self.call().await;
        let number = self.number(path)?;
        let octets = self.world.borrow_mut().inode(number)?.seen.clone();
        let memory = rustix::fs::memfd_create("large", rustix::fs::MemfdFlags::CLOEXEC)?;
        let file = std::fs::File::from(memory);
        std::os::unix::fs::FileExt::write_all_at(&file, &octets, 0)?;
        Ok(LargeFile { file, path: path.to_path_buf(), bytes: octets.len() as u64 })
    }

    fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.spawned.borrow_mut().push(Box::pin(future));
    }

    async fn pause(&self) {
        let mut paused = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut paused, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    async fn sleep(&self, duration: Duration) {
        self.world.borrow_mut().slept += duration;
        let turns = self.world.borrow_mut().below(3);
        for _ in 0..=turns {
            self.pause().await;
        }
    }

    fn elapsed(&self) -> Duration {
        let world = self.world.borrow();
        world.slept + CALL_TAKES.saturating_mul(u32::try_from(world.calls).unwrap_or(u32::MAX))
    }
}
