//! Classification of callers. The C library and the dynamic linker call `free`
//! while holding locks that starting a thread needs, so no thread may be
//! started on their behalf.

use core::ffi::{c_int, c_void};
use core::ptr;
use core::slice;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::symbol_lookup;

/// The address ranges of the C library and the dynamic linker. Written once,
/// when the library is loaded. Until then, and in static programs, the ranges
/// cover all code. (Relaxed: any mixture of old and new words contains the new
/// ranges.)
static RANGES: [[AtomicUsize; 2]; 2] =
    [const { [AtomicUsize::new(0), AtomicUsize::new(usize::MAX)] }; 2];

/// Whether this return address is in program code: outside the C library, the
/// dynamic linker, and this library, which they may have called.
#[inline]
pub(crate) fn is_program_code(caller: usize) -> bool {
    let theirs = RANGES.iter().any(|[start, end]| {
        (start.load(Ordering::Relaxed)..end.load(Ordering::Relaxed)).contains(&caller)
    });
    !theirs && !symbol_lookup::is_own_code(ptr::without_provenance(caller))
}

/// Finds and records the address ranges of the C library and the dynamic
/// linker.
pub(crate) fn find_ranges() {
    // SAFETY: the callback has the expected signature and keeps no pointer.
    unsafe { libc::dl_iterate_phdr(Some(record_object), ptr::null_mut()) };
}

unsafe extern "C" fn record_object(
    object: *mut libc::dl_phdr_info,
    _size: usize,
    _data: *mut c_void,
) -> c_int {
    // SAFETY: the linker passes a description that is valid during the call.
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
    // One symbol of each. Programs call this function but do not take its
    // address, which could otherwise resolve to the program itself.
    let marks =
        [libc::__errno_location as *const (), symbol_lookup::weak_address!("_r_debug").cast()];
    for (range, mark) in RANGES.iter().zip(marks) {
        if (start..end).contains(&mark.addr()) {
            range[0].store(start, Ordering::Relaxed);
            range[1].store(end, Ordering::Relaxed);
        }
    }
    0
}
