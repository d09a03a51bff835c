//! Mapping memory.

use super::errno::{ErrnoGuard, errno};
use core::ffi::{c_int, c_void};
use core::num::NonZeroUsize;
use core::ptr::{self, NonNull};
use once_cell::race::OnceNonZeroUsize;

/// Why a mapping failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// Part of the range is already mapped.
    Taken,
    /// The system is out of memory, addresses or mappings.
    NoMemory,
}

/// Access to a committed range.
const READ_WRITE: c_int = libc::PROT_READ | libc::PROT_WRITE;

/// The advice used by [`collapse`]. A literal, as the C library may not define
/// it yet.
const MADV_COLLAPSE: c_int = 25;

/// Flags of every mapping.
const ANONYMOUS: c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

/// Used if the kernel does not report its page size.
const DEFAULT_PAGE_SIZE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Page size in bytes: a power of two, 4, 16 or 64 KiB.
pub fn page_size() -> usize {
    static SIZE: OnceNonZeroUsize = OnceNonZeroUsize::new();
    SIZE.get_or_init(auxv_page_size).get()
}

/// Reserves `size` bytes of addresses, anywhere, page aligned. They have no
/// memory and cannot be accessed until [`commit`]. `None`: the system refused.
///
/// `size` is a multiple of the page size and not 0.
pub fn reserve(size: usize) -> Option<NonNull<u8>> {
    let _guard = ErrnoGuard::save();
    let flags = ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice affects no
    // other mapping.
    let found = unsafe { libc::mmap(ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0) };
    NonNull::new(found.cast()).filter(|_| found != libc::MAP_FAILED)
}

/// Makes a range readable and writable. A range that was reserved or purged
/// reads as zero; one that was protected or is already committed keeps its
/// contents. `false`: the system refused; the contents are unchanged, and part
/// of the range may be accessible.
///
/// # Safety
///
/// The range is owned. `addr` and `size` are multiples of the page size, and
/// `size` is not 0.
pub unsafe fn commit(addr: *mut u8, size: usize) -> bool {
    // SAFETY: as above.
    unsafe { set_access(addr, size, READ_WRITE) }
}

/// Maps `size` bytes of readable, writable, zeroed memory at `addr` exactly.
///
/// # Errors
///
/// [`MapError::Taken`] if part of the range is already mapped, else
/// [`MapError::NoMemory`]. On error nothing was mapped or unmapped.
///
/// # Safety
///
/// `addr` and `size` are multiples of the page size; neither is 0.
pub unsafe fn map_at(addr: *mut u8, size: usize) -> Result<(), MapError> {
    // SAFETY: as above.
    unsafe { map_fixed(addr, size, READ_WRITE, ANONYMOUS) }
}

/// Reserves `size` bytes of addresses at `addr` exactly. See [`reserve`].
///
/// # Errors
///
/// Same as [`map_at`].
///
/// # Safety
///
/// Same as [`map_at`].
pub unsafe fn reserve_at(addr: *mut u8, size: usize) -> Result<(), MapError> {
    let flags = ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: as above.
    unsafe { map_fixed(addr, size, libc::PROT_NONE, flags) }
}

/// Returns the memory of a range to the system, and keeps its addresses and
/// access. `true`: the range now reads as zero. `false`: the system refused, as
/// it does for locked memory; some pages may be zero, the others are unchanged.
///
/// # Safety
///
/// Same as [`commit`], and the contents are no longer needed.
pub unsafe fn purge(addr: *mut u8, size: usize) -> bool {
    // SAFETY: as above.
    unsafe { advise(addr, size, libc::MADV_DONTNEED) }
}

/// Unmaps a range, returning memory and addresses. `false`: the system refused;
/// the range is still mapped.
///
/// # Safety
///
/// Same as [`commit`], and the range is not used again.
pub unsafe fn release(addr: *mut u8, size: usize) -> bool {
    let _guard = ErrnoGuard::save();
    // SAFETY: the caller owns the range and does not use it again.
    unsafe { libc::munmap(addr.cast(), size) == 0 }
}

/// Makes a range inaccessible and keeps its contents. `false`: the system
/// refused; part of the range may be inaccessible.
///
/// # Safety
///
/// Same as [`commit`], and the range is not accessed until it is committed
/// again.
pub unsafe fn protect(addr: *mut u8, size: usize) -> bool {
    // SAFETY: as above.
    unsafe { set_access(addr, size, libc::PROT_NONE) }
}

/// Changes the size of a range from `old` to `new` bytes without moving it. The
/// contents are kept, an added part is zero, and a removed part is unmapped.
/// `false`: the system refused, usually because the following addresses are in
/// use; the range is unchanged.
///
/// # Safety
///
/// The range was mapped with [`map_at`], or committed as a whole, and is owned
/// as one mapping. `addr`, `old` and `new` are multiples of the page size and
/// not 0. A removed part is not used again.
pub unsafe fn resize(addr: *mut u8, old: usize, new: usize) -> bool {
    let _guard = ErrnoGuard::save();
    // SAFETY: without flags the mapping does not move and no other mapping is
    // replaced.
    unsafe { libc::mremap(addr.cast(), old, new, 0) != libc::MAP_FAILED }
}

/// Moves a range of `old` bytes onto `target`, where `new` bytes were reserved
/// with [`reserve_at`] or [`reserve`]. `true`: the target has the contents,
/// followed by zeros if it is longer, and the old range is unmapped. `false`:
/// the system refused; both ranges are unchanged.
///
/// Two special cases. If the system refuses the move after it has already
/// unmapped the target, the target is reserved again; if another thread's
/// mapping takes some of those addresses in between, they belong to that
/// thread. If the system refuses to unmap the tail of a range that shrank, the
/// tail remains mapped without access and without memory.
///
/// # Safety
///
/// Same as [`resize`]. The ranges do not overlap, and the old one is not used
/// again.
pub unsafe fn move_to(addr: *mut u8, old: usize, target: *mut u8, new: usize) -> bool {
    // SAFETY: as above. A range that shrinks is moved without its tail, so that
    // it is still complete if the move is refused.
    unsafe {
        if !move_all(addr, old.min(new), target, new) {
            return false;
        }
        if old > new {
            release_tail(addr.wrapping_add(new), old - new);
        }
    }
    true
}

/// Advises the kernel to use huge pages in a range, or not to. It may have no
/// effect.
///
/// # Safety
///
/// Same as [`commit`].
pub unsafe fn advise_huge(addr: *mut u8, size: usize, yes: bool) {
    let advice = if yes { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
    // SAFETY: as above; the contents are unchanged.
    unsafe { advise(addr, size, advice) };
}

/// Replaces the pages of a range by huge pages now, copying the contents
/// (`MADV_COLLAPSE`, Linux 6.1). Address and size are multiples of the huge
/// page size, 2 MiB. `false`: the kernel did not do so, or not everywhere; the
/// contents are unchanged.
///
/// # Safety
///
/// Same as [`commit`].
pub unsafe fn collapse(addr: *mut u8, size: usize) -> bool {
    // SAFETY: as above; the contents are unchanged.
    unsafe { advise(addr, size, MADV_COLLAPSE) }
}

/// The limit on the process's address space in bytes (`RLIMIT_AS`); `None`: no
/// limit.
pub fn address_limit() -> Option<usize> {
    let _guard = ErrnoGuard::save();
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: writes the limits to `limit`.
    unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as usize)
}

/// The page size that the kernel passed at process start.
fn auxv_page_size() -> NonZeroUsize {
    let _guard = ErrnoGuard::save();
    // SAFETY: takes a number and reads the process's auxiliary vector.
    let size = unsafe { libc::getauxval(libc::AT_PAGESZ) } as usize;
    NonZeroUsize::new(size).filter(|size| size.is_power_of_two()).unwrap_or(DEFAULT_PAGE_SIZE)
}

/// Changes the access to a range.
///
/// # Safety
///
/// The range is owned, and no one relies on an access that is removed.
unsafe fn set_access(addr: *mut u8, size: usize, access: c_int) -> bool {
    let _guard = ErrnoGuard::save();
    // SAFETY: as above.
    unsafe { libc::mprotect(addr.cast(), size, access) == 0 }
}

/// Advises the kernel about a range.
///
/// # Safety
///
/// The range is owned, and contents that the advice discards are not needed.
unsafe fn advise(addr: *mut u8, size: usize, advice: c_int) -> bool {
    let _guard = ErrnoGuard::save();
    // SAFETY: as above.
    unsafe { libc::madvise(addr.cast(), size, advice) == 0 }
}

/// Maps at `addr` exactly, without replacing anything.
///
/// # Safety
///
/// `addr` is not null.
unsafe fn map_fixed(
    addr: *mut u8,
    size: usize,
    access: c_int,
    flags: c_int,
) -> Result<(), MapError> {
    let _guard = ErrnoGuard::save();
    let wanted: *mut c_void = addr.cast();
    let flags = flags | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: with this flag no existing mapping is replaced; kernels that do
    // not know the flag treat the address as a hint.
    let found = unsafe { libc::mmap(wanted, size, access, flags, -1, 0) };
    if found == wanted {
        return Ok(());
    }
    if found == libc::MAP_FAILED {
        return Err(map_error());
    }
    // SAFETY: just mapped, and not known to anyone else.
    unsafe { libc::munmap(found, size) };
    Err(MapError::Taken)
}

/// Why the last `mmap` failed.
fn map_error() -> MapError {
    if errno() == libc::EEXIST { MapError::Taken } else { MapError::NoMemory }
}

/// Moves all `old` bytes onto a reserved range of `new` bytes, which is not
/// shorter, and grows them to fill it. `false`: both ranges are unchanged.
///
/// # Safety
///
/// Same as [`move_to`].
unsafe fn move_all(addr: *mut u8, old: usize, target: *mut u8, new: usize) -> bool {
    let _guard = ErrnoGuard::save();
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let wanted: *mut c_void = target.cast();
    // SAFETY: the caller owns both ranges and does not use the old one again.
    let moved = unsafe { libc::mremap(addr.cast(), old, new, flags, wanted) };
    if moved != libc::MAP_FAILED {
        return true;
    }
    // The system may have unmapped the target before it refused. If it did not,
    // the addresses are still mapped by us, and this call changes nothing.
    // SAFETY: the address is the caller's and not null.
    let _ = unsafe { reserve_at(target, new) };
    false
}

/// Unmaps a range, or at least drops its memory and removes access to it.
///
/// # Safety
///
/// The range is owned and not used again.
unsafe fn release_tail(addr: *mut u8, size: usize) {
    // SAFETY: as above.
    unsafe {
        if !release(addr, size) {
            purge(addr, size);
            protect(addr, size);
        }
    }
}
