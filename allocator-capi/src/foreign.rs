//! Pointers from another allocator. If the process has one, because this
//! library was loaded later, they are passed on to it. Otherwise no allocator
//! returned them, and the process ends with a one-line message.

use core::ffi::{CStr, c_void};
use core::mem;

use allocator_core::c_internals;

use crate::symbol_lookup;
use crate::system;

/// A function of the process's own allocator; `None` if that is this library.
fn find_other_allocator(name: &CStr) -> Option<*const c_void> {
    // The allocator that serves the C library serves the process. (Comparing
    // function addresses would not work: they may be the program's own stubs.)
    // SAFETY: copies an empty string.
    let probe: *mut c_void = unsafe { libc::strdup(c"".as_ptr()) }.cast();
    // SAFETY: not known to anyone else. A pointer that is not ours is left
    // alone.
    if probe.is_null() || unsafe { c_internals::free(probe.cast()) } {
        return None;
    }
    let free = symbol_lookup::find_global(c"free");
    if free.is_null() {
        return None;
    }
    // SAFETY: this is the `free` of the allocator that returned the block.
    unsafe { mem::transmute::<*const c_void, unsafe extern "C" fn(*mut c_void)>(free)(probe) };
    Some(symbol_lookup::find_global(name)).filter(|function| !function.is_null())
}

fn abort_on_foreign(ptr: *mut c_void) -> ! {
    c_internals::refuse(ptr.cast())
}

/// See `free`.
///
/// # Safety
/// See `free`.
#[cold]
pub(crate) unsafe fn free(ptr: *mut c_void) {
    if system::is_on() {
        // SAFETY: it is on; the caller guarantees the rest.
        return unsafe { system::free(ptr) };
    }
    let Some(function) = find_other_allocator(c"free") else { abort_on_foreign(ptr) };
    // SAFETY: it is the function of that name; the caller guarantees the rest.
    unsafe { mem::transmute::<*const c_void, unsafe extern "C" fn(*mut c_void)>(function)(ptr) }
}

/// See `realloc`.
///
/// # Safety
/// See `realloc`.
#[cold]
pub(crate) unsafe fn realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
    let Some(function) = find_other_allocator(c"realloc") else { abort_on_foreign(ptr) };
    // SAFETY: it is the function of that name; the caller guarantees the rest.
    unsafe { mem::transmute::<*const c_void, Realloc>(function)(ptr, size) }
}

/// See `malloc_usable_size`.
///
/// # Safety
/// See `malloc_usable_size`.
#[cold]
pub(crate) unsafe fn usable_size(ptr: *mut c_void) -> usize {
    if system::is_on() {
        // SAFETY: it is on; the caller guarantees the rest.
        return unsafe { system::usable_size(ptr) };
    }
    type Usable = unsafe extern "C" fn(*mut c_void) -> usize;
    let Some(function) = find_other_allocator(c"malloc_usable_size") else { abort_on_foreign(ptr) };
    // SAFETY: it is the function of that name; the caller guarantees the rest.
    unsafe { mem::transmute::<*const c_void, Usable>(function)(ptr) }
}
