//! Initialization, at the first allocation: claims a region of addresses, places the
//! tables and the window there, starts the first arena, and registers the hooks.
//!
//! All addresses of the process are divided into regions. The system places its own
//! mappings from high addresses down, so the lowest regions are the last that it fills.
//!
//! ```text
//!  │ region 0 │ region 1                   │ region 2     …
//!             │▌ area │  at random ├──────── window ──►   grows upwards, over all regions
//!              └ the first table: a claim                 but for their areas
//! ```
//!
//! A process may have several copies of the allocator, of one version or of several:
//! in the program, in libraries that it loads, preloaded. They know nothing of each
//! other, and need tables that are apart. So a copy claims a region by mapping its first
//! table at its start; where something is mapped already, it tries the next region.
//! Windows may overlap: whoever maps a chunk first has it.

use core::ptr;

use crate::background::helper;
use crate::background::own_time;
use crate::base::geometry::{AREA_PART, REGIONS, WINDOW_ALIGN};
use crate::base::misuse;
use crate::base::once::{Done, Once};
use crate::base::own_stack;
use crate::guarded::slots;
use crate::pages::address_space;
use crate::pages::arena;
use crate::pages::cgroup;
use crate::pages::metadata;
use crate::pages::tables;
use crate::pages::thp;
use crate::pages::usage;
use crate::process::config::Config;
use crate::process::fork_repair;
use crate::process::handlers;
use crate::process::options;
use crate::process::unload;
use crate::profile::record;
use crate::reclaim::failure;
use crate::reclaim::limit;
use crate::reclaim::pressure;
use crate::reclaim::purge;
use crate::spans::page_map::MAP;
use crate::sys::{self, MapError};
use crate::thread::registry;
use crate::thread::stock;

static ONCE: Once = Once::new();

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
        registry::at_end(helper::check_excess);
        options::read();
        handlers::install();
        cgroup::read_limit();
        usage::look_from(address_space::mapped());
        if sys::cpu_count() > 1 {
            arena::fit_container();
        }
        thp::mode();
    }
    done != Done::Not
}

/// Bits of addresses that kernels give a program.
const SPACES: [u32; 3] = [47, 42, 39];

/// Chooses a region, and in it a window and the area of its tables. As many addresses as
/// the system seems to have; fewer, if there is nothing to be had at the first of them.
fn choose_window() -> bool {
    if let Some((region, space)) = tables::placed() {
        // An attempt before this one failed, and could not unmap its tables.
        return begin_at(region, space).is_ok();
    }
    // The system gives high addresses to stacks and libraries.
    let high = 0;
    let high = ptr::from_ref(&high).addr().max(ptr::from_ref(&MAP).addr());
    let spaces = || SPACES.into_iter().map(|bits| 1 << bits);
    let largest = spaces().filter(|space| high < *space).min().unwrap_or(1 << SPACES[0]);
    let mut spaces = spaces().filter(|space| *space <= largest);
    spaces.any(|space| tables::placed().is_none() && claim_region(space))
}

/// Claims a region of so many addresses, and begins there. If it fails, tables may be
/// left opened.
fn claim_region(space: usize) -> bool {
    let region = space / REGIONS;
    // The program may be at the lowest addresses.
    for at in (1..REGIONS).map(|index| index * region) {
        match begin_at(ptr::with_exposed_provenance_mut(at), space) {
            Ok(()) => return true,
            Err(MapError::Taken) if tables::placed().is_none() => {}
            Err(_) => return false,
        }
    }
    false
}

/// Begins in a region.
///
/// # Errors
/// [`MapError::Taken`]: there is something of others where the tables would be. Else there
/// is no memory.
fn begin_at(region: *mut u8, space: usize) -> Result<(), MapError> {
    let (bytes, area) = (space / REGIONS, space / AREA_PART);
    // Somewhere in the first half of the region. Where the stack is, is random.
    let random = ptr::from_ref(&space).addr() / sys::page_size();
    let places = (bytes / 2 / WINDOW_ALIGN).max(1);
    let base = (region.addr() + area).next_multiple_of(WINDOW_ALIGN);
    MAP.set_base(base + random % places * WINDOW_ALIGN);
    tables::place(region, space);
    tables::begin().inspect_err(|_| {
        // SAFETY: nothing uses the tables yet.
        unsafe { tables::close() };
    })?;
    // SAFETY: the page is open, and still reads as zero.
    unsafe { sys::check_kernel(tables::spare_page()) };
    address_space::begin(space);
    arena::begin();
    Ok(())
}

/// In the child of a fork, which has one thread: repairs or drops the state that the
/// others were changing.
///
/// # Safety
/// No other thread runs.
pub(crate) unsafe extern "C" fn after_fork_in_child() {
    own_stack::after_fork();
    record::after_fork();
    slots::after_fork();
    misuse::after_fork();
    metadata::after_fork();
    thp::after_fork();
    tables::after_fork();
    address_space::after_fork();
    purge::after_fork();
    pressure::after_fork();
    failure::after_fork();
    limit::after_fork();
    handlers::after_fork();
    arena::after_fork();
    stock::after_fork();
    fork_repair::run();
    helper::after_fork();
}
