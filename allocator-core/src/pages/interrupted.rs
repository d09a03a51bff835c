//! Memory for a signal handler, where the code that it interrupted holds a lock that the
//! usual way needs. Any other way does: another arena's page runs, or a mapping of its
//! own. Frees go by the page map alone, so they find whatever it became.

use crate::base::geometry::{MEDIUM_MAX, UNIT};
use crate::pages::address_space;
use crate::pages::arena;
use crate::pages::huge_block;
use crate::pages::metadata;
use crate::pages::page_runs;
use crate::pages::tables;

/// A block for a layout, where [`is_any_lock_held_here`].
#[cold]
pub(crate) fn alloc(size: usize, align: usize, zeroed: bool) -> Option<*mut u8> {
    let run = || {
        let (units, align) = (page_runs::units(size.max(1)), (align / UNIT).max(1));
        let run = (0..arena::count()).find_map(|shard| arena::get_run(shard, units, align))?;
        if zeroed {
            // SAFETY: the run was just taken, and is ours.
            unsafe { run.clear() };
        }
        Some(run.ptr)
    };
    let block = if size.max(align) <= MEDIUM_MAX { run() } else { None };
    block.or_else(|| huge_block::get(size, align, zeroed))
}

/// Whether the calling thread holds a lock that the usual way may have failed for.
#[cold]
pub(crate) fn is_any_lock_held_here() -> bool {
    metadata::is_held_here()
        || address_space::is_held_here()
        || tables::is_held_here()
        || arena::all()
            .iter()
            .any(|arena| arena.heap.is_held_here() || arena.page_runs.is_held_here())
}
