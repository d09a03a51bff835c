//! Replaces the cache of a thread: what its thread alone touches, and a number that others read.

use core::ptr::NonNull;

use crate::base::ordering;
use crate::base::sync::{AtomicUsize, Guarded};
use crate::heaps::heap::Heap;

pub(crate) struct Cache {
    pub(crate) heap: &'static Heap,
    /// \[OWNER-ONLY\]
    owner: Guarded<Owner>,
    /// Written when the cache is made, and read by one thread that finds it.
    made: Guarded<bool>,
    len: AtomicUsize,
}

#[derive(Default)]
struct Owner {
    inside: u32,
    whose: Whose,
}

/// Who has the cache.
#[derive(Clone, Copy, Default, PartialEq)]
enum Whose {
    #[default]
    Nobodys,
    AThreads,
    /// That of whoever takes it off the list of the spare ones.
    Spare,
}

// SAFETY: loom reports every access that is not synchronised.
unsafe impl Sync for Cache {}

static NO_CACHE_HEAP: Heap = Heap::new(0);

pub(crate) static NO_CACHE: Cache = Cache::new(&NO_CACHE_HEAP);
pub(crate) static ENDED: Cache = Cache::new(&NO_CACHE_HEAP);
pub(crate) static IN_SLOW_PATH: Cache = Cache::new(&NO_CACHE_HEAP);
pub(crate) static PROFILED: Cache = Cache::new(&NO_CACHE_HEAP);

impl Cache {
    const fn new(heap: &'static Heap) -> Self {
        Cache {
            heap,
            owner: Guarded::new(Owner { inside: 0, whose: Whose::Nobodys }),
            made: Guarded::new(false),
            len: AtomicUsize::new(0),
        }
    }

    /// # Safety
    /// The caller owns `bytes` at `place`.
    pub(super) unsafe fn make(place: NonNull<Cache>, bytes: usize, heap: &'static Heap) {
        assert!(size_of::<Cache>() <= bytes);
        // SAFETY: by the caller.
        let cache = unsafe {
            place.write(Cache::new(heap));
            place.as_ref()
        };
        // SAFETY: likewise.
        cache.made.with(|made| unsafe { *made = true });
        cache.purged();
    }

    /// Its memory was given back, or is new.
    pub(crate) fn purged(&self) {
        self.change(|owner| *owner = Owner::default());
        self.len.store(0, ordering::bin_top());
    }

    /// \[OWNER-ONLY\] loom reports it if two threads do.
    fn change<R>(&self, f: impl FnOnce(&mut Owner) -> R) -> R {
        // SAFETY: as above.
        self.owner.with(|owner| f(unsafe { &mut *owner }))
    }

    pub(super) fn begin(&self) {
        self.change(|owner| {
            assert!(owner.whose != Whose::AThreads, "two threads have one cache");
            *owner = Owner { inside: 1, whose: Whose::AThreads };
        });
    }

    pub(super) fn got(&self) {
        self.change(|owner| owner.inside = 0);
    }

    /// As a slow path of its thread does.
    pub(crate) fn work(&self) {
        self.change(|owner| assert!(owner.whose == Whose::AThreads && owner.inside == 0));
        self.len.store(1, ordering::bin_top());
    }

    /// As another thread does that found it.
    pub(crate) fn look(&self) {
        // SAFETY: one thread looks.
        self.made.with(|made| assert!(unsafe { *made }, "a cache is seen before it is made"));
    }

    /// # Safety
    /// \[OWNER-ONLY\]
    pub(super) unsafe fn rest(&self) -> bool {
        self.change(|owner| {
            assert!(owner.whose == Whose::AThreads, "a cache rests that no thread has");
            owner.whose = Whose::Spare;
        });
        true
    }

    /// # Safety
    /// \[OWNER-ONLY\]
    pub(super) unsafe fn end(&self) {
        self.change(|owner| {
            assert!(owner.whose != Whose::Nobodys, "a cache ends twice");
            *owner = Owner { inside: 1, whose: Whose::Nobodys };
        });
        self.len.store(0, ordering::bin_top());
        let mut locked = self.heap.lock().expect("nobody interrupts");
        assert!(locked.close_remote_queue().is_null());
        assert!(locked.unlock().is_empty());
    }

    /// # Safety
    /// As for [`end`](Self::end).
    pub(super) unsafe fn end_vanished(&self) {
        // SAFETY: by the caller.
        unsafe { self.end() };
    }

    /// # Safety
    /// As for [`end`](Self::end).
    pub(super) unsafe fn settle_lost(&self) {}

    /// # Safety
    /// As for [`end`](Self::end).
    pub(super) unsafe fn settle_vanished(&self) {}

    /// # Safety
    /// As for [`end`](Self::end).
    pub(super) unsafe fn lent(&self) -> usize {
        0
    }

    /// # Safety
    /// As for [`end`](Self::end).
    pub(super) unsafe fn unreported(&self) -> isize {
        0
    }

    /// # Safety
    /// As for [`end`](Self::end).
    pub(super) unsafe fn is_inside(&self) -> bool {
        self.change(|owner| owner.inside != 0)
    }

    pub(crate) fn id(&self) -> u32 {
        self.heap.id()
    }

    pub(crate) fn cached(&self, _class: usize) -> usize {
        self.len.load(ordering::bin_top())
    }
}
