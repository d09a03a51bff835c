//! Environment variables.

use core::ffi::{CStr, c_char};

unsafe extern "C" {
    /// The C library's null-terminated list of variables; null itself before
    /// the C library has started.
    static environ: *const *const c_char;
}

/// Passes the value of a variable to `read`, or `None` if it is not set or the
/// process is privileged (`AT_SECURE`, such as setuid). Does nothing while
/// there is no environment, that is, before the C library has started.
///
/// The environment must not change during the call.
pub fn with_environment(name: &CStr, read: impl FnOnce(Option<&[u8]>)) {
    // SAFETY: the C library defines it.
    let mut at = unsafe { environ };
    if at.is_null() {
        return;
    }
    // SAFETY: takes a number.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return read(None);
    }
    // SAFETY: the list consists of C strings and ends with a null pointer.
    unsafe {
        while !(*at).is_null() {
            let entry = CStr::from_ptr(*at).to_bytes();
            if let Some(value) = entry.strip_prefix(name.to_bytes())
                && let [b'=', value @ ..] = value
            {
                return read(Some(value));
            }
            at = at.add(1);
        }
    }
    read(None);
}
