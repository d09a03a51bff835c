//! Huge pages: whether the system may use them for memory just mapped. By default it
//! may not, whatever its mode: a few bytes would take 2 MiB. Chunks of a filled heap get
//! them when they are taken ([`populate`]), and other dense ones of a large heap later
//! (`huge_page_collapse.rs`).

use crate::base::geometry::{CHUNK, UNIT};
use crate::base::lock::Lock;
use crate::base::ordering;
use crate::base::shadow;
use crate::base::sync::{AtomicU8, AtomicUsize};
use crate::spans::page_map::MAP;
use crate::sys::{self, HugePages};

/// Huge pages for dense chunks of large heaps. (1 is for none.)
pub(crate) const AUTO: usize = 0;
/// Huge pages for all memory, from the start.
const ALWAYS: usize = 2;

static WHEN: AtomicUsize = AtomicUsize::new(AUTO);

/// Sets when huge pages are used, from the next mapping on.
pub(crate) fn choose(when: usize) {
    WHEN.store(when, ordering::thp_config());
}

/// When huge pages are used.
pub(crate) fn chosen() -> usize {
    WHEN.load(ordering::thp_config())
}

/// Whether chunks get huge pages where that is worth it: by the option, and by the system, whose
/// huge pages are as large as a chunk only if its pages have 4 KiB.
pub(crate) fn are_automatic() -> bool {
    chosen() == AUTO && mode() != HugePages::Never && sys::page_size() == UNIT
}

/// The system's mode plus one; 0: not read yet.
static MODE: AtomicU8 = AtomicU8::new(0);

/// The system's mode. It is read once, at set-up: later, no descriptor is opened on a
/// thread of the program.
pub(crate) fn mode() -> HugePages {
    const ALL: [HugePages; 3] = [HugePages::Always, HugePages::Advised, HugePages::Never];
    match ALL.get(usize::from(MODE.load(ordering::thp_mode())).wrapping_sub(1)) {
        Some(mode) => *mode,
        None => {
            let mode = sys::huge_pages();
            MODE.store(mode as u8 + 1, ordering::thp_mode());
            mode
        }
    }
}

/// Held while a chunk is collapsed, which makes its pages a mapping of their own for a moment,
/// or while a mapping is moved or resized, which the system does only in one piece.
static CHANGING: Lock = Lock::new();

/// Collapses the pages of a chunk into a huge page, and advises against others there.
///
/// # Safety
/// The memory is mapped, and ours.
pub(crate) unsafe fn collapse(index: usize) {
    let _held = CHANGING.lock();
    // SAFETY: by the caller; the contents stay.
    unsafe { while_advised(index, |base| sys::collapse(base, CHUNK)) }
}

/// Has the system put a huge page under a chunk that holds no memory, and advises against others
/// there. If it has none, the chunk gets small ones, as they are written; it is marked all the
/// same. No block that is moved or resized is here, so nobody need wait while the page is cleared.
///
/// # Safety
/// The memory is mapped, and ours alone. It reads as zero, before and after.
pub(super) unsafe fn populate(index: usize) {
    if !are_automatic() {
        return;
    }
    let touch = |base: *mut u8| {
        // SAFETY: by the caller.
        unsafe { shadow::handed_out(base, 1).write_volatile(0) };
        shadow::taken_back(base, 1);
        true
    };
    // SAFETY: likewise.
    unsafe { while_advised(index, touch) }
}

/// Advises for a huge page under a chunk while `f` makes one, if it does.
///
/// # Safety
/// The memory is mapped, and ours.
unsafe fn while_advised(index: usize, f: impl FnOnce(*mut u8) -> bool) {
    let base = MAP.chunk_base(index);
    // SAFETY: by the caller; the contents stay.
    unsafe { sys::advise_huge(base, CHUNK, true) };
    let made = f(base);
    // SAFETY: likewise.
    unsafe { sys::advise_huge(base, CHUNK, false) };
    if made {
        MAP.chunk(index).in_huge_page.store(true, ordering::chunk_huge_page());
    }
}

/// Whether a chunk seems to be in a huge page, which a purge of a part would split.
pub(crate) fn is_in_huge_page(index: usize) -> bool {
    MAP.chunk(index).in_huge_page.load(ordering::chunk_huge_page())
}

/// Records that a chunk is in no huge page, or no longer: a part was purged, or it has other
/// memory.
pub(crate) fn left_huge_page(index: usize) {
    if is_in_huge_page(index) {
        MAP.chunk(index).in_huge_page.store(false, ordering::chunk_huge_page());
    }
}

/// Runs `f`, which moves or resizes a mapping, while no chunk is collapsed. In a signal handler
/// that interrupts such a call, one may be.
pub(super) fn in_one_piece<R>(f: impl FnOnce() -> R) -> R {
    let _held = CHANGING.lock();
    f()
}

/// In the child of a fork: no other thread changes mappings.
pub(crate) fn after_fork() {
    if CHANGING.is_orphaned() {
        CHANGING.force_unlock();
    }
}

/// Whether the system is told to use huge pages for what is mapped now, or else not to. It is
/// told in every mode: the mode may change, reading it would take a descriptor of the
/// program's, and neighbouring mappings that were advised alike count as one.
pub(crate) fn is_always() -> bool {
    chosen() == ALWAYS
}
