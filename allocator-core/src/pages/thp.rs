//! Huge pages: whether memory that is mapped may get them by itself. By default it
//! may not, whatever the system's mode: a few bytes would take 2 MiB. Large heaps get
//! them late, chunk by chunk, where they are dense (`dense.rs`).

use crate::base::geometry::CHUNK;
use crate::base::ordering;
use crate::base::sync::{AtomicU8, AtomicUsize};
use crate::sys::{self, HugePages};

/// Huge pages late, under dense chunks. (1 is for none.)
pub(crate) const AUTO: usize = 0;
/// Everywhere, from the start.
const ALWAYS: usize = 2;

static WHEN: AtomicUsize = AtomicUsize::new(AUTO);

/// Says when there shall be huge pages, from the next mapping on.
pub(crate) fn choose(when: usize) {
    WHEN.store(when, ordering::thp_config());
}

/// When there shall be huge pages.
pub(crate) fn chosen() -> usize {
    WHEN.load(ordering::thp_config())
}

/// How the system does it, plus one; 0: it was not asked yet.
static MODE: AtomicU8 = AtomicU8::new(0);

/// When the system uses huge pages. Asked once.
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

/// Chunks at the start of a process that are told off without a look at the mode:
/// one call each, where the look takes three.
const UNASKED: usize = 8;

/// Says of memory just mapped, of which the process has `before` bytes, whether the
/// system may use huge pages there. The caller holds no lock.
pub(crate) fn mapped(base: *mut u8, bytes: usize, before: usize) {
    let yes = chosen() == ALWAYS;
    let matters =
        bytes >= CHUNK && (yes || before < UNASKED * CHUNK || mode() == HugePages::Always);
    if matters {
        // SAFETY: just mapped, and ours.
        unsafe { sys::advise_huge(base, bytes, yes) };
    }
}
