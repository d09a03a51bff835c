//! Addresses of symbols that may be undefined: of the C++ runtime, which most
//! programs do not have, and of the dynamic linker, which static programs do
//! not have.

/// The address of a symbol, or null if the process does not define it.
macro_rules! weak_address {
    ($name:literal) => {
        $crate::symbol_lookup::global_address!($name, concat!(".weak ", $name))
    };
}

/// The address of the process's definition of a symbol that this library
/// defines too. The optional argument is a line of assembly to put first.
#[cfg(target_arch = "x86_64")]
macro_rules! global_address {
    ($name:literal $(, $line:expr)?) => {{
        let place: *const core::ffi::c_void;
        // SAFETY: reads one entry of the global offset table, which is constant
        // once the library is loaded.
        unsafe {
            core::arch::asm!(
                $($line,)?
                concat!("mov {}, qword ptr [rip + ", $name, "@GOTPCREL]"),
                out(reg) place,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        place
    }};
}

/// The address of the process's definition of a symbol that this library
/// defines too. The optional argument is a line of assembly to put first.
#[cfg(target_arch = "aarch64")]
macro_rules! global_address {
    ($name:literal $(, $line:expr)?) => {{
        let place: *const core::ffi::c_void;
        // SAFETY: reads one entry of the global offset table, which is constant
        // once the library is loaded.
        unsafe {
            core::arch::asm!(
                $($line,)?
                concat!("adrp {0}, :got:", $name),
                concat!("ldr {0}, [{0}, :got_lo12:", $name, "]"),
                out(reg) place,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        place
    }};
}

/// The address of a hidden symbol that the linker defines for this library.
#[cfg(target_arch = "x86_64")]
macro_rules! hidden_address {
    ($name:literal) => {{
        let place: *const core::ffi::c_void;
        // SAFETY: computes an address.
        unsafe {
            core::arch::asm!(
                concat!(".hidden ", $name),
                concat!("lea {}, [rip + ", $name, "]"),
                out(reg) place,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        place
    }};
}

/// The address of a hidden symbol that the linker defines for this library.
#[cfg(target_arch = "aarch64")]
macro_rules! hidden_address {
    ($name:literal) => {{
        let place: *const core::ffi::c_void;
        // SAFETY: computes an address.
        unsafe {
            core::arch::asm!(
                concat!(".hidden ", $name),
                concat!("adrp {0}, ", $name),
                concat!("add {0}, {0}, :lo12:", $name),
                out(reg) place,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        place
    }};
}

pub(crate) use {global_address, weak_address};

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem;
use core::ptr;

type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_void;
type Dlopen = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;

/// The address of a function as the program resolves it, or null.
pub(crate) fn find_global(name: &CStr) -> *const c_void {
    dlsym_in(dlopen_loaded(ptr::null()), name)
}

/// The address of a function in a library, if that library is loaded, or null.
pub(crate) fn find_in_library(library: &CStr, name: &CStr) -> *const c_void {
    dlsym_in(dlopen_loaded(library.as_ptr()), name)
}

/// The handle of a loaded library; null names the program and the libraries
/// that it was started with.
fn dlopen_loaded(name: *const c_char) -> *mut c_void {
    let dlopen = weak_address!("dlopen");
    if dlopen.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: `dlopen` has this signature; `RTLD_NOLOAD` loads nothing.
    unsafe {
        let dlopen = mem::transmute::<*const c_void, Dlopen>(dlopen);
        dlopen(name, libc::RTLD_LAZY | libc::RTLD_NOLOAD)
    }
}

fn dlsym_in(handle: *mut c_void, name: &CStr) -> *const c_void {
    let dlsym = weak_address!("dlsym");
    if dlsym.is_null() || handle.is_null() {
        return ptr::null();
    }
    // SAFETY: `dlsym` has this signature.
    unsafe { mem::transmute::<*const c_void, Dlsym>(dlsym)(handle, name.as_ptr()) }
}

/// Whether a code address is in this library. The linker defines the bounds.
pub(crate) fn is_own_code(code: *const c_void) -> bool {
    (hidden_address!("__ehdr_start")..hidden_address!("_etext")).contains(&code)
}
