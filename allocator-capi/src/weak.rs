//! Functions that may not be there: of the C++ runtime, which most programs
//! do not have, and of the dynamic linker, which static ones do not have.

/// Where the function of this name is; null if the process has none.
#[cfg(target_arch = "x86_64")]
macro_rules! address {
    ($name:literal) => {{
        let place: *const core::ffi::c_void;
        // SAFETY: reads one entry of the global offset table, which is
        // constant once the library is loaded.
        unsafe {
            core::arch::asm!(
                concat!(".weak ", $name),
                concat!("mov {}, qword ptr [rip + ", $name, "@GOTPCREL]"),
                out(reg) place,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        place
    }};
}

/// Where the function of this name is; null if the process has none.
#[cfg(target_arch = "aarch64")]
macro_rules! address {
    ($name:literal) => {{
        let place: *const core::ffi::c_void;
        // SAFETY: reads one entry of the global offset table, which is
        // constant once the library is loaded.
        unsafe {
            core::arch::asm!(
                concat!(".weak ", $name),
                concat!("adrp {0}, :got:", $name),
                concat!("ldr {0}, [{0}, :got_lo12:", $name, "]"),
                out(reg) place,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        place
    }};
}

pub(crate) use address;

use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem;
use core::ptr;

type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_void;
type Dlopen = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;

/// Where a function is, as the whole process sees it.
pub(crate) fn look_up(name: &CStr) -> *const c_void {
    look_up_in(ptr::null_mut(), name)
}

/// Where a function of a library is that is loaded, wherever it was loaded.
pub(crate) fn look_up_loaded(library: &CStr, name: &CStr) -> *const c_void {
    let dlopen = address!("dlopen");
    if dlopen.is_null() {
        return ptr::null();
    }
    // SAFETY: this is what `dlopen` takes; nothing is loaded.
    let handle = unsafe {
        let dlopen = mem::transmute::<*const c_void, Dlopen>(dlopen);
        dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD)
    };
    if handle.is_null() {
        return ptr::null();
    }
    look_up_in(handle, name)
}

fn look_up_in(handle: *mut c_void, name: &CStr) -> *const c_void {
    let dlsym = address!("dlsym");
    if dlsym.is_null() {
        return ptr::null();
    }
    // SAFETY: this is what `dlsym` takes; null means the default order.
    unsafe { mem::transmute::<*const c_void, Dlsym>(dlsym)(handle, name.as_ptr()) }
}
