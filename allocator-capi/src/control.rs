//! Functions of the allocator under names of its own: numbers, purging, limits, the heap
//! profile, guarded sampling. Texts are written into memory of the caller, as `snprintf` does, so
//! that any language can call them. None of them allocates.

use core::ffi::{CStr, c_char, c_int};
use core::fmt::{self, Display, Write};
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use allocator_core::{Strata, c_internals};

use crate::unwinder;

/// The version, for C.
const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => panic!("the version has no null"),
    };

/// Returns the version of the library, such as "0.1.0". The text lasts as long as the
/// library.
#[unsafe(no_mangle)]
pub extern "C" fn strata_version() -> *const c_char {
    VERSION.as_ptr()
}

/// Memory of the caller that text is written to. It counts what does not fit.
struct Text {
    at: *mut u8,
    room: usize,
    len: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = text.len().min(self.room.saturating_sub(self.len));
        if fits != 0 {
            // SAFETY: the caller has so much room there.
            unsafe { ptr::copy_nonoverlapping(text.as_ptr(), self.at.add(self.len), fits) };
        }
        self.len += text.len();
        Ok(())
    }
}

/// Writes `what` and a null byte, cut off if there is too little room. Returns the length of all
/// of it, without the null.
///
/// # Safety
/// `size` bytes at `text` are the caller's to write.
unsafe fn write(text: *mut c_char, size: usize, what: &impl Display) -> usize {
    let mut to = Text { at: text.cast(), room: size.saturating_sub(1), len: 0 };
    let _ = write!(to, "{what}");
    if size != 0 {
        // SAFETY: the caller guarantees that there is room for one more.
        unsafe { text.add(to.len.min(to.room)).write(0) };
    }
    to.len
}

/// Writes all numbers as one JSON object, with a null byte behind it, to `text`, which has room
/// for `size` bytes. What does not fit is cut off. Returns the length of all of it, without the
/// null byte. Where memory is resident is asked of the system, which takes some milliseconds
/// for each GiB.
///
/// # Safety
/// `size` bytes at `text` must be writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strata_stats_json(text: *mut c_char, size: usize) -> usize {
    // SAFETY: the caller guarantees it.
    unsafe { write(text, size, &Strata::metrics().json()) }
}

/// Like `strata_stats_json`, a page for Prometheus, in its text format 0.0.4.
///
/// # Safety
/// See `strata_stats_json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strata_metrics(text: *mut c_char, size: usize) -> usize {
    // SAFETY: the caller guarantees it.
    unsafe { write(text, size, &Strata::metrics().prometheus()) }
}

/// Like `strata_stats_json`, a table of what the memory of the process is used for, and
/// the largest cause in words.
///
/// # Safety
/// See `strata_stats_json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strata_explain(text: *mut c_char, size: usize) -> usize {
    // SAFETY: the caller guarantees it.
    unsafe { write(text, size, &Strata::explain()) }
}

/// Returns all free memory to the system. Returns how many bytes.
#[unsafe(no_mangle)]
pub extern "C" fn strata_purge() -> usize {
    Strata::purge()
}

/// The calling thread is about to sleep: puts away the free blocks that it caches.
#[unsafe(no_mangle)]
pub extern "C" fn strata_thread_idle() {
    Strata::thread_idle();
}

/// Sets the soft limit, in committed bytes; 0: none. Above it, free memory is returned to
/// the system, and if that is not enough, the function of `strata_on_limit` is called.
#[unsafe(no_mangle)]
pub extern "C" fn strata_set_limit(bytes: usize) {
    Strata::set_limit(bytes);
}

/// Sets the hard limit, in committed bytes; 0: none. What would exceed it fails with
/// `ENOMEM`.
#[unsafe(no_mangle)]
pub extern "C" fn strata_set_hard_limit(bytes: usize) {
    Strata::set_hard_limit(bytes);
}

/// The function of [`strata_on_limit`].
static ON_LIMIT: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

fn call_back(committed: usize) {
    let callback = ON_LIMIT.load(Ordering::Relaxed);
    if !callback.is_null() {
        // SAFETY: only functions of this type are stored there.
        let callback = unsafe { mem::transmute::<*mut (), extern "C" fn(usize)>(callback) };
        callback(committed);
    }
}

/// Sets the function to call when the committed bytes stay above the soft limit; null:
/// none. It runs in the thread that exceeded the limit, at the end of that allocation,
/// and may allocate and free. It is called once, and again only after the committed
/// bytes fell below seven eighths of the limit.
#[unsafe(no_mangle)]
pub extern "C" fn strata_on_limit(callback: Option<extern "C" fn(committed: usize)>) {
    let callback = callback.map_or(ptr::null_mut(), |callback| callback as *mut ());
    ON_LIMIT.store(callback, Ordering::Relaxed);
    Strata::on_limit(call_back);
}

/// Switches the heap profile on: one allocation in so many bytes, in the mean, is recorded with
/// its stack, as far as the program has frame pointers. 0: 512 KiB.
#[unsafe(no_mangle)]
pub extern "C" fn strata_profile_start(bytes: usize) {
    unwinder::set();
    Strata::profile_start(if bytes == 0 { Strata::PROFILE_BYTES } else { bytes });
}

/// Switches the heap profile off. What was recorded stays, and is kept up to date.
#[unsafe(no_mangle)]
pub extern "C" fn strata_profile_stop() {
    Strata::profile_stop();
}

/// Switches guarded sampling on: of so many bytes, in the mean, one block of at most 32 KiB stands
/// alone between pages without access. A use of it after its free or beyond its end, and a second
/// free, are reported with the stacks of its allocation and its free, and abort the process. 0: 1 MiB.
#[unsafe(no_mangle)]
pub extern "C" fn strata_guarded_start(bytes: usize) {
    unwinder::set();
    Strata::guarded_start(if bytes == 0 { Strata::GUARDED_BYTES } else { bytes });
}

/// Switches guarded sampling off. Blocks that are guarded stay so until they are freed.
#[unsafe(no_mangle)]
pub extern "C" fn strata_guarded_stop() {
    Strata::guarded_stop();
}

/// Writes the heap profile to a new file, or over the one that is there, in the text that
/// `go tool pprof` and `jeprof` read. Returns 0, or an error as in `errno`: `EINVAL` for null,
/// `ESPIPE` for a pipe or a terminal.
///
/// # Safety
/// `path` must be a string, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strata_profile_write(path: *const c_char) -> c_int {
    if path.is_null() {
        return libc::EINVAL;
    }
    // SAFETY: the caller guarantees it.
    c_internals::write_profile(unsafe { CStr::from_ptr(path) }).err().unwrap_or(0)
}
