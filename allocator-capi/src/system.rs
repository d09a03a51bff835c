//! The option `system`: every request goes to the allocator that the process
//! would have without this library. Tools that look at the blocks of a program
//! know that one.
//!
//! The fast paths do not test the option. They serve from a thread's cache, and
//! in this mode no thread has one, so all requests arrive at the slow paths.
//! These also serve what is requested before there is an environment to read the
//! option from, without a cache. Each free finds the allocator of its block by
//! the page map.
//!
//! Requests are handed over by jumps, not calls: what a tool finds on the stack
//! is the caller.

use core::ffi::{CStr, c_int, c_void};
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use allocator_core::c_internals::{self, Kind, Mode};

use crate::replaced;
use crate::symbol_lookup;

/// Who serves requests. (Acquire and release: with [`SYSTEM`], the addresses in
/// [`NEXT`] are read.)
static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// There was no environment yet.
const UNKNOWN: u8 = 0;
/// A thread is reading the option.
const DECIDING: u8 = 1;
/// This library.
const OWN: u8 = 2;
/// The next allocator.
const SYSTEM: u8 = 3;
/// This library, in hardened mode.
const HARDENED: u8 = 4;

/// Who serves a request.
#[derive(Clone, Copy)]
pub(crate) enum Server {
    /// This library: as usual, or in a mode in which no thread has a cache. [`Mode::Early`]: the
    /// options are not known yet.
    Own(Option<Mode>),
    /// The next allocator.
    System,
}

/// Who serves the requests now.
#[inline]
pub(crate) fn server() -> Server {
    match STATE.load(Ordering::Acquire) {
        OWN => Server::Own(None),
        HARDENED => Server::Own(Some(Mode::Hardened)),
        SYSTEM => Server::System,
        _ => decide(),
    }
}

/// Whether the next allocator serves, as far as it is known.
#[inline]
pub(crate) fn is_on() -> bool {
    STATE.load(Ordering::Acquire) == SYSTEM
}

/// Reads the option, if there is an environment by now. A request that arrives
/// meanwhile, from another thread or from the functions called here, is served
/// without a cache.
#[cold]
#[inline(never)]
fn decide() -> Server {
    let (start, order) = (DECIDING, Ordering::Acquire);
    if let Err(state) = STATE.compare_exchange(UNKNOWN, start, order, order) {
        return if state == DECIDING { Server::Own(Some(Mode::Early)) } else { server() };
    }
    replaced::detect();
    let (state, server) = match c_internals::system_is_chosen() {
        None => (UNKNOWN, Server::Own(Some(Mode::Early))),
        Some(true) if find_functions() => (SYSTEM, Server::System),
        Some(_) if c_internals::hardened_is_chosen() => {
            (HARDENED, Server::Own(Some(Mode::Hardened)))
        }
        Some(_) => (OWN, Server::Own(None)),
    };
    STATE.store(state, Ordering::Release);
    server
}

/// The functions of the next allocator that requests are handed to. The other
/// forms of `delete` are handed to these.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(crate) enum Function {
    Malloc,
    Calloc,
    Realloc,
    Memalign,
    PosixMemalign,
    Free,
    UsableSize,
    New,
    NewArray,
    NewAligned,
    NewArrayAligned,
    NewNothrow,
    NewArrayNothrow,
    NewAlignedNothrow,
    NewArrayAlignedNothrow,
    Delete,
    DeleteArray,
    DeleteAligned,
    DeleteArrayAligned,
}

/// The symbols, in the order of [`Function`]. Those of C come first; the
/// operators are in a C++ runtime, if the process has one.
const SYMBOLS: [&CStr; 19] = [
    c"malloc",
    c"calloc",
    c"realloc",
    c"memalign",
    c"posix_memalign",
    c"free",
    c"malloc_usable_size",
    c"_Znwm",
    c"_Znam",
    c"_ZnwmSt11align_val_t",
    c"_ZnamSt11align_val_t",
    c"_ZnwmRKSt9nothrow_t",
    c"_ZnamRKSt9nothrow_t",
    c"_ZnwmSt11align_val_tRKSt9nothrow_t",
    c"_ZnamSt11align_val_tRKSt9nothrow_t",
    c"_ZdlPv",
    c"_ZdaPv",
    c"_ZdlPvSt11align_val_t",
    c"_ZdaPvSt11align_val_t",
];

impl Function {
    /// The name of the symbol.
    pub(crate) fn symbol(self) -> &'static CStr {
        SYMBOLS[self as usize]
    }

    /// The family that it belongs to.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Function::NewArray
            | Function::NewArrayAligned
            | Function::NewArrayNothrow
            | Function::NewArrayAlignedNothrow
            | Function::DeleteArray
            | Function::DeleteArrayAligned => Kind::NewArray,
            _ if self as usize >= Function::New as usize => Kind::New,
            _ => Kind::Malloc,
        }
    }

    /// Whether it is a form of `new` that returns null.
    pub(crate) fn is_nothrow(self) -> bool {
        (Function::NewNothrow as usize..Function::Delete as usize).contains(&(self as usize))
    }

    /// Whether it is a form of `new` that takes an alignment.
    pub(crate) fn is_aligned(self) -> bool {
        matches!(
            self,
            Function::NewAligned
                | Function::NewArrayAligned
                | Function::NewAlignedNothrow
                | Function::NewArrayAlignedNothrow
        )
    }
}

/// The addresses of the functions: those of C with [`SYSTEM`], those of operators
/// from their first use on.
static NEXT: [AtomicPtr<c_void>; SYMBOLS.len()] =
    [const { AtomicPtr::new(ptr::null_mut()) }; SYMBOLS.len()];

/// Finds C's functions behind this library in the order of the dynamic linker.
/// False if there are none, as in a static program.
fn find_functions() -> bool {
    for (place, symbol) in NEXT.iter().zip(SYMBOLS).take(Function::New as usize) {
        let found = symbol_lookup::find_next(symbol);
        // A library in front may wrap `dlsym`: what is behind that is here.
        if found.is_null() || symbol_lookup::is_own_code(found) {
            allocator_sys::write_stderr(b"strata: system: the process has no other allocator\n");
            return false;
        }
        place.store(found.cast_mut(), Ordering::Relaxed);
    }
    true
}

/// The address of a function of C, if the next allocator serves. (Relaxed: the
/// state was read before.)
#[inline]
fn next(function: Function) -> *const c_void {
    NEXT[function as usize].load(Ordering::Relaxed)
}

/// The address of an operator, if the next allocator serves and a C++ runtime
/// has it. (Relaxed: whoever finds it finds the same.)
#[inline]
pub(crate) fn operator(function: Function) -> Option<*const c_void> {
    if !matches!(server(), Server::System) {
        return None;
    }
    let known = next(function);
    if !known.is_null() {
        return Some(known);
    }
    let found = symbol_lookup::find_next(function.symbol());
    NEXT[function as usize].store(found.cast_mut(), Ordering::Relaxed);
    (!found.is_null()).then_some(found)
}

/// What every allocator aligns to.
const ANY_ALIGN: usize = 16;

/// `malloc`, or `memalign` if `align` is larger than any block's, of the next
/// allocator.
#[inline]
pub(crate) fn alloc(size: usize, align: usize) -> *mut c_void {
    type Malloc = extern "C" fn(usize) -> *mut c_void;
    type Memalign = extern "C" fn(usize, usize) -> *mut c_void;
    // SAFETY: they are the functions of those names.
    unsafe {
        if align <= ANY_ALIGN {
            mem::transmute::<*const c_void, Malloc>(next(Function::Malloc))(size)
        } else {
            mem::transmute::<*const c_void, Memalign>(next(Function::Memalign))(align, size)
        }
    }
}

/// `calloc` of the next allocator.
#[inline]
pub(crate) fn calloc(count: usize, size: usize) -> *mut c_void {
    type Calloc = extern "C" fn(usize, usize) -> *mut c_void;
    // SAFETY: it is the function of that name.
    unsafe { mem::transmute::<*const c_void, Calloc>(next(Function::Calloc))(count, size) }
}

/// `posix_memalign` of the next allocator.
///
/// # Safety
/// See `posix_memalign`.
#[inline]
pub(crate) unsafe fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int {
    type PosixMemalign = unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int;
    let at = next(Function::PosixMemalign);
    // SAFETY: it is the function of that name; the caller guarantees the rest.
    unsafe { mem::transmute::<*const c_void, PosixMemalign>(at)(out, align, size) }
}

/// `realloc` of the next allocator. A block from before the option was known
/// moves there.
///
/// # Safety
/// See `realloc`.
#[inline]
pub(crate) unsafe fn realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
    if let Some(old) = c_internals::usable(ptr.cast()) {
        // SAFETY: the caller guarantees it.
        return unsafe { move_early(ptr, old, size) };
    }
    // SAFETY: it is the function of that name; the caller guarantees the rest.
    unsafe { mem::transmute::<*const c_void, Realloc>(next(Function::Realloc))(ptr, size) }
}

/// Moves a block of this library to the next allocator.
///
/// # Safety
/// The block has `old` bytes; see `realloc`.
#[cold]
unsafe fn move_early(ptr: *mut c_void, old: usize, size: usize) -> *mut c_void {
    let to = alloc(size, 1);
    if !to.is_null() {
        // SAFETY: both blocks have these bytes; the caller guarantees the rest.
        unsafe {
            ptr::copy_nonoverlapping(ptr.cast::<u8>(), to.cast(), old.min(size));
            c_internals::free(ptr.cast());
        }
    }
    to
}

/// `free` of the next allocator.
///
/// # Safety
/// See `free`.
#[inline]
pub(crate) unsafe fn free(ptr: *mut c_void) {
    type Free = unsafe extern "C" fn(*mut c_void);
    // SAFETY: it is the function of that name; the caller guarantees the rest.
    unsafe { mem::transmute::<*const c_void, Free>(next(Function::Free))(ptr) }
}

/// `malloc_usable_size` of the next allocator.
///
/// # Safety
/// See `malloc_usable_size`.
pub(crate) unsafe fn usable_size(ptr: *mut c_void) -> usize {
    type UsableSize = unsafe extern "C" fn(*mut c_void) -> usize;
    // SAFETY: it is the function of that name; the caller guarantees the rest.
    unsafe { mem::transmute::<*const c_void, UsableSize>(next(Function::UsableSize))(ptr) }
}
