//! The end of the object that holds this code: the program, or a library, which may be
//! unloaded while the process goes on.

use super::arch;
use super::errno::ErrnoGuard;
use core::ffi::{c_int, c_void};
use core::{iter, ptr};

unsafe extern "C" {
    fn __cxa_atexit(
        function: unsafe extern "C" fn(*mut c_void),
        argument: *mut c_void,
        object: *const u8,
    ) -> c_int;

    /// Its address identifies the object.
    static __dso_handle: u8;
}

/// Tags in the table by which the dynamic loader knows the object: the last one; one
/// that linkers give to programs only; flags.
const DT_NULL: usize = 0;
const DT_DEBUG: usize = 21;
const DT_FLAGS_1: usize = 0x6fff_fffb;

/// Flags: the object is never unloaded; it is a program.
const DF_1_NODELETE: usize = 0x8;
const DF_1_PIE: usize = 0x0800_0000;

/// Whether the object that holds this code may be unloaded before the process ends. A
/// program never is, nor is a library that was linked with `-z nodelete`.
pub fn can_be_unloaded() -> bool {
    let mut at = arch::dynamic_section();
    if at.is_null() {
        return false;
    }
    let mut entries = iter::from_fn(|| {
        // SAFETY: the linker ends the table with a null entry, behind which nothing is
        // read.
        let [tag, value] = unsafe { at.read() };
        at = at.wrapping_add(1);
        (tag != DT_NULL).then_some((tag, value))
    });
    !entries.any(|(tag, value)| match tag {
        DT_DEBUG => true,
        DT_FLAGS_1 => value & (DF_1_NODELETE | DF_1_PIE) != 0,
        _ => false,
    })
}

/// Registers `function(null)` to run when the process exits, before the finalizers of
/// any object. When the object that holds this code is unloaded, it runs among the
/// finalizers of that object, after those in `.fini_array`. `false`: it will not run.
///
/// The C library may allocate through the process's `malloc` here: the caller must not
/// hold a lock of the allocator.
pub fn on_exit(function: unsafe extern "C" fn(*mut c_void)) -> bool {
    let _guard = ErrnoGuard::save();
    // SAFETY: the function takes any argument; the handle is this object's.
    unsafe { __cxa_atexit(function, ptr::null_mut(), &raw const __dso_handle) == 0 }
}
