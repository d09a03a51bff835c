//! What happens when the library that holds this copy of the allocator is unloaded
//! (`dlclose`). Its code and its statics vanish, and the process goes on. So nothing
//! may call that code afterwards: no helper, no hook. What the allocator has mapped for
//! itself is unmapped, and so is all memory without a live block. Live blocks stay.
//!
//! When the process exits, other threads go on until the end, and nothing of theirs may
//! vanish. The C library runs the same finalizers in both cases. What tells the cases
//! apart is when the function runs that is registered for the exit:
//!
//! ```text
//!  unload   begin ─► destructors, at_exit ─► end: quiesce, release
//!  exit     at_exit ─► begin ─► destructors ─► end: quiesce
//! ```
//! The exit quiesces, too: a program may unload libraries while it exits. All of this
//! holds for libraries that can be unloaded; programs and others register nothing.

use core::ffi::c_void;

use crate::background::helper;
use crate::base::geometry::GUARD;
use crate::base::nested;
use crate::base::ordering;
use crate::base::sync::AtomicU32;
use crate::guarded::{block, faults};
use crate::pages::arena;
use crate::pages::empty_blocks;
use crate::pages::metadata::{self, Segment};
use crate::pages::tables;
use crate::process::handlers;
use crate::sys;
use crate::thread::inside;
use crate::thread::registry;
use crate::thread::slow_path::SlowPath;

/// Nothing ends: this is a program, or a library that is never unloaded, or there is
/// no allocator yet.
const NEVER: u32 = 0;
/// The end will be noticed.
const WATCHING: u32 = 1;
/// The process exits.
const EXITING: u32 = 2;
/// The library is being unloaded.
const UNLOADING: u32 = 3;

static STATE: AtomicU32 = AtomicU32::new(NEVER);

/// Begins to watch for the end, once the allocator is set up. This may allocate.
pub(super) fn watch() {
    if sys::can_be_unloaded() {
        let watching = sys::on_exit(at_exit);
        // If the end of the process cannot be told, then nothing is released.
        let state = if watching { WATCHING } else { EXITING };
        STATE.store(state, ordering::unload_state());
    }
}

/// Entries in the linker's table of finalizers, which run in reverse order: this one
/// before the compiler's own, which calls destructors and [`at_exit`].
#[used]
#[unsafe(link_section = ".fini_array")]
static BEGIN: extern "C" fn() = begin;

/// This one after all others.
#[used]
#[unsafe(link_section = ".fini_array.00000")]
static END: extern "C" fn() = end;

unsafe extern "C" fn at_exit(_: *mut c_void) {
    pass(WATCHING, EXITING);
}

extern "C" fn begin() {
    pass(WATCHING, UNLOADING);
}

fn pass(from: u32, to: u32) {
    if STATE.load(ordering::unload_state()) == from {
        STATE.store(to, ordering::unload_state());
    }
}

extern "C" fn end() {
    look_at_last();
    let state = STATE.load(ordering::unload_state());
    if state >= EXITING {
        handlers::remove();
        faults::remove();
        quiesce();
    }
    if state == UNLOADING {
        // SAFETY: the program unloads the library: none of its threads is in it, and
        // none will be. The helper and the hooks are gone.
        unsafe { release() };
    }
}

/// The thread that ends the process puts the blocks that it caches back into their spans. A
/// block that was freed twice, or a pointer into one, is found here at the latest.
///
/// Nothing depends on it: so no lock is waited for that a thread has which never runs again.
fn look_at_last() {
    let _inside = inside::enter();
    let slow = SlowPath::enter();
    if let Some(cache) = slow.cache()
        && cache.heap.try_lock().map(|heap| arena::release_spans(heap.unlock())).is_some()
    {
        nested::begin();
        // SAFETY: [OWNER-ONLY] it is the calling thread's.
        unsafe { cache.flush_if_any() };
        nested::end();
    }
    slow.leave();
}

/// From here on, nobody calls the allocator unless the program does.
pub(crate) fn quiesce() {
    helper::stop();
    sys::forget_thread_exit();
    registry::wait_for_hooks();
    // The end of a thread may have started another helper, which leaves at once.
    sys::wait_for_task();
}

/// Returns to the system all memory but that of live blocks.
///
/// # Safety
/// Nobody uses the allocator any more.
pub(crate) unsafe fn release() {
    // SAFETY: [OWNER-ONLY] by the caller, no thread uses its cache.
    unsafe { registry::end_all() };
    helper::purge_all();
    // SAFETY: by the caller.
    unsafe {
        empty_blocks::release();
        block::release();
    }
    for Segment { at, room, .. } in metadata::segments() {
        // SAFETY: by the caller; a guard is on both sides of each.
        unsafe { sys::release(at.wrapping_sub(GUARD), room + 2 * GUARD) };
    }
    // SAFETY: by the caller.
    unsafe { tables::close() };
}
