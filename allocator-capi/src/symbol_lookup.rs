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
type Dladdr = unsafe extern "C" fn(*const c_void, *mut libc::Dl_info) -> c_int;
type Dlopen = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;
type Dlclose = unsafe extern "C" fn(*mut c_void) -> c_int;
type Dlerror = unsafe extern "C" fn() -> *const c_char;

/// The address of a function as the program resolves it, or null.
pub(crate) fn find_global(name: &CStr) -> *const c_void {
    find_in(ptr::null(), name)
}

/// The address of a symbol as the program or library with this code resolves
/// it, or null. A library that was loaded for itself alone (`RTLD_LOCAL`) sees
/// symbols that nobody else does.
pub(crate) fn find_for(code: *const c_void, name: &CStr) -> *const c_void {
    let file = file_of(code);
    let found = if file.is_null() { ptr::null() } else { find_in(file, name) };
    if found.is_null() { find_global(name) } else { found }
}

/// The name of the library with this code, or null.
fn file_of(code: *const c_void) -> *const c_char {
    let dladdr = weak_address!("dladdr");
    if dladdr.is_null() {
        return ptr::null();
    }
    // SAFETY: a description may be zero; `dladdr` has this signature, and fills
    // it in if it knows the address. The name stays while the library is loaded.
    unsafe {
        let mut info: libc::Dl_info = mem::zeroed();
        let known = mem::transmute::<*const c_void, Dladdr>(dladdr)(code, &raw mut info);
        if known == 0 { ptr::null() } else { info.dli_fname }
    }
}

/// The address of a function in the libraries behind this one, or null. The
/// return address tells `dlsym` which library this is.
#[inline(never)]
pub(crate) fn find_next(name: &CStr) -> *const c_void {
    look_up(libc::RTLD_NEXT, name)
}

/// The address of a symbol in a loaded library and those that it needs, or null.
/// A null for the library stands for the program and the libraries that it was
/// started with.
fn find_in(library: *const c_char, name: &CStr) -> *const c_void {
    let (dlopen, dlclose) = (weak_address!("dlopen"), weak_address!("dlclose"));
    if dlopen.is_null() || dlclose.is_null() {
        return ptr::null();
    }
    // SAFETY: they have these signatures; `RTLD_NOLOAD` loads nothing, and so
    // closing unloads nothing.
    unsafe {
        let dlopen = mem::transmute::<*const c_void, Dlopen>(dlopen);
        let handle = dlopen(library, libc::RTLD_LAZY | libc::RTLD_NOLOAD);
        if handle.is_null() {
            forget_error();
            return handle;
        }
        let found = look_up(handle, name);
        mem::transmute::<*const c_void, Dlclose>(dlclose)(handle);
        found
    }
}

fn look_up(handle: *mut c_void, name: &CStr) -> *const c_void {
    let dlsym = weak_address!("dlsym");
    if dlsym.is_null() {
        return ptr::null();
    }
    // SAFETY: `dlsym` has this signature.
    let found = unsafe { mem::transmute::<*const c_void, Dlsym>(dlsym)(handle, name.as_ptr()) };
    if found.is_null() {
        forget_error();
    }
    found
}

/// Clears the error of a lookup that failed, which the program would get.
fn forget_error() {
    let dlerror = weak_address!("dlerror");
    if !dlerror.is_null() {
        // SAFETY: `dlerror` has this signature.
        unsafe { mem::transmute::<*const c_void, Dlerror>(dlerror)() };
    }
}

/// Whether a code address is in this library. The linker defines the bounds.
pub(crate) fn is_own_code(code: *const c_void) -> bool {
    (hidden_address!("__ehdr_start")..hidden_address!("_etext")).contains(&code)
}
