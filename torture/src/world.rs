//! The blocks that are live, and the operations on them. Every block has a place, whose
//! lock whoever works on the block holds; every byte of it is known.

use std::alloc::Layout;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::locks::{Mutex, MutexGuard};
use crate::operation::{Deed, Operation};
use crate::pattern;
use crate::subject::{Subject, block_bytes, is_huge};
use crate::violated;

/// A live block.
pub(crate) struct Held {
    pub(crate) ptr: *mut u8,
    pub(crate) layout: Layout,
    /// Bytes that are filled.
    pub(crate) usable: usize,
    /// It was resized to what may be a page run or a small block.
    may_be_run: bool,
    id: u64,
}

// SAFETY: a block may be used by any thread that holds it.
unsafe impl Send for Held {}

/// Whether the system may refuse memory: the runtimes of sanitizers map some, too, and do not
/// survive that.
const MAY_REFUSE: bool = cfg!(not(any(strata_asan, strata_tsan)));

/// Whether to fork. ThreadSanitizer knows no threads in the child of a process that has several.
const MAY_FORK: bool = cfg!(not(strata_tsan));

/// What a run may do.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many blocks may be live.
    pub places: usize,
    /// How many bytes may be live.
    pub most_live: usize,
    /// Whether to fork.
    pub forks: bool,
    /// Whether threads raise signals.
    pub signals: bool,
    /// Whether signals also come from outside.
    pub interrupts: bool,
    /// Whether threads may get filters.
    pub filters: bool,
    /// Whether children may have few addresses left.
    pub limits: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let most_live = 32 << 20;
        Settings {
            places: 1024,
            most_live,
            forks: MAY_FORK,
            signals: true,
            interrupts: false,
            filters: MAY_REFUSE,
            limits: MAY_REFUSE,
        }
    }
}

/// What has happened so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// Allocations, reallocations and frees.
    pub operations: AtomicU64,
    /// Requests that were refused, as they may be.
    pub refused: AtomicU64,
    /// System calls that failed, as far as the subject knows.
    pub failed_calls: AtomicU64,
    /// Threads with filters.
    pub filters: AtomicU64,
    /// Forks, those of children not included.
    pub forks: AtomicU64,
    /// Signals that were raised or sent.
    pub signals: AtomicU64,
    /// Threads that were started.
    pub threads: AtomicU64,
    /// Limits that were set.
    pub limits: AtomicU64,
    /// Checks of everything.
    pub checks: AtomicU64,
}

impl Tally {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The reference, and the subject.
pub struct World {
    pub(crate) subject: &'static dyn Subject,
    pub(crate) classes: Vec<usize>,
    pub(crate) settings: Settings,
    pub(crate) places: Vec<Mutex<Option<Held>>>,
    /// Bytes of live blocks.
    pub(crate) live: AtomicUsize,
    ids: AtomicU64,
    /// Held while a limit is set.
    limiting: Mutex<()>,
    /// Odd while a limit is set.
    limits: AtomicU64,
    /// System calls fail in all threads.
    pub(crate) fails: AtomicBool,
    /// The process is the child of a fork: some locks may be held for ever, and limits set.
    pub(crate) is_child: AtomicBool,
    /// What has happened so far.
    pub tally: Tally,
}

thread_local! {
    /// System calls fail in this thread.
    static FILTERED: Cell<bool> = const { Cell::new(false) };
}

/// Whether system calls fail in this thread.
pub(crate) fn set_filtered() {
    FILTERED.set(true);
}

/// Calls of the function that is told of the soft limit.
static TOLD: AtomicU64 = AtomicU64::new(0);

/// It may allocate and free.
fn told(_: usize) {
    TOLD.fetch_add(1, Ordering::Relaxed);
    let block = Layout::new::<[u64; 20]>();
    let strata = allocator_core::Strata::new();
    // SAFETY: the size is not 0; the block is freed with its layout.
    unsafe {
        let ptr = std::alloc::GlobalAlloc::alloc(&strata, block);
        if !ptr.is_null() {
            ptr.write_bytes(1, block.size());
            std::alloc::GlobalAlloc::dealloc(&strata, ptr, block);
        }
    }
}

impl World {
    /// A world without blocks, which stays for ever: threads and the children of forks
    /// refer to it.
    #[must_use]
    pub fn new(subject: &'static dyn Subject, settings: Settings) -> &'static World {
        allocator_core::Strata::on_limit(told);
        Box::leak(Box::new(World {
            subject,
            classes: subject.classes(),
            settings,
            places: (0..settings.places).map(|_| Mutex::new(None)).collect(),
            live: AtomicUsize::new(0),
            ids: AtomicU64::new(1),
            limiting: Mutex::new(()),
            limits: AtomicU64::new(0),
            fails: AtomicBool::new(false),
            is_child: AtomicBool::new(false),
            tally: Tally::default(),
        }))
    }

    /// The sizes of the subject's classes.
    #[must_use]
    pub fn classes(&self) -> &[usize] {
        &self.classes
    }

    /// Locks a place. `None` in the child of a fork, if a thread held it that is not there.
    pub(crate) fn place(&self, index: usize) -> Option<MutexGuard<'_, Option<Held>>> {
        let place = &self.places[index % self.places.len()];
        if self.is_child.load(Ordering::Relaxed) {
            return place.try_lock().ok();
        }
        Some(place.lock().unwrap())
    }

    /// Whether a limit is set now, so that allocations may be refused.
    pub(crate) fn is_limited(&self) -> bool {
        self.limits.load(Ordering::Acquire) % 2 == 1
    }

    /// A request was refused: that must be possible. `before` is what `limits` was.
    fn refused(&self, before: u64, layout: Layout) {
        let limited = before % 2 == 1 || self.limits.load(Ordering::Acquire) != before;
        let may = limited
            || FILTERED.get()
            || self.fails.load(Ordering::Relaxed)
            || self.is_child.load(Ordering::Relaxed);
        if !may {
            violated!("{layout:?} was refused; {:?}", self.subject.numbers());
        }
        Tally::count(&self.tally.refused);
    }

    /// Takes a block into the reference, and fills it.
    fn hold(&self, ptr: *mut u8, layout: Layout) -> Held {
        if !ptr.addr().is_multiple_of(layout.align()) {
            violated!("{ptr:p} is not aligned for {layout:?}");
        }
        // SAFETY: it was just allocated.
        let usable = unsafe { self.subject.usable(ptr, layout) };
        if usable < layout.size() {
            violated!("{ptr:p} has {usable} bytes, for {layout:?}");
        }
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the block has so many bytes.
        unsafe { pattern::fill(ptr, usable, id) };
        self.live.fetch_add(usable, Ordering::Relaxed);
        Held { ptr, layout, usable, may_be_run: false, id }
    }

    /// Checks the first bytes of a block that was filled as `held` says.
    pub(crate) fn verify(held: &Held, ptr: *mut u8, kept: usize) {
        // SAFETY: the block has at least so many bytes.
        let wrong = unsafe { pattern::first_wrong(ptr, kept, held.usable, held.id) };
        if let Some(at) = wrong {
            // SAFETY: within the block.
            let byte = unsafe { ptr.add(at).read() };
            violated!(
                "byte {at} of the block {ptr:p} of {:?}, number {}, is {byte:#x}",
                held.layout,
                held.id
            );
        }
    }

    /// Frees the block in a place.
    pub(crate) fn free_held(&self, place: &mut Option<Held>) {
        if let Some(held) = place.take() {
            Self::verify(&held, held.ptr, held.usable);
            self.live.fetch_sub(held.usable, Ordering::Relaxed);
            Tally::count(&self.tally.operations);
            // SAFETY: the block is ours, and was made with this layout.
            unsafe { self.subject.dealloc(held.ptr, held.layout) };
        }
    }

    fn allocate(&self, index: usize, layout: Layout, zeroed: bool) {
        let Some(mut place) = self.place(index) else { return };
        self.free_held(&mut place);
        if self.live.load(Ordering::Relaxed) + layout.size() > self.settings.most_live {
            return;
        }
        let before = self.limits.load(Ordering::Acquire);
        Tally::count(&self.tally.operations);
        // SAFETY: the size is not 0.
        let ptr = unsafe {
            if zeroed { self.subject.alloc_zeroed(layout) } else { self.subject.alloc(layout) }
        };
        if ptr.is_null() {
            self.refused(before, layout);
            return;
        }
        if zeroed {
            // SAFETY: the block has so many bytes.
            if let Some(at) = unsafe { pattern::first_dirty(ptr, layout.size()) } {
                violated!("byte {at} of the zeroed block {ptr:p} of {layout:?} is not 0");
            }
        }
        *place = Some(self.hold(ptr, layout));
    }

    fn reallocate(&self, index: usize, size: usize) {
        let Some(mut place) = self.place(index) else { return };
        let Some(held) = place.take() else { return };
        Self::verify(&held, held.ptr, held.usable);
        let grows = size > held.layout.size();
        let Ok(layout) = Layout::from_size_align(size, held.layout.align()) else { return };
        if grows && self.live.load(Ordering::Relaxed) + size > self.settings.most_live {
            *place = Some(held);
            return;
        }
        let before = self.limits.load(Ordering::Acquire);
        Tally::count(&self.tally.operations);
        // SAFETY: the block is ours; the size is not 0.
        let ptr = unsafe { self.subject.realloc(held.ptr, held.layout, size) };
        if ptr.is_null() {
            self.refused(before, layout);
            Self::verify(&held, held.ptr, held.usable);
            *place = Some(held);
            return;
        }
        Self::verify(&held, ptr, held.layout.size().min(size));
        self.live.fetch_sub(held.usable, Ordering::Relaxed);
        let held = self.hold(ptr, layout);
        *place = Some(Held { may_be_run: may_be_run(layout), ..held });
    }

    fn chain(&self, index: usize, times: usize, grows: bool) {
        for _ in 0..times {
            let Some(place) = self.place(index) else { return };
            let Some(size) = place.as_ref().map(|held| held.layout.size()) else { return };
            drop(place);
            let size = if grows { size + size / 8 + 1 } else { (size - size / 8).max(1) };
            self.reallocate(index, size);
        }
    }

    /// Allocates blocks while `set` is in force, which is undone by setting 0.
    fn within_limit(&self, operation: &Operation, size: usize, count: usize, hard: bool) {
        // Another thread may be at it; in a child, for ever.
        let Ok(_held) = self.limiting.try_lock() else { return };
        let Some(numbers) = self.subject.numbers() else { return };
        Tally::count(&self.tally.limits);
        // Nearly reached, or far below what is there.
        let bytes =
            if size.is_multiple_of(3) { numbers.committed / 2 } else { numbers.committed + size };
        let set = |bytes| {
            if hard {
                self.subject.set_hard_limit(bytes);
            } else {
                self.subject.set_limit(bytes);
            }
        };
        self.limits.fetch_add(1, Ordering::AcqRel);
        set(bytes.max(1));
        if let Ok(layout) = Layout::from_size_align(size, 8) {
            for n in 0..count * 4 {
                self.allocate(operation.place + n, layout, n % 4 == 3);
            }
        }
        set(0);
        self.limits.fetch_add(1, Ordering::AcqRel);
    }

    fn ask_for_too_much(&self, size: usize) {
        let Ok(layout) = Layout::from_size_align(size & !0xfff, 4096) else { return };
        Tally::count(&self.tally.refused);
        // SAFETY: the size is not 0; the block is freed with its layout.
        unsafe {
            let ptr = self.subject.alloc(layout);
            if !ptr.is_null() {
                violated!("{ptr:p} for {layout:?}");
            }
        }
    }

    /// Does what a thread can do alone; the rest is left to the caller.
    pub(crate) fn work(&self, operation: &Operation) {
        let first = operation.place;
        match operation.deed {
            Deed::Allocate { layout, zeroed } => self.allocate(first, layout, zeroed),
            Deed::AllocateMany { layout, count } => {
                (0..count).for_each(|n| self.allocate(first + n, layout, false));
            }
            Deed::Free => {
                if let Some(mut place) = self.place(first) {
                    self.free_held(&mut place);
                }
            }
            Deed::FreeMany { count, step } => {
                for n in 0..count {
                    if let Some(mut place) = self.place(first + n * step) {
                        self.free_held(&mut place);
                    }
                }
            }
            Deed::Reallocate { size } => self.reallocate(first, size),
            Deed::Chain { times, grows } => self.chain(first, times, grows),
            Deed::Idle => self.subject.thread_idle(),
            Deed::Purge => self.subject.purge(),
            Deed::SoftLimit { size, count } => self.within_limit(operation, size, count, false),
            Deed::HardLimit { size, count } => self.within_limit(operation, size, count, true),
            Deed::Refused { size } => self.ask_for_too_much(size),
            Deed::Fork { .. }
            | Deed::Signal { .. }
            | Deed::Restart { .. }
            | Deed::Fail { .. }
            | Deed::Check => {}
        }
    }

    /// Frees all blocks.
    pub(crate) fn free_all(&self) {
        for place in 0..self.places.len() {
            if let Some(mut place) = self.place(place) {
                self.free_held(&mut place);
            }
        }
    }

    /// What a live block counts as.
    pub(crate) fn counted(&self, held: &Held) -> Counted {
        let bytes = block_bytes(&self.classes, held.layout);
        let is_large = bytes > SMALL || held.layout.align() > SMALL || is_huge(held.layout);
        let run = if held.may_be_run { bytes.next_multiple_of(PAGE) } else { 0 };
        Counted { bytes, large: if is_large { bytes } else { 0 }, run }
    }
}

/// What a live block counts as.
pub(crate) struct Counted {
    pub(crate) bytes: usize,
    /// Bytes as a page run or huge block, if it surely is one.
    pub(crate) large: usize,
    /// Bytes as a page run, if it may be one instead; or 0.
    pub(crate) run: usize,
}

/// Largest small block.
const SMALL: usize = 32 << 10;
const PAGE: usize = 4 << 10;

/// Whether a block of the layout is a page run where it grew to it by `realloc`, or shrank in
/// place, and else a small one.
fn may_be_run(layout: Layout) -> bool {
    ((16 << 10) + 1..=SMALL).contains(&layout.size()) && layout.align() <= PAGE
}
