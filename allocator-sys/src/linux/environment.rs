//! What the process was told when it was started.

use core::ffi::{CStr, c_char};

unsafe extern "C" {
    /// The C library's list of variables, which ends in a null; null itself
    /// before the C library has started.
    static environ: *const *const c_char;
}

/// Passes the value of a variable to `read`, or `None` if it is not set or
/// the process runs with another user's rights. Does nothing while there is
/// no environment: before the C library has started.
///
/// Nothing may change the environment meanwhile.
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
    // SAFETY: the list is one of strings, up to a null.
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
