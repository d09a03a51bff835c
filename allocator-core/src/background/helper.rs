//! Giving back free memory. Where the process has several threads, the helper does it: a
//! task of our own, which purges while the program does something else, or nothing. It is
//! started when there is too much free memory, wakes a few times a second, and ends after
//! some rounds without work, or when the program has one thread left. A program that
//! frees little never starts it.
//!
//! Memory that was used again since the helper last woke is left alone: a program that
//! frees and allocates in turn keeps its memory.
//!
//! A process with one thread keeps one: there, the free that has too much free memory
//! gives it back, down to a bound of its own.

use crate::background::helper_state::{HelperState, Start};
use crate::background::huge_page_collapse;
use crate::background::own_time;
use crate::background::sleepers;
use crate::background::span_purge;
use crate::base::ordering;
use crate::base::sync::AtomicU32;
use crate::pages::address_space;
use crate::pages::cgroup;
use crate::pages::held_back;
use crate::pages::helped;
use crate::pages::usage;
use crate::reclaim::purge;
use crate::sys;
use crate::thread::inside;
use crate::thread::registry;
use crate::thread::slow_path::{self, SlowPath};
use crate::thread::stock;
use crate::thread::tls;

static STATE: HelperState = HelperState::new();

/// Milliseconds between two rounds: free memory is purged within two.
const TICK: u32 = 400;

/// Milliseconds between two rounds while memory is short.
const HURRY: u32 = 100;

/// While memory is short, threads are asked to flush what they keep every so many rounds:
/// once a second.
const ASK: u32 = 10;

/// Rounds without work before the helper ends. Then it purges what nobody used in all
/// that time, even within the bound.
const PATIENCE: u32 = 5;

/// A thread that ends has its exit hooks before its task is gone: then the helper looks
/// so many times, one millisecond apart, whether it is alone with one task.
const LAST_LOOKS: u32 = 20;

/// Chunks that the helper examines for huge pages in one round: some tens of
/// milliseconds, if all are dense.
const CHUNKS: usize = 128;

/// Called at the end of slow paths that freed, where no lock is held: if there is too much
/// free memory, has it purged.
#[inline]
pub(crate) fn check_excess() {
    if usage::in_excess() && !STATE.is_running() {
        give_back(true);
    }
}

/// Called at the end of slow paths that allocated, where no lock is held: if the heap has
/// grown, has it looked at. What is free may be needed next: no more is purged on this
/// thread's time than was taken while free memory did not fit.
#[inline]
pub(crate) fn check_growth() {
    if !usage::in_excess() {
        return;
    }
    if usage::is_owed() {
        own_time::purge_owed();
    }
    if !STATE.is_running() {
        give_back(false);
    }
}

/// Starts the helper, or gives free memory back here, if the caller `freed` some.
#[cold]
#[inline(never)]
fn give_back(freed: bool) {
    if own_time::waits(freed) {
        return;
    }
    let _inside = inside::enter();
    if !(helped::may_be_helped() && start()) {
        helped::set_helped(false);
        let slow = SlowPath::enter();
        own_time::give_back(freed);
        slow.leave();
    }
}

/// Starts the helper, or keeps one that is leaving. Returns false if that is not
/// possible.
fn start() -> bool {
    let start = STATE.start(|| {
        helped::set_helped(true);
        sys::start_task(run, tls::word_without_cache())
    });
    match start {
        Start::Stays => helped::ring(),
        Start::Runs | Start::Began => {}
        // One that is about to be gone is in the way for a moment only.
        Start::Failed => return sys::task_runs(),
    }
    true
}

extern "C" fn run(own_files: bool) {
    let _inside = inside::enter();
    let credentials = if own_files { sys::credentials() } else { 0 };
    let (mut calm, mut unused, mut pressed) = (0, 0, 0);
    let mut last = sys::monotonic_ms();
    purge::take_low_water();
    if own_files {
        address_space::read_mapping_limit();
    }
    loop {
        // At first, and when the bell rings, before the round is due.
        let seen = helped::bell();
        if is_alone() || (own_files && sys::credentials() != credentials) {
            leave();
            return;
        }
        if own_files && cgroup::update() {
            purge_while_short(pressed);
            (pressed, calm) = (pressed + 1, 0);
            wait_for_bell(seen, HURRY);
            continue;
        }
        pressed = 0;
        // It is 0 where the system does not tell the time now, though it did before.
        let passed = sys::monotonic_ms().saturating_sub(last);
        if passed < TICK.into() {
            wait_for_bell(seen, TICK - passed as u32);
            continue;
        }
        last += passed;
        registry::end_vanished(own_time::VANISHED);
        registry::end_spares(false);
        // Nobody used that in the last round either.
        let drained = sleepers::drain();
        slow_path::settle();
        let low = (purge::take_low_water() + drained).min(usage::dirty());
        let unwanted = usage::above_bound(low);
        if unwanted != 0 {
            purge::purge(unwanted);
        }
        give_holes_back();
        if usage::take_grew() {
            huge_page_collapse::begin();
        }
        if huge_page_collapse::step(CHUNKS) | usage::recheck_excess() {
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
                span_purge::search(usize::MAX, true);
                registry::purge();
            }
            _ => {}
        }
        if calm >= PATIENCE && try_end() {
            return;
        }
        last = sys::monotonic_ms();
    }
}

/// Waits until the bell has rung since `seen`, or that many milliseconds.
fn wait_for_bell(seen: u32, milliseconds: u32) {
    inside::outside(|| helped::wait_for_bell(seen, milliseconds));
}

/// Whether the program has one task left.
fn is_alone() -> bool {
    let left = |_| {
        let alone = sys::task_count().is_some_and(|tasks| tasks <= 2);
        if !alone && STOP.load(ordering::helper_stop()) == 0 {
            wait_for_bell(helped::bell(), 1);
        }
        alone
    };
    STOP.load(ordering::helper_stop()) != 0
        || (!helped::has_several_caches() && (0..LAST_LOOKS).any(left))
}

/// Ends the helper: it gives back what is above the bound, and what it would have given back in the
/// end as far as time has passed since the last one left. The next thread that has too much free
/// memory finds out whether another one is to be started.
fn leave() {
    if STOP.load(ordering::helper_stop()) == 0 {
        registry::end_spares(true);
        sleepers::drain_arenas();
        // The thread that is left may free nothing for a long time.
        purge::purge(usage::excess().max(own_time::affordable(usage::dirty())));
        registry::purge();
        // What the caches of ended threads had may be misused.
        slow_path::settle();
    }
    helped::set_helped(false);
    usage::look_from(address_space::mapped());
    STATE.end();
    usage::set_excess();
}

/// Set while the helper must not run.
static STOP: AtomicU32 = AtomicU32::new(0);

/// Ends the helper, and waits until its task is gone. No other is started afterwards.
pub(crate) fn stop() {
    helped::allow(false);
    STOP.store(1, ordering::helper_stop());
    helped::ring();
    sys::wait_for_task();
}

/// Memory is short: purges what nobody used since the last look, but for a small part; if
/// memory is scarce, all that is free. Now and then drains what threads that sleep have, and
/// asks all threads to flush what they keep, if that is too much.
fn purge_while_short(looks: u32) {
    let scarce = cgroup::is_scarce();
    registry::end_spares(scarce);
    let mut drained = 0;
    if looks.is_multiple_of(ASK) {
        if scarce || usage::is_lent_too_much() {
            registry::threads().for_each(|(_, cache)| cache.request_flush());
        }
        drained = sleepers::drain();
    }
    let low = (purge::take_low_water() + drained).min(usage::dirty());
    let unwanted = if scarce { usize::MAX } else { usage::above_bound(low) };
    if unwanted != 0 {
        purge::purge(unwanted);
    }
    if scarce {
        span_purge::search(usize::MAX, true);
    } else {
        give_holes_back();
    }
    slow_path::settle();
}

/// Purges free pages within spans, if there is too much free memory; if there is far too much,
/// also of spans from which blocks are taken.
fn give_holes_back() {
    let unwanted = usage::unwanted_loose();
    if unwanted != 0 && !span_purge::search(unwanted, true).more {
        usage::searched();
    }
    let unwanted = usage::unwanted_loose_in_use();
    if unwanted != 0 {
        span_purge::search(unwanted, false);
    }
}

/// Ends the helper, unless there is work after all: threads that freed memory while it
/// still ran started no other. Returns whether it ended.
fn try_end() -> bool {
    STATE.begin_leaving();
    usage::look_from(address_space::mapped());
    // After one more tick all threads have seen that.
    wait_for_bell(helped::bell(), TICK);
    if usage::recheck_excess() && STOP.load(ordering::helper_stop()) == 0 {
        STATE.stay();
        return false;
    }
    STATE.try_end()
}

/// Flushes what the calling thread keeps: it is going to sleep.
pub(crate) fn thread_idle() {
    let _inside = inside::enter();
    let slow = SlowPath::enter();
    if let Some(cache) = slow.cache() {
        // SAFETY: [OWNER-ONLY] it is the calling thread's.
        unsafe { cache.flush_if_any() };
    }
    if slow.leave() {
        check_excess();
    }
}

/// Purges all free memory now, after draining all heaps: a block in a batch holds its
/// span, as does one that a thread keeps. Returns how many bytes.
pub(crate) fn purge_all() -> usize {
    let _inside = inside::enter();
    if !slow_path::is_inside() {
        registry::end_vanished(usize::MAX);
    }
    // All along: the thread's own heap is locked in between, too.
    let slow = SlowPath::enter();
    if let Some(cache) = slow.cache() {
        // SAFETY: [OWNER-ONLY] it is the calling thread's.
        unsafe { cache.flush_all() };
    }
    // Where a lock refuses, blocks of these would be lost.
    if !slow.is_nested() {
        registry::end_spares(true);
    }
    stock::flush_all();
    held_back::free_all();
    sleepers::drain_all();
    let bytes = purge::purge_all() + span_purge::purge_all() + registry::purge();
    slow.leave();
    bytes
}

/// In the child of a fork: the helper does not exist here.
pub(crate) fn after_fork() {
    sys::forget_task();
    STATE.end();
}
