//! Who calls. The C library and the dynamic linker call `free` under locks
//! that they need to start a thread: nobody starts one for them there.

use core::ffi::{c_int, c_void};
use core::ptr;
use core::slice;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::symbols;

/// From where to where the C library is, and the linker. Written once, at the
/// start; until then, and in static programs, all code is theirs. (Relaxed: any
/// mixture of the old words and the new contains what the new do.)
static RANGES: [[AtomicUsize; 2]; 2] =
    [const { [AtomicUsize::new(0), AtomicUsize::new(usize::MAX)] }; 2];

/// Whether whoever calls from this address is neither of them, nor this
/// library, which may have been called by them.
#[inline]
pub(crate) fn is_program_code(caller: usize) -> bool {
    let theirs = RANGES.iter().any(|[start, end]| {
        (start.load(Ordering::Relaxed)..end.load(Ordering::Relaxed)).contains(&caller)
    });
    !theirs && !symbols::is_own_code(ptr::without_provenance(caller))
}

/// Finds out where the C library and the linker are.
pub(crate) fn find_ranges() {
    // SAFETY: the function is one that this takes; it keeps nothing.
    unsafe { libc::dl_iterate_phdr(Some(record_object), ptr::null_mut()) };
}

unsafe extern "C" fn record_object(
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
    let end = end.unwrap_or(0);
    // One thing of each: programs call this function, but do not take its
    // address, which could then be elsewhere.
    let marks = [libc::__errno_location as *const (), symbols::weak_address!("_r_debug").cast()];
    for (range, mark) in RANGES.iter().zip(marks) {
        if (start..end).contains(&mark.addr()) {
            range[0].store(start, Ordering::Relaxed);
            range[1].store(end, Ordering::Relaxed);
        }
    }
    0
}
