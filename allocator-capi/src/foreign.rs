//! Pointers that are not ours. Where the process has another allocator, and
//! this library was loaded later, they are that one's, and go there.
//! Elsewhere nobody made them: the process ends with one line.

use core::ffi::{CStr, c_void};
use core::mem;

use allocator_core::internals;

use crate::symbols;

/// A function of the process's own allocator; `None` if that is this one.
fn find_other_allocator(name: &CStr) -> Option<*const c_void> {
    // Who serves the C library serves the process. (To compare addresses of
    // functions would not do: a program may have one of its own for them.)
    // SAFETY: copies an empty string.
    let asked: *mut c_void = unsafe { libc::strdup(c"".as_ptr()) }.cast();
    // SAFETY: not known to anyone else; nothing is done to a pointer that is
    // not ours.
    if asked.is_null() || unsafe { internals::free(asked.cast()) } {
        return None;
    }
    let free = symbols::find_global(c"free");
    if free.is_null() {
        return None;
    }
    // SAFETY: it is the `free` of the allocator that made the block.
    unsafe { mem::transmute::<*const c_void, unsafe extern "C" fn(*mut c_void)>(free)(asked) };
    Some(symbols::find_global(name)).filter(|function| !function.is_null())
}

fn abort_on_foreign(ptr: *mut c_void) -> ! {
    internals::refuse(ptr.cast())
}

/// See `free`.
///
/// # Safety
/// As there.
#[cold]
pub(crate) unsafe fn free(ptr: *mut c_void) {
    let Some(function) = find_other_allocator(c"free") else { abort_on_foreign(ptr) };
    // SAFETY: it is that function; by the caller.
    unsafe { mem::transmute::<*const c_void, unsafe extern "C" fn(*mut c_void)>(function)(ptr) }
}

/// See `realloc`.
///
/// # Safety
/// As there.
#[cold]
pub(crate) unsafe fn realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
    let Some(function) = find_other_allocator(c"realloc") else { abort_on_foreign(ptr) };
    // SAFETY: it is that function; by the caller.
    unsafe { mem::transmute::<*const c_void, Realloc>(function)(ptr, size) }
}

/// See `malloc_usable_size`.
///
/// # Safety
/// As there.
#[cold]
pub(crate) unsafe fn usable(ptr: *mut c_void) -> usize {
    type Usable = unsafe extern "C" fn(*mut c_void) -> usize;
    let Some(function) = find_other_allocator(c"malloc_usable_size") else { abort_on_foreign(ptr) };
    // SAFETY: it is that function; by the caller.
    unsafe { mem::transmute::<*const c_void, Usable>(function)(ptr) }
}
