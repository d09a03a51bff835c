//! Initialization, at the first allocation: reserves the tables (addresses only) with a
//! guard around each, claims a window, starts the first arena, and registers
//! the hooks.
//!
//! ```text
//!  │guard│ entries 128 MiB │guard│ chunks 128 MiB │guard│ taken │guard│ indexes │guard│
//! ```
//! The sizes are those of a window of 1 TiB; a smaller one has smaller tables in
//! proportion.
//!
//! A process may have several copies of the allocator, of one version or of several:
//! in the program, in libraries that it loads, preloaded. They know nothing of each
//! other, and need windows that are apart. So all addresses are divided into regions,
//! twice as large as a window. A copy claims a region by mapping its last page; where
//! that page is mapped already, the copy tries the next region.
//!
//! ```text
//!  │            ├──────────── window ────────────┤                  ▌│ next region
//!   └ at random ┘                                                   └ claim
//! ```

use core::ptr::{self, NonNull};

use crate::background::helper;
use crate::background::own_time;
use crate::base::geometry::{CHUNK_SHIFT, GUARD, WINDOW, WINDOW_ALIGN, WINDOW_GAP, WINDOW_MIN};
use crate::base::misuse;
use crate::base::once::{Done, Once};
use crate::base::ordering;
use crate::base::own_stack;
use crate::base::sync::{AtomicPtr, AtomicUsize};
use crate::pages::address_space;
use crate::pages::arena::{self};
use crate::pages::cgroup;
use crate::pages::huge_block;
use crate::pages::metadata::{self};
use crate::pages::thp;
use crate::process::config::Config;
use crate::process::fork_repair;
use crate::process::options;
use crate::process::unload;
use crate::reclaim::limit;
use crate::reclaim::purge;
use crate::spans::page_map::{self, MAP};
use crate::sys::{self, MapError};

static ONCE: Once = Once::new();

/// Address and bytes of the tables that are opened whole.
static BIT_TABLES: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static BIT_TABLES_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Address and bytes of the tables of taken chunks and of free-space indexes, with the
/// guard between them; null before initialization.
pub(crate) fn bit_tables() -> (*mut u8, usize) {
    (BIT_TABLES.load(ordering::bit_tables()), BIT_TABLES_BYTES.load(ordering::bit_tables()))
}

/// Initializes the allocator with these options, unless that was done. Returns false
/// when the system has no memory; the next call tries again.
#[inline]
pub(crate) fn ensure(config: &Config) -> bool {
    ONCE.is_done() || set_up(config)
}

#[cold]
fn set_up(config: &Config) -> bool {
    let done = ONCE.run(|| {
        config.apply();
        choose_window()
    });
    if done == Done::ByUs {
        // These may allocate; everything is initialized by now.
        sys::on_fork(after_fork_in_child);
        unload::watch();
        own_time::begin();
        options::read();
        cgroup::read_limit();
        if sys::cpu_count() > 1 {
            arena::fit_container();
        }
        thp::mode();
    }
    done != Done::Not
}

/// Chooses a window and reserves its tables.
fn choose_window() -> bool {
    let mut window = WINDOW;
    if let Some(limit) = sys::address_limit() {
        window = limit.saturating_mul(2).checked_next_power_of_two().unwrap_or(WINDOW);
        window = window.clamp(WINDOW_MIN, WINDOW);
    }
    while window >= WINDOW_MIN {
        if place_window(window) {
            return true;
        }
        window /= 4;
    }
    false
}

fn place_window(window: usize) -> bool {
    let chunks = window >> CHUNK_SHIFT;
    let whole = |bytes: usize| bytes.next_multiple_of(GUARD);
    let sizes = [
        whole(page_map::entries_bytes(chunks)),
        whole(page_map::chunks_bytes(chunks)),
        whole(address_space::table_bytes(chunks)),
        whole(arena::tables_bytes(chunks)),
    ];
    let total = sizes.iter().sum::<usize>() + (sizes.len() + 1) * GUARD;
    let Some(tables) = sys::reserve(total) else { return false };
    let mut at = 0;
    let [entries, records, taken, hints] = sizes.map(|size| {
        let table = at + GUARD;
        at = table + size;
        // SAFETY: within the reservation.
        unsafe { tables.add(table) }
    });
    // SAFETY: within the reservation. It is accessed at any place from the start, so it is
    // opened whole; untouched, it costs nothing.
    let opened = unsafe { sys::commit(taken.as_ptr(), sizes[2]) };
    let opened = opened && arena::init_tables(hints, chunks);
    let Some(base) = Some(tables).filter(|_| opened).and_then(|at| claim_window(at, window)) else {
        // SAFETY: nothing refers to the tables yet.
        unsafe { sys::release(tables.as_ptr(), total) };
        return false;
    };
    // SAFETY: the page is open, and still reads as zero.
    unsafe { sys::check_kernel(taken.as_ptr()) };
    let bit_tables = hints.addr().get() - taken.addr().get() + sizes[3];
    unload::has_tables(tables.as_ptr(), total);
    BIT_TABLES.store(taken.as_ptr(), ordering::bit_tables());
    BIT_TABLES_BYTES.store(bit_tables, ordering::bit_tables());
    MAP.init_tables(base, entries, records);
    address_space::init_tables(taken.as_ptr().cast(), chunks);
    true
}

/// Regions that are tried in each direction.
const REGIONS: usize = 64;

/// Claims a region for a window, and returns the window's base: well below the system's
/// own mappings, which it places from high addresses down; the tables are such a
/// mapping, placed at random. Where the system maps from low addresses up (some tools
/// and old layouts do), or all below is taken, the window is well above.
fn claim_window(tables: NonNull<u8>, window: usize) -> Option<usize> {
    let region = (2 * window).max(WINDOW_ALIGN);
    let gap = WINDOW_GAP.min(window);
    let tables = tables.as_ptr().expose_provenance();
    // The program is at low addresses: the first region is not used.
    let below = (tables.saturating_sub(gap) / region).saturating_sub(1);
    let below = (1..=below).rev().take(REGIONS);
    let above = (tables + gap).div_ceil(region);
    for at in below.chain(above..above + REGIONS).map(|index| index * region) {
        let claim = ptr::with_exposed_provenance_mut(at + region - sys::page_size());
        // SAFETY: a multiple of the page size, and not 0.
        match unsafe { sys::reserve_at(claim, sys::page_size()) } {
            Ok(()) => {
                unload::has_claim(claim);
                return Some(at + tables % window / WINDOW_ALIGN * WINDOW_ALIGN);
            }
            Err(MapError::Taken) => {}
            Err(MapError::NoMemory) => return None,
        }
    }
    None
}

/// In the child of a fork, which has one thread: repairs or drops the state that the
/// others were changing.
unsafe extern "C" fn after_fork_in_child() {
    own_stack::after_fork();
    misuse::after_fork();
    metadata::after_fork();
    address_space::after_fork();
    huge_block::after_fork();
    purge::after_fork();
    limit::after_fork();
    arena::after_fork();
    fork_repair::run();
    helper::after_fork();
}
