//! Damaged octets are copied to `damaged/<segment>-<offset>-<seconds>`, so that their segment may be compacted, and
//! kept there for whoever wants to look: [`DAYS`], and [`BYTES_MAX`] of them in each log, the oldest go first. They
//! do not count for the budget. What a mail left there must not stay for ever, and what says that a record was
//! damaged is not the copy but the alarm ([`crate::spool::log::Log::take_damage`]).

use std::path::{Path, PathBuf};

use super::Inner;
use crate::spool::disk::Disk;
use crate::spool::{Damage, SpoolError};

/// Copies are kept so long: as long as the longest usual class of held mail.
const DAYS: u64 = 30;
/// Largest piece that is copied, and all copies of a log together.
const BYTES_MAX: u64 = 64 << 20;
/// How often copies are looked at, in milliseconds.
const LOOK_MS: u64 = 3_600_000;

/// One copy.
struct Aside {
    path: PathBuf,
    bytes: u64,
    /// When it was made, UTC seconds.
    at: u64,
}

/// `0000000001-12288-1800000000`: segment, offset, when. Without the last in what earlier programs wrote.
fn read_name(name: &str) -> Option<(&str, Option<u64>)> {
    let mut parts = name.splitn(3, '-');
    let (segment, offset, at) = (parts.next()?, parts.next()?, parts.next());
    offset.parse::<u64>().ok()?;
    let piece = name.get(..segment.len() + 1 + offset.len())?;
    Some((piece, at.and_then(|at| at.parse().ok())))
}

impl<D: Disk> Inner<D> {
    fn damaged_directory(&self) -> PathBuf {
        self.options.directory.join("damaged")
    }

    /// A damaged record that somebody wanted to read is an alarm.
    pub(super) fn report(&self, error: &SpoolError) {
        if let SpoolError::Damaged { path, offset, what } = error {
            self.state.borrow_mut().report(Damage {
                path: path.clone(),
                offset: *offset,
                bytes: 0,
                what: what.clone(),
                acknowledged: true,
            });
        }
    }

    /// Sets the octets of `gaps` aside and reports them.
    pub(super) async fn set_aside(&self, gaps: Vec<Damage>) {
        for gap in gaps {
            if gap.acknowledged && gap.bytes <= BYTES_MAX {
                // The alarm stands whether or not this works.
                let _ = self.copy_aside(&gap).await;
            }
            self.state.borrow_mut().report(gap);
        }
    }

    async fn copy_aside(&self, gap: &Damage) -> Result<(), SpoolError> {
        let directory = self.damaged_directory();
        let fail = |error| SpoolError::io("set aside", &directory, &error);
        self.disk.create_dir(&directory).await.map_err(fail)?;
        let segment = gap.path.file_stem().unwrap_or_default().to_string_lossy();
        let piece = format!("{segment}-{}", gap.offset);
        // A segment that is not compacted yet is found damaged at each start.
        let there = self.disk.list(&directory).await.map_err(fail)?;
        if there.iter().any(|one| read_name(&one.name).is_some_and(|(name, _)| name == piece)) {
            return Ok(());
        }
        let seconds = self.state.borrow().now / 1000;
        let to = directory.join(format!("{piece}-{seconds}"));
        let from = self.disk.open(&gap.path).await.map_err(fail)?;
        let octets = self.read_range(&from, &gap.path, gap.offset, gap.bytes).await?;
        let file = self.disk.create(&to).await.map_err(fail)?;
        crate::spool::large::write_all(&self.disk, &file, &to, octets, 0).await?;
        self.disk.fdatasync(&file).await.map_err(fail)?;
        self.disk.sync_dir(&directory).await.map_err(fail)?;
        self.tidy_aside().await;
        Ok(())
    }

    /// Looks at the copies if it is time.
    pub(super) async fn tidy_aside_if_due(&self) {
        let due = {
            let mut state = self.state.borrow_mut();
            let due = state.now >= state.aside_look_at;
            if due {
                state.aside_look_at = state.now.saturating_add(LOOK_MS);
            }
            due
        };
        if due {
            self.tidy_aside().await;
        }
    }

    /// Removes copies that are too old, and the oldest of those that are too many octets.
    async fn tidy_aside(&self) {
        let directory = self.damaged_directory();
        // Nothing to list: tried again at the next look.
        let Ok(entries) = self.disk.list(&directory).await else { return };
        let now = self.state.borrow().now / 1000;
        let mut copies = Vec::new();
        for entry in entries {
            let path = directory.join(&entry.name);
            match read_name(&entry.name) {
                Some((_, Some(at))) => copies.push(Aside { path, bytes: entry.bytes, at }),
                Some((piece, None)) => {
                    // Of an earlier program, or half a name of ours: its time begins now.
                    let to = directory.join(format!("{piece}-{now}"));
                    if self.disk.rename(&path, &to).await.is_ok() {
                        copies.push(Aside { path: to, bytes: entry.bytes, at: now });
                    }
                }
                // Somebody else's file.
                None => {}
            }
        }
        copies.sort_by_key(|copy| copy.at);
        let mut bytes: u64 = copies.iter().map(|copy| copy.bytes).sum();
        for copy in copies {
            let too_old = now.saturating_sub(copy.at) >= DAYS * 86_400;
            if !too_old && bytes <= BYTES_MAX {
                continue;
            }
            let why = if too_old { "too old" } else { "too many octets" };
            if self.remove_aside(&copy.path, why).await {
                bytes = bytes.saturating_sub(copy.bytes);
            }
        }
    }

    async fn remove_aside(&self, path: &Path, why: &str) -> bool {
        match self.disk.remove(path).await {
            Ok(()) => {
                tracing::warn!(?path, why, "a copy of a damaged record was removed");
                true
            }
            Err(error) => {
                tracing::warn!(?path, %error, "a copy of a damaged record cannot be removed");
                false
            }
        }
    }
}
