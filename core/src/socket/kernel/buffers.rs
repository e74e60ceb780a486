//! The receive buffers of a ring.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

/// Receive buffers of a shard, a power of two. Few, so that they stay in the cache: the kernel takes the one that was
/// given back longest ago.
pub(super) const BUFFERS: u16 = 64;
/// Octets of one.
const BUFFER_BYTES: usize = 16 * 1024;
const PAGE_BYTES: usize = 4096;

/// The receive buffers, and the ring in which the kernel finds them.
pub(super) struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    tail: u16,
    /// Not with the kernel, as far as we know.
    pub(super) lent: u16,
}

fn entries_layout() -> Layout {
    Layout::new::<[BufRingEntry; BUFFERS as usize]>()
        .align_to(PAGE_BYTES)
        .unwrap_or_else(|_| unreachable!())
}

fn memory_layout() -> Layout {
    Layout::from_size_align(BUFFERS as usize * BUFFER_BYTES, PAGE_BYTES)
        .unwrap_or_else(|_| unreachable!())
}

fn zeroed<T>(layout: Layout) -> NonNull<T> {
    // SAFETY: the layouts of this file are not empty.
    let pointer = unsafe { alloc_zeroed(layout) };
    NonNull::new(pointer.cast()).unwrap_or_else(|| handle_alloc_error(layout))
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self {
            entries: zeroed(entries_layout()),
            memory: zeroed(memory_layout()),
            tail: 0,
            lent: BUFFERS,
        }
    }

    fn start(&self, id: u16) -> NonNull<u8> {
        // SAFETY: ids are those of our own buffers, so this is within the memory.
        unsafe { self.memory.add(usize::from(id) * BUFFER_BYTES) }
    }

    /// Where the kernel finds them.
    pub(super) fn ring_address(&self) -> u64 {
        self.entries.as_ptr() as u64
    }

    /// What the kernel wrote into a buffer that it gave up.
    pub(super) fn octets(&self, id: u16, bytes: usize) -> &[u8] {
        // SAFETY: within the buffer, as the kernel never writes more; nobody writes into it until it is given back, which
        // takes the `Lent` that the octets are asked with.
        unsafe { std::slice::from_raw_parts(self.start(id).as_ptr(), bytes.min(BUFFER_BYTES)) }
    }

    /// Gives a buffer to the kernel.
    pub(super) fn give(&mut self, id: u16) {
        let address = self.start(id).as_ptr() as u64;
        // SAFETY: within the ring.
        let mut place = unsafe { self.entries.add(usize::from(self.tail % BUFFERS)) };
        // SAFETY: an entry that the kernel does not read before the tail is beyond it.
        let entry = unsafe { place.as_mut() };
        entry.set_addr(address);
        entry.set_len(u32::try_from(BUFFER_BYTES).unwrap_or(0));
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the first entry of the ring, whose last field is the tail.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: aligned, within the ring, and only ever written here.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
        self.lent = self.lent.saturating_sub(1);
    }

    /// Frees all of it; the kernel must have let go of it.
    pub(super) fn free(self) {
        // SAFETY: made by `zeroed` with the same layout; the kernel has let go of it.
        unsafe { dealloc(self.entries.as_ptr().cast(), entries_layout()) };
        // SAFETY: as above.
        unsafe { dealloc(self.memory.as_ptr(), memory_layout()) };
    }
}
