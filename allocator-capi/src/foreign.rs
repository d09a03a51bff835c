//! Pointers from another allocator. If the process has one, because this
//! library was loaded later, they are passed on to it. Otherwise no allocator
//! returned them, and the process ends with a one-line message.

use core::ffi::{CStr, c_void};
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use allocator_core::c_internals::{self, Kind};

use crate::own;
use crate::symbol_lookup;
use crate::system;

/// A function of the process's own allocator. It is looked for once: others may
/// wrap the functions of the dynamic linker, which take locks besides. (Relaxed:
/// whoever looks for it finds the same.)
struct Function {
    name: &'static CStr,
    at: AtomicPtr<c_void>,
}

impl Function {
    const fn new(name: &'static CStr) -> Self {
        Function { name, at: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The address. Ends the process if no allocator returned the pointer.
    fn find(&self, ptr: *mut c_void) -> *const c_void {
        let known = self.at.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        let Some(found) = find_other_allocator(self.name) else { c_internals::refuse(ptr.cast()) };
        self.at.store(found.cast_mut(), Ordering::Relaxed);
        found
    }
}

static FREE: Function = Function::new(c"free");
static REALLOC: Function = Function::new(c"realloc");
static USABLE_SIZE: Function = Function::new(c"malloc_usable_size");

/// A function of the process's own allocator; `None` if that is this library.
fn find_other_allocator(name: &CStr) -> Option<*const c_void> {
    type Malloc = extern "C" fn(usize) -> *mut c_void;
    type Free = unsafe extern "C" fn(*mut c_void);
    let find = |name| Some(symbol_lookup::find_global(name)).filter(|at| !at.is_null());
    let (malloc, free) = (find(c"malloc")?, find(c"free")?);
    // Addresses do not tell whose a function is: they may be the program's own
    // stubs. A block does.
    // SAFETY: they are the functions of those names. A pointer that is not ours
    // is left alone by `c_internals`, and freed where it is from.
    unsafe {
        let probe = mem::transmute::<*const c_void, Malloc>(malloc)(1);
        if probe.is_null() || own::free(probe.cast(), Kind::Malloc) {
            return None;
        }
        mem::transmute::<*const c_void, Free>(free)(probe);
    }
    find(name)
}

/// See `free`.
///
/// # Safety
/// See `free`.
#[cold]
pub(crate) unsafe fn free(ptr: *mut c_void) {
    type Free = unsafe extern "C" fn(*mut c_void);
    if system::is_on() {
        // SAFETY: it is on; the caller guarantees the rest.
        return unsafe { system::free(ptr) };
    }
    // SAFETY: it is the function of that name; the caller guarantees the rest.
    unsafe { mem::transmute::<*const c_void, Free>(FREE.find(ptr))(ptr) }
}

/// See `realloc`.
///
/// # Safety
/// See `realloc`.
#[cold]
pub(crate) unsafe fn realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
    // SAFETY: it is the function of that name; the caller guarantees the rest.
    unsafe { mem::transmute::<*const c_void, Realloc>(REALLOC.find(ptr))(ptr, size) }
}

/// See `malloc_usable_size`.
///
/// # Safety
/// See `malloc_usable_size`.
#[cold]
pub(crate) unsafe fn usable_size(ptr: *mut c_void) -> usize {
    type Usable = unsafe extern "C" fn(*mut c_void) -> usize;
    if system::is_on() {
        // SAFETY: it is on; the caller guarantees the rest.
        return unsafe { system::usable_size(ptr) };
    }
    // SAFETY: it is the function of that name; the caller guarantees the rest.
    unsafe { mem::transmute::<*const c_void, Usable>(USABLE_SIZE.find(ptr))(ptr) }
}
