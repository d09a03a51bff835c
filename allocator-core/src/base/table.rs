//! A table that grows in place: mapped from the front, in an area of addresses that
//! nothing else uses. Nothing is reserved behind it.
//!
//! ```text
//!  │█████████████ opened ████│······ grows to here ······│
//!  └ start
//! ```

use core::ptr;

use crate::base::ordering;
use crate::base::sync::{AtomicPtr, AtomicUsize};
use crate::sys::{self, MapError};

pub(crate) struct Table {
    start: AtomicPtr<u8>,
    /// Bytes that are mapped, from the start.
    opened: AtomicUsize,
    /// Bytes that were to be mapped last: the child of a fork may find that they are.
    wanted: AtomicUsize,
}

impl Table {
    pub(crate) const fn new() -> Self {
        Table {
            start: AtomicPtr::new(ptr::null_mut()),
            opened: AtomicUsize::new(0),
            wanted: AtomicUsize::new(0),
        }
    }

    /// Sets where the table starts. Called while no other thread uses it.
    pub(crate) fn place(&self, start: *mut u8) {
        self.start.store(start, ordering::table_place());
    }

    /// Where the table starts.
    #[inline(always)]
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.load(ordering::table_place())
    }

    /// Bytes that are mapped.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(ordering::table_opened())
    }

    /// Maps the table up to `bytes`, a multiple of the page size; what is new reads as
    /// zero. One thread at a time calls this.
    pub(crate) fn open(&self, bytes: usize) -> Result<(), MapError> {
        self.map(bytes, false)
    }

    /// In the child of a fork: maps what a vanished thread was about to map, or finds that
    /// it has.
    pub(crate) fn after_fork(&self) {
        // If it cannot, whoever needs the table tries again.
        let _ = self.map(self.wanted.load(ordering::table_opened()), true);
    }

    fn map(&self, bytes: usize, may_be_mapped: bool) -> Result<(), MapError> {
        let opened = self.opened();
        if bytes <= opened {
            return Ok(());
        }
        self.wanted.store(bytes, ordering::table_opened());
        let (at, more) = (self.start().wrapping_add(opened), bytes - opened);
        // SAFETY: [TABLE-AREA] nothing of ours is there.
        match unsafe { sys::map_at(at, more) } {
            Ok(()) => {}
            Err(MapError::Taken) if may_be_mapped => {}
            Err(error) => {
                // What others have there must not count as ours after a fork.
                self.wanted.store(opened, ordering::table_opened());
                return Err(error);
            }
        }
        // SAFETY: just mapped. A huge page under a table would be mostly empty.
        unsafe { sys::advise_huge(at, more, false) };
        self.opened.store(bytes, ordering::table_opened());
        Ok(())
    }

    /// Unmaps the table. Where the system refuses, it stays opened.
    ///
    /// # Safety
    /// Nobody uses it any more.
    pub(crate) unsafe fn close(&self) {
        let opened = self.opened();
        self.wanted.store(0, ordering::table_opened());
        // SAFETY: by the caller; mapped by `open`.
        if opened != 0 && unsafe { sys::release(self.start(), opened) } {
            self.opened.store(0, ordering::table_opened());
        }
    }
}
