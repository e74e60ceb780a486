//! Giving the queued mails that earlier processes left, one segment after the other.
//!
//! [`Log::begin`] reads all indexes and notes: only then it is known which records are alive. The mails
//! themselves come afterwards, in the order in which they lie on the disk, and each may be worked on as soon as it
//! was given. Until then it is out of reach: its notes have not been applied, so that settling one recipient might
//! end the others, and a segment that compaction took away could not be given any more.
//!
//! A mail comes from the metadata of its segment's index; without a line there, from its record, with reads of
//! 1 MiB that serve all records they cover. Memory: the entries and lines of one segment (some 3 MiB), one read.

use std::collections::VecDeque;

use super::load::READ_BYTES;
use super::notes::Notes;
use super::{Inner, Location, Log};
use crate::spool::disk::Disk;
use crate::spool::format::{self, Entry, Head, kind};
use crate::spool::summary::{Lines, QueuedSummary};
use crate::spool::{CopyId, SpoolError};

/// One segment, on its way to be given.
#[derive(Debug)]
pub(crate) struct Reading {
    number: u32,
    entries: std::vec::IntoIter<Entry>,
    lines: Lines,
    /// Octets read last, and where they begin in the segment.
    window: (u64, Vec<u8>),
}

impl<D: Disk> Log<D> {
    /// Finds out what is alive; no record of earlier processes can be reached until it was given. To be
    /// called once, instead of [`Log::load`]. Gives the segments to be read, and the notes.
    pub(crate) async fn begin(&self) -> (VecDeque<u32>, Notes) {
        let inner = &self.inner;
        inner.state.borrow_mut().unread = Some((0, 0));
        let notes = self.read_old().await;
        inner.remove_orphans().await;
        let state = inner.state.borrow();
        let old = state.segments.range(..state.first_own).map(|(number, _)| *number);
        (old.collect(), notes)
    }

    /// Opens a segment for [`Log::give`].
    ///
    /// # Errors
    /// [`SpoolError::Io`]: its mails stay where they are, and nobody has seen them.
    pub(crate) async fn reading(&self, number: u32) -> Result<Reading, SpoolError> {
        let inner = &self.inner;
        if !inner.state.borrow().segments.contains_key(&number) {
            return Ok(Reading::of(number, Vec::new(), Vec::new()));
        }
        let (file, path, bytes) = inner.open_segment(number).await?;
        Ok(match inner.index_of(&file, &path, number, bytes).await? {
            Some((entries, lines)) => Reading::of(number, entries, lines),
            None => {
                Reading::of(number, inner.contents(number, &mut |_| ()).await?.entries, Vec::new())
            }
        })
    }

    /// The next live mail of a segment, from now on within reach; `None` at its end.
    pub(crate) async fn give(
        &self,
        reading: &mut Reading,
    ) -> Option<(CopyId, Result<QueuedSummary, SpoolError>)> {
        let inner = &self.inner;
        loop {
            let Some(entry) = reading.entries.next() else {
                inner.state.borrow_mut().unread = Some((reading.number.saturating_add(1), 0));
                return None;
            };
            let at = Location::new(reading.number, &entry);
            let alive = inner.state.borrow().index.get(&entry.id) == Some(&at);
            if entry.kind != kind::QUEUED || !alive {
                continue;
            }
            let found = match reading.lines.find(entry.block) {
                Some(mail) => Ok(mail),
                None => inner.summary_at(reading, entry.id, at).await,
            };
            if let Err(error) = &found {
                inner.report(error);
            }
            inner.state.borrow_mut().unread = Some((at.segment, at.block.saturating_add(1)));
            return Some((entry.id, found));
        }
    }

    /// Everything was given.
    pub(crate) fn all_given(&self) {
        self.inner.state.borrow_mut().unread = None;
    }
}

impl Reading {
    fn of(number: u32, entries: Vec<Entry>, lines: Vec<u8>) -> Self {
        let entries = entries.into_iter();
        Self { number, entries, lines: Lines::new(lines), window: (0, Vec::new()) }
    }

    /// Metadata of a record, if the last read has all of it, and it checks.
    fn seen(&self, at: Location) -> Option<&[u8]> {
        let (from, octets) = &self.window;
        let start = format::offset(at.block).checked_sub(*from)?;
        let record = octets.get(usize::try_from(start).ok()?..)?;
        let head = Head::parse(record, at.segment, at.block).ok()?;
        head.meta(record).ok()
    }
}

impl<D: Disk> Inner<D> {
    async fn summary_at(
        &self,
        reading: &mut Reading,
        id: CopyId,
        at: Location,
    ) -> Result<QueuedSummary, SpoolError> {
        if reading.seen(at).is_none() {
            let octets = self.read_blocks(at, READ_BYTES as u64).await?;
            reading.window = (format::offset(at.block), octets);
        }
        let read;
        let meta = match reading.seen(at) {
            Some(meta) => meta,
            // Longer than one read, or damaged: this says how.
            None => {
                read = self.read_meta_at(at).await?;
                &read
            }
        };
        serde_json::from_slice(meta).map_err(|error| SpoolError::Metadata {
            path: self.segment_path(at.segment),
            offset: format::offset(at.block),
            what: format!("{id}: {error}"),
        })
    }
}
