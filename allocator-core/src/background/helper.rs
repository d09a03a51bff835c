//! The helper: a background thread that purges memory while the program does something
//! else, or nothing. It is started when there is too much free memory, wakes a few
//! times a second, and ends after some rounds without work. A program that frees little
//! never starts it.
//!
//! Memory that was used again since the helper last woke is left alone: a program that
//! frees and allocates in turn keeps its memory.

use core::ffi::c_void;
use core::ptr;

use crate::background::huge_page_collapse;
use crate::background::span_purge;
use crate::base::ordering;
use crate::base::sync::{AtomicBool, AtomicU32};
use crate::heaps::heap::Millis;
use crate::pages::address_space;
use crate::pages::arena;
use crate::pages::cgroup;
use crate::pages::usage;
use crate::reclaim::purge;
use crate::remote::send::BatchPool;
use crate::sys;
use crate::thread::cache::Cache;
use crate::thread::registry;

const NONE: u32 = 0;
const RUNNING: u32 = 1;

static STATE: AtomicU32 = AtomicU32::new(NONE);

/// Whether a helper may be started.
static ALLOWED: AtomicBool = AtomicBool::new(true);

/// Sets whether a helper may be started, from the next time that one is needed.
pub(crate) fn allow(allowed: bool) {
    ALLOWED.store(allowed, ordering::helper_config());
}

/// Whether a helper may be started.
pub(crate) fn is_allowed() -> bool {
    ALLOWED.load(ordering::helper_config())
}

/// Milliseconds between two rounds: free memory is purged within two.
const TICK: u32 = 400;

/// Milliseconds between two rounds while memory is short.
const HURRY: u32 = 100;

/// While memory is short, all threads are asked to flush what they keep every so many
/// rounds: once a second.
const ASK: u32 = 10;

/// Rounds without work before the helper ends. Then it purges what nobody used in all
/// that time, even within the bound.
const PATIENCE: u32 = 5;

/// Whether only [`check_excess_where`] starts the helper. The C library calls `free`
/// under locks that it needs to start a thread.
static ASKED_ONLY: AtomicBool = AtomicBool::new(false);

/// From now on, only [`check_excess_where`] starts the helper.
pub(crate) fn start_when_asked() {
    ASKED_ONLY.store(true, ordering::helper_config());
}

/// Called at the end of slow paths, where no lock is held: if there is too much free
/// memory, has it purged.
#[inline]
pub(crate) fn check_excess() {
    if usage::in_excess() {
        if !ASKED_ONLY.load(ordering::helper_config()) {
            check_excess_where(|| true);
        } else if STATE.load(ordering::helper_state()) == NONE && usage::excess_is_large() {
            purge_excess();
        }
    }
}

/// As [`check_excess`], where a thread may be started if `may_start` returns true.
#[inline]
pub(crate) fn check_excess_where(may_start: impl FnOnce() -> bool) {
    if usage::in_excess() && STATE.load(ordering::helper_state()) == NONE && may_start() {
        start();
    }
}

/// Purges the excess at once. Without a helper, nobody else checks whether memory is
/// still short.
fn purge_excess() {
    if cgroup::is_pressed() && cgroup::is_due(HURRY) {
        cgroup::update();
    }
    purge::purge(usage::excess());
    usage::recheck_excess();
}

#[cold]
fn start() {
    if STATE
        .compare_exchange(NONE, RUNNING, ordering::helper_state(), ordering::helper_state())
        .is_err()
    {
        return;
    }
    if !is_allowed() || !sys::start_thread(run) {
        // Then the calling thread purges at once.
        STATE.store(NONE, ordering::helper_state());
        purge_excess();
    }
}

unsafe extern "C" fn run(_: *mut c_void) -> *mut c_void {
    let (mut calm, mut unused, mut pressed) = (0, 0, 0);
    usage::take_low_water();
    loop {
        pause(if pressed == 0 { TICK } else { HURRY });
        drain_sleepers();
        if cgroup::update() {
            purge_under_pressure(pressed);
            (pressed, calm) = (pressed + 1, 0);
            continue;
        }
        pressed = 0;
        let low = usage::take_low_water();
        let unwanted = usage::above_bound(low);
        if unwanted != 0 {
            purge::purge(unwanted);
        }
        give_holes_back();
        if usage::take_grew() {
            huge_page_collapse::begin();
        }
        if huge_page_collapse::step() | usage::recheck_excess() {
            calm = 0;
            continue;
        }
        unused = if calm == 0 { low - unwanted } else { low.min(unused) };
        calm += 1;
        match calm {
            // From now on spans record whether blocks are taken from them.
            1 => span_purge::start_watching(),
            PATIENCE => {
                purge::purge(unused);
                span_purge::search(usize::MAX);
                registry::purge();
            }
            _ => {}
        }
        if calm >= PATIENCE && try_end() {
            return ptr::null_mut();
        }
    }
}

/// Memory is short: purges all free memory, and now and then asks all threads to flush
/// what they keep.
fn purge_under_pressure(looks: u32) {
    if looks.is_multiple_of(ASK) {
        registry::caches().for_each(Cache::request_flush);
    }
    purge::purge(usize::MAX);
    span_purge::search(usize::MAX);
}

/// Purges free pages within spans, if there is too much free memory.
fn give_holes_back() {
    let unwanted = usage::unwanted_loose();
    if unwanted != 0 && !span_purge::search(unwanted).more {
        usage::searched();
    }
}

/// Ends the helper, unless there is work after all: threads that freed memory while it
/// still ran started no other. Returns whether it ended.
fn try_end() -> bool {
    STATE.store(NONE, ordering::helper_state());
    usage::look_from(address_space::mapped());
    // After one more tick all threads have seen that.
    pause(TICK);
    let again = usage::recheck_excess()
        && STATE
            .compare_exchange(NONE, RUNNING, ordering::helper_state(), ordering::helper_state())
            .is_ok();
    !again
}

fn pause(milliseconds: u32) {
    let never = AtomicU32::new(0);
    sys::futex_wait_for(&never, 0, milliseconds);
}

/// Drains the heaps of threads that were idle since the last round, or used only their
/// magazines, and asks these threads to flush what they keep: a block in a magazine
/// holds its span.
fn drain_sleepers() {
    let now = sys::monotonic_ms() as Millis;
    let mut batches = BatchPool::new();
    for cache in registry::caches().filter(|cache| cache.heap.observe_idle(now)) {
        cache.request_flush();
        if cache.heap.has_batches() {
            batches.drain_sleeper(cache.heap);
        }
    }
    batches.empty();
}

/// Flushes what the calling thread keeps: it is going to sleep.
pub(crate) fn thread_idle() {
    if let Some(cache) = registry::current() {
        // SAFETY: [OWNER-ONLY] it is the calling thread's.
        unsafe { cache.flush_if_any() };
        check_excess();
    }
}

/// Purges all free memory now, after draining all heaps: a block in a batch holds its
/// span, as does one that a thread keeps. Returns how many bytes.
pub(crate) fn purge_all() -> usize {
    if let Some(cache) = registry::current() {
        // SAFETY: [OWNER-ONLY] it is the calling thread's.
        unsafe { cache.flush_all() };
    }
    registry::caches().for_each(Cache::request_flush);
    let mut batches = BatchPool::new();
    let arenas = arena::all().iter().map(|arena| &arena.heap);
    for heap in arenas.chain(registry::heaps()) {
        if heap.has_batches() {
            batches.drain_surely(heap);
        }
    }
    batches.empty();
    purge::purge_all() + span_purge::purge_all() + registry::purge()
}

/// In the child of a fork: the helper does not exist here.
pub(crate) fn after_fork() {
    STATE.store(NONE, ordering::helper_state());
}
