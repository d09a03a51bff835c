//! Who calls. The C library and the dynamic linker call `free` under locks
//! that they need to start a thread: nobody starts one for them there.

use core::ffi::{c_int, c_void};
use core::slice;
use core::sync::atomic::{AtomicUsize, Ordering};

/// From where to where the code of the C library and of the linker is. Written
/// once, at the start; until then, all code is theirs. (Relaxed: each word is
/// read for itself, and a mixture only names too few callers, as long as
/// the ends are written last.)
static RANGES: [[AtomicUsize; 2]; 2] =
    [const { [AtomicUsize::new(0), AtomicUsize::new(usize::MAX)] }; 2];

/// Whether whoever calls from this address cannot be the C library.
#[inline]
pub(crate) fn hold_no_locks(caller: usize) -> bool {
    RANGES.iter().all(|[start, end]| {
        !(start.load(Ordering::Relaxed)..end.load(Ordering::Relaxed)).contains(&caller)
    })
}

/// Finds out where the C library and the linker are.
pub(crate) fn look() {
    // SAFETY: the function is one that this takes; it keeps nothing.
    unsafe { libc::dl_iterate_phdr(Some(look_at), core::ptr::null_mut()) };
}

unsafe extern "C" fn look_at(
    object: *mut libc::dl_phdr_info,
    _size: usize,
    _data: *mut c_void,
) -> c_int {
    // SAFETY: the linker hands out a description that is valid meanwhile.
    let (base, headers) = unsafe {
        let object = &*object;
        (
            object.dlpi_addr as usize,
            slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()),
        )
    };
    let loaded = || headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    let start = loaded().map(|header| base + header.p_vaddr as usize).min().unwrap_or(0);
    let end = loaded().map(|header| base + (header.p_vaddr + header.p_memsz) as usize).max();
    let of = |address: usize| (start..end.unwrap_or(0)).contains(&address);
    // SAFETY: takes a number.
    let linker = unsafe { libc::getauxval(libc::AT_BASE) } as usize;
    let c_library = libc::abort as *const () as usize;
    for (range, mark) in RANGES.iter().zip([c_library, linker]) {
        if of(mark) || mark == 0 {
            range[0].store(start, Ordering::Relaxed);
            range[1].store(end.unwrap_or(usize::MAX), Ordering::Relaxed);
        }
    }
    0
}
