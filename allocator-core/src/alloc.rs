//! The allocation path. A size class serves layouts up to 32 KiB: the thread's
//! magazine for the class has a block, or is refilled. Larger layouts get a page run
//! of their arena up to 1 MiB, and a mapping of their own above. If there is no
//! memory, all free memory goes back to the system, and the allocation is tried
//! once more.
//!
//! A thread that is profiled counts what it allocates, and some blocks are sampled: these are pages,
//! or guarded.
//!
//! ```text
//!  alloc ─┬─ up to 32 KiB ──► magazine ──► refill (thread/refill.rs)
//!         ├─ up to 1 MiB ───► page run of the arena
//!         └─ above ─────────► huge block
//! ```

use core::ptr;

use crate::background::helper;
use crate::background::last_resort;
use crate::base::geometry::{MEDIUM_MAX, UNIT, WINDOW_ALIGN};
use crate::base::shadow;
use crate::base::size_class::{self, CLASSES};
use crate::guarded::block;
use crate::pages::arena;
use crate::pages::counters::COUNTERS;
use crate::pages::huge_block;
use crate::pages::interrupted;
use crate::pages::page_runs::{self};
use crate::process::config::Config;
use crate::process::init;
use crate::profile::countdown::{Due, Sample};
use crate::profile::record;
use crate::reclaim::failure;
use crate::reclaim::limit;
use crate::reclaim::purge;
use crate::thread::cache::Cache;
use crate::thread::inside;
use crate::thread::internal_fragmentation;
use crate::thread::profiled;
use crate::thread::registry;
use crate::thread::scope;
use crate::thread::slow_path::SlowPath;
use crate::thread::tls;

/// A block for a layout; null if there is no memory. For a constant layout, this
/// folds to seven instructions. The first allocation of the process puts `config`
/// in force.
///
/// # Safety
/// The layout is valid: `align` is a power of two, and `size` does not wrap when
/// rounded up to it.
#[inline(always)]
pub(crate) unsafe fn alloc(size: usize, align: usize, config: &Config) -> *mut u8 {
    let class = size_class::of(size, align);
    if class >= CLASSES {
        return large(size, align, config);
    }
    // SAFETY: [OWNER-ONLY] the calling thread's cache, or a stand-in.
    match unsafe { (*tls::get()).pop(class) } {
        Some(block) => shadow::handed_out(block, size),
        None => small_slow(class, size, config),
    }
}

#[cold]
#[inline(never)]
fn small_slow(class: usize, size: usize, config: &Config) -> *mut u8 {
    if profiled::is_here() {
        return small_profiled(class, size, config);
    }
    small_refill(class, size, config)
}

/// A block for a thread that is profiled.
#[inline(never)]
fn small_profiled(class: usize, size: usize, config: &Config) -> *mut u8 {
    let cache = profiled::cache();
    if cache.countdown.is_due(size) {
        return small_sampled(class, size, config);
    }
    // SAFETY: [OWNER-ONLY] it is the calling thread's cache.
    match unsafe { cache.pop(class) } {
        Some(block) => shadow::handed_out(block, size),
        None => small_refill(class, size, config),
    }
}

/// A block that is sampled: pages, so that its free is seen on the slow path alone; guarded ones, if
/// that is what it is sampled for. If there are none at once, or no room for the sample, it is
/// dropped: a profile is not worth free memory.
#[cold]
#[inline(never)]
fn small_sampled(class: usize, size: usize, config: &Config) -> *mut u8 {
    let sample = Due::new(size, &profiled::cache().countdown).take();
    let bytes = size_class::size(class);
    let inside = inside::enter();
    let slow = SlowPath::enter();
    let guarded = if sample.is_guarded { block::get(size, bytes) } else { None };
    let wants_run = guarded.is_none() && sample.profile.is_some();
    let pages = match guarded {
        Some(block) => Some((block, block::pages(bytes))),
        None if wants_run => run_for_sample(slow.cache(), bytes),
        None => None,
    };
    match pages {
        Some((block, bytes)) => {
            slow.count_large(bytes);
            record_sample(block, size, sample, slow.is_nested());
        }
        None if wants_run => record::count_dropped(),
        None => {}
    }
    if slow.leave() {
        helper::check_growth();
        limit::check();
    }
    drop(inside);
    match pages {
        Some((block, _)) => shadow::handed_out(block, size),
        None => small_refill(class, size, config),
    }
}

/// A page run for a sampled block of a class of `bytes`, and its bytes.
fn run_for_sample(cache: Option<&Cache>, bytes: usize) -> Option<(*mut u8, usize)> {
    // The largest power of two that divides the size: blocks of a class are aligned to it.
    let align = bytes & bytes.wrapping_neg();
    let cache = cache.filter(|_| record::has_room())?;
    let run = arena::get_run(cache.shard(), page_runs::units(bytes), (align / UNIT).max(1))?;
    Some((run.ptr, run.units * UNIT))
}

#[cold]
#[inline(never)]
fn small_refill(class: usize, size: usize, config: &Config) -> *mut u8 {
    if !init::ensure(config) {
        return core::ptr::null_mut();
    }
    let _inside = inside::enter();
    let mut slow = SlowPath::enter();
    let cache = registry::get_or_create(&mut slow);
    let get = || match cache {
        // SAFETY: [OWNER-ONLY] it is the calling thread's cache.
        Some(cache) => unsafe { Cache::refill(cache, class) },
        None => registry::alloc_without_cache(class),
    };
    let mut block = get();
    if block.is_null() && last_resort::flush(cache) {
        block = get();
    }
    if block.is_null() && (slow.is_nested() || interrupted::is_any_lock_held_here()) {
        block = registry::alloc_while_interrupted(class);
    }
    COUNTERS.note_refusal(block);
    let shard = slow.cache().map_or_else(arena::nearest, Cache::shard);
    internal_fragmentation::sample(shard, class, size);
    if slow.leave() {
        helper::check_growth();
        limit::check();
        failure::check(block, size);
    }
    shadow::handed_out(block, size)
}

/// Like [`alloc`], all zero.
///
/// # Safety
/// As for [`alloc`].
#[inline]
pub(crate) unsafe fn alloc_zeroed(size: usize, align: usize, config: &Config) -> *mut u8 {
    if size_class::of(size, align) == CLASSES {
        return large_zeroed(size, align, config);
    }
    // SAFETY: by the caller; a block has at least `size` bytes.
    unsafe {
        let block = alloc(size, align, config);
        if !block.is_null() {
            block.write_bytes(0, size);
        }
        block
    }
}

#[cold]
#[inline(never)]
fn large(size: usize, align: usize, config: &Config) -> *mut u8 {
    get_large(size, align, false, config)
}

#[cold]
#[inline(never)]
fn large_zeroed(size: usize, align: usize, config: &Config) -> *mut u8 {
    get_large(size, align, true, config)
}

/// A page run for a block of `old` bytes that moves to grow to `new`, as it may grow on where it
/// is then. Null if it does not grow to that, or there is no memory.
pub(crate) fn grown(old: usize, new: usize, align: usize) -> *mut u8 {
    if new > old && may_be_run(new, align) {
        get_large(new, align, false, Config::PLAIN)
    } else {
        ptr::null_mut()
    }
}

/// Whether a block is a page run once it has grown to so many bytes; it stays one if it shrinks to
/// them. For all sizes of a class that is as many units, so whoever names one of them names the run.
#[inline]
pub(crate) fn may_be_run(size: usize, align: usize) -> bool {
    size >= LEAST_GROWN && is_medium(size, align) && align <= UNIT
}

/// Blocks that grow are page runs from this size on.
const LEAST_GROWN: usize = (16 << 10) + 1;

/// A page run or a huge block. The program is told if there is no memory.
fn get_large(size: usize, align: usize, zeroed: bool, config: &Config) -> *mut u8 {
    let (block, may_tell) = take_large(size, align, zeroed, config);
    if may_tell {
        failure::check(block, size);
    }
    block
}

/// A page run or a huge block, which is sampled if the thread's next sample is due; null if there
/// is none. If there is no memory, all free memory goes back to the system, and the allocation is
/// tried once more. And whether the program may be told of a null: no slow path is interrupted.
pub(crate) fn take_large(
    size: usize,
    align: usize,
    zeroed: bool,
    config: &Config,
) -> (*mut u8, bool) {
    let due = profiled::due(size);
    if !init::ensure(config) || align > WINDOW_ALIGN {
        return (core::ptr::null_mut(), false);
    }
    let _inside = inside::enter();
    let slow = SlowPath::enter();
    let get = || {
        if !is_medium(size, align) {
            return huge_block::get(size, align, zeroed);
        }
        let align = (align / UNIT).max(1);
        let shard = slow.cache().map_or_else(arena::nearest, Cache::shard);
        let run = arena::get_run(shard, page_runs::units(size.max(1)), align)?;
        if zeroed {
            // SAFETY: the run was just taken, and is ours.
            unsafe { run.clear() };
        }
        Some(run.ptr)
    };
    let flush = || last_resort::flush(slow.cache()) && purge::make_room();
    let block = get().or_else(|| purge::make_room().then(get)?).or_else(|| flush().then(get)?);
    let block = block.or_else(|| {
        let interrupts = slow.is_nested() || interrupted::is_any_lock_held_here();
        interrupts.then(|| interrupted::alloc(size, align, zeroed))?
    });
    if let (Some(block), Some(due)) = (block, due) {
        record_sample(block, size, due.take(), slow.is_nested());
    }
    match block {
        Some(_) => slow.count_large(bytes_of_large(size, align)),
        None => COUNTERS.refusals.add(1),
    }
    let is_outermost = slow.leave();
    if is_outermost {
        helper::check_growth();
        limit::check();
    }
    (shadow::handed_out(block.unwrap_or(ptr::null_mut()), size), is_outermost)
}

/// Bytes of a page run or huge block for a layout.
fn bytes_of_large(size: usize, align: usize) -> usize {
    if is_medium(size, align) {
        page_runs::units(size.max(1)) * UNIT
    } else {
        huge_block::bytes_for(size).unwrap_or(size)
    }
}

/// Records a sample, if it is one of the profile. In a signal handler that interrupts a slow
/// path, which may be recording one itself, none is recorded.
#[cold]
#[inline(never)]
pub(crate) fn record_sample(block: *mut u8, size: usize, sample: Sample, is_nested: bool) {
    if let Some(rate) = sample.profile.filter(|_| !is_nested) {
        record::record(block, size, rate, scope::label());
    }
}

/// Whether blocks of a layout that is not small are page runs.
#[inline]
pub(crate) fn is_medium(size: usize, align: usize) -> bool {
    size <= MEDIUM_MAX && align <= MEDIUM_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::geometry::SMALL_MAX;

    #[test]
    fn all_sizes_of_a_class_name_the_same_run() {
        for align in (0..=UNIT.ilog2()).map(|log| 1 << log) {
            for size in (LEAST_GROWN..=SMALL_MAX).filter(|size| may_be_run(*size, align)) {
                let class = size_class::of(size, align);
                let most = size_class::size(class);
                assert_eq!(page_runs::units(size), page_runs::units(most), "{size}, {align}");
            }
        }
    }
}
