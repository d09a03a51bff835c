//! Functions that may not be there: of the C++ runtime, which most programs
//! do not have, and of the dynamic linker, which static ones do not have.

/// Where the function of this name is; null if the process has none.
macro_rules! weak_address {
    ($name:literal) => {
        $crate::symbols::global_address!($name, concat!(".weak ", $name))
    };
}

/// Where the process's function of this name is, which this library has too;
/// the rest is a line of assembly to go before.
#[cfg(target_arch = "x86_64")]
macro_rules! global_address {
    ($name:literal $(, $line:expr)?) => {{
        let place: *const core::ffi::c_void;
        // SAFETY: reads one entry of the global offset table, which is
        // constant once the library is loaded.
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

/// Where the process's function of this name is, which this library has too;
/// the rest is a line of assembly to go before.
#[cfg(target_arch = "aarch64")]
macro_rules! global_address {
    ($name:literal $(, $line:expr)?) => {{
        let place: *const core::ffi::c_void;
        // SAFETY: reads one entry of the global offset table, which is
        // constant once the library is loaded.
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

/// Where the linker put a mark that only this library sees.
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

/// Where the linker put a mark that only this library sees.
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

/// Where a function is, as the program sees it; null if it is nowhere.
pub(crate) fn find_global(name: &CStr) -> *const c_void {
    dlsym_in(dlopen_loaded(ptr::null()), name)
}

/// Where a function of a library is that is loaded, wherever it was loaded.
pub(crate) fn find_in_library(library: &CStr, name: &CStr) -> *const c_void {
    dlsym_in(dlopen_loaded(library.as_ptr()), name)
}

/// What is loaded under a name; null names the program with all that it was
/// started with.
fn dlopen_loaded(name: *const c_char) -> *mut c_void {
    let dlopen = weak_address!("dlopen");
    if dlopen.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: this is what `dlopen` takes; nothing is loaded.
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
    // SAFETY: this is what `dlsym` takes.
    unsafe { mem::transmute::<*const c_void, Dlsym>(dlsym)(handle, name.as_ptr()) }
}

/// Whether code is this library's: the linker says where that begins and ends.
pub(crate) fn is_own_code(code: *const c_void) -> bool {
    (hidden_address!("__ehdr_start")..hidden_address!("_etext")).contains(&code)
}
