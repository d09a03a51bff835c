//! The objects of the process, as the loader has them in memory: the program and its libraries.

use std::ffi::{CStr, OsStr, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::{fs, ptr, slice};

use crate::process::Code;

/// An object that is loaded.
#[derive(PartialEq, Eq)]
pub(crate) struct Module {
    /// Its file.
    pub(crate) path: PathBuf,
    /// What is added to the addresses in its file.
    pub(crate) bias: usize,
    /// The addresses of its code, each with the place in the file.
    pub(crate) code: Vec<Code>,
    /// The id that the linker gave it.
    pub(crate) build_id: Vec<u8>,
    /// Where `.eh_frame_hdr` begins, and what of `.eh_frame` follows where that says.
    pub(crate) unwind: Option<[Section; 2]>,
    /// Whether it is the program, which is never unloaded.
    pub(crate) is_program: bool,
}

/// A piece of an object's memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// All objects that are loaded now.
pub(crate) fn all() -> Vec<Module> {
    each(|module| module)
}

/// What `read` makes of each object that is loaded now. The loader keeps the object meanwhile, so
/// its memory may be read; once this returns, another thread may have unloaded it.
pub(crate) fn each<T>(read: impl FnMut(Module) -> T) -> Vec<T> {
    let mut visit = Visit { read, all: Vec::new() };
    // SAFETY: the callback gets what it is made for, and objects that the loader keeps meanwhile.
    unsafe { libc::dl_iterate_phdr(Some(add_by(&visit)), (&raw mut visit).cast()) };
    visit.all
}

struct Visit<T, F> {
    read: F,
    all: Vec<T>,
}

type Callback = unsafe extern "C" fn(*mut libc::dl_phdr_info, usize, *mut c_void) -> c_int;

/// The callback for a visit of this kind.
fn add_by<T, F: FnMut(Module) -> T>(_: &Visit<T, F>) -> Callback {
    add::<T, F>
}

/// # Safety
/// As the loader calls it; `visit` is a visit of this kind.
unsafe extern "C" fn add<T, F: FnMut(Module) -> T>(
    info: *mut libc::dl_phdr_info,
    _: usize,
    visit: *mut c_void,
) -> c_int {
    // SAFETY: by the caller.
    unsafe {
        let visit = &mut *visit.cast::<Visit<T, F>>();
        let is_program = visit.all.is_empty();
        let read = (visit.read)(module(&*info, is_program));
        visit.all.push(read);
    }
    0
}

/// # Safety
/// The loader keeps the object meanwhile.
unsafe fn module(info: &libc::dl_phdr_info, is_program: bool) -> Module {
    let bias = info.dlpi_addr as usize;
    // SAFETY: by the caller.
    let (name, headers) = unsafe {
        let name = (!info.dlpi_name.is_null()).then(|| CStr::from_ptr(info.dlpi_name));
        // An object without a place in memory has none.
        let headers = ptr::slice_from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
        (name.unwrap_or_default(), if info.dlpi_phdr.is_null() { &[] } else { &*headers })
    };
    // An object may lie below the addresses in its file.
    let start = |header: &libc::Elf64_Phdr| bias.wrapping_add(header.p_vaddr as usize);
    let loaded = headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
    let code = loaded.clone().filter(|header| header.p_flags & libc::PF_X != 0).map(|header| {
        let end = start(header) + header.p_memsz as usize;
        Code { start: start(header), end, offset: header.p_offset }
    });
    let notes = headers.iter().filter(|header| header.p_type == libc::PT_NOTE);
    // SAFETY: segments are mapped while the object is loaded.
    let build_id = notes
        .filter_map(|header| unsafe { build_id(start(header), header.p_memsz as usize) })
        .next();
    let header = headers.iter().find(|header| header.p_type == libc::PT_GNU_EH_FRAME);
    let unwind = header.and_then(|header| {
        let index = Section { start: start(header), len: header.p_memsz as usize };
        // SAFETY: as above.
        let frames = unsafe { eh_frame(index) }?;
        let end = loaded
            .clone()
            .map(|segment| (start(segment), start(segment) + segment.p_memsz as usize))
            .find(|(from, to)| (*from..*to).contains(&frames))?
            .1;
        // SAFETY: as above.
        Some([index, Section { start: frames, len: unsafe { length(frames, end) } }])
    });
    let path = match name.to_bytes() {
        [] if is_program => fs::read_link("/proc/self/exe").unwrap_or_default(),
        name => PathBuf::from(OsStr::from_bytes(name)),
    };
    Module {
        path,
        bias,
        code: code.collect(),
        build_id: build_id.unwrap_or_default(),
        unwind,
        is_program,
    }
}

/// The number of four bytes at an address.
///
/// # Safety
/// It can be read.
unsafe fn word(at: usize) -> u32 {
    // SAFETY: by the caller.
    unsafe { (at as *const u32).read_unaligned() }
}

/// The build id among notes: a size of the name, one of the value, a kind; the name; the value.
///
/// # Safety
/// The notes can be read.
unsafe fn build_id(mut at: usize, len: usize) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    /// That a note of `GNU` is a build id.
    const BUILD_ID: u32 = 3;
    let end = at + len;
    while at + HEADER <= end {
        // SAFETY: by the caller.
        let [name, value, kind] = unsafe { [word(at), word(at + 4), word(at + 8)] };
        let [name, value] = [name as usize, value as usize];
        let from = at + HEADER + name.next_multiple_of(4);
        if from + value > end {
            return None;
        }
        // SAFETY: by the caller.
        let bytes = |at: usize, len| unsafe { slice::from_raw_parts(at as *const u8, len) };
        if kind == BUILD_ID && bytes(at + HEADER, name) == b"GNU\0" {
            return Some(bytes(from, value).to_vec());
        }
        at = from + value.next_multiple_of(4);
    }
    None
}

/// Where `.eh_frame` begins, as its index says, in the form that linkers write.
///
/// # Safety
/// The index can be read.
unsafe fn eh_frame(index: Section) -> Option<usize> {
    /// Four bytes with a sign, relative to their own place.
    const RELATIVE: u8 = 0x1b;
    // SAFETY: by the caller.
    unsafe {
        let encoding = *((index.start + 1) as *const u8);
        let distance = word(index.start + 4).cast_signed() as isize;
        (encoding == RELATIVE).then(|| (index.start + 4).wrapping_add_signed(distance))
    }
}

/// Bytes of `.eh_frame`: its entries begin with their lengths, and the last one has none.
///
/// # Safety
/// What is before `end` can be read.
unsafe fn length(start: usize, end: usize) -> usize {
    let mut at = start;
    while at + 4 <= end {
        // SAFETY: by the caller.
        match unsafe { word(at) } {
            0 => return at + 4 - start,
            length => at += 4 + length as usize,
        }
    }
    end.saturating_sub(start)
}
