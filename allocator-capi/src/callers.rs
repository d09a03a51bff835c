//! Classification of callers. The C library and the dynamic linker call `free`
//! while holding locks that starting a thread needs, so no thread may be
//! started on their behalf.

use core::ffi::{c_char, c_int, c_void};
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
/// linker. Called while the library is loaded, when nobody changes the linker's
/// list. The list is read here and not by `dl_iterate_phdr`: a library in front
/// may wrap that, and need not be ready yet.
pub(crate) fn find_ranges() {
    let linker: *const Debug = symbol_lookup::weak_address!("_r_debug").cast();
    if linker.is_null() {
        return;
    }
    // One symbol of each. Programs call this function but do not take its
    // address, which could otherwise resolve to the program itself.
    let marks = [libc::__errno_location as *const () as usize, linker.addr()];
    // SAFETY: the linker defines its list.
    let first = unsafe { (*linker).first };
    for (range, mark) in RANGES.iter().zip(marks) {
        // SAFETY: as above; the base is that of a loaded object.
        let found = unsafe { base_below(first, mark).map(|base| extent(base)) };
        if let Some([start, end]) = found
            && (start..end).contains(&mark)
        {
            range[0].store(start, Ordering::Relaxed);
            range[1].store(end, Ordering::Relaxed);
        }
    }
}

/// The start of the dynamic linker's `struct r_debug`.
#[repr(C)]
struct Debug {
    version: c_int,
    first: *const Object,
}

/// The start of the dynamic linker's `struct link_map`.
#[repr(C)]
struct Object {
    base: usize,
    name: *const c_char,
    dynamic: *const c_void,
    next: *const Object,
}

/// The nearest base below an address. `None` if that is not known to be where an
/// object starts: a program at a fixed address has the base 0.
///
/// # Safety
/// `first` begins the dynamic linker's list.
unsafe fn base_below(first: *const Object, address: usize) -> Option<usize> {
    let mut nearest = 0;
    let mut at = first;
    // SAFETY: the caller guarantees it.
    while let Some(object) = unsafe { at.as_ref() } {
        if object.base <= address {
            nearest = nearest.max(object.base);
        }
        at = object.next;
    }
    (nearest != 0).then_some(nearest)
}

/// The addresses of the object at a base.
///
/// # Safety
/// Its first page, which has its headers, is there.
unsafe fn extent(base: usize) -> [usize; 2] {
    let file: *const libc::Elf64_Ehdr = ptr::with_exposed_provenance(base);
    // SAFETY: the caller guarantees it.
    let headers = unsafe {
        let headers = file.byte_add((*file).e_phoff as usize).cast::<libc::Elf64_Phdr>();
        slice::from_raw_parts(headers, (*file).e_phnum.into())
    };
    let loaded = || headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    let start = loaded().map(|header| base + header.p_vaddr as usize).min().unwrap_or(0);
    let end = loaded().map(|header| base + (header.p_vaddr + header.p_memsz) as usize).max();
    [start, end.unwrap_or(0)]
}
