//! Addresses and the memory behind them.

use super::errno::{ErrnoGuard, errno};
use core::ffi::{c_int, c_void};
use core::num::NonZeroUsize;
use core::ptr::{self, NonNull};
use once_cell::race::OnceNonZeroUsize;

/// Why nothing was mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// Something else is mapped in that range.
    Taken,
    /// The system has no memory, no addresses or no room in its tables.
    NoMemory,
}

/// Access of a committed range.
const READ_WRITE: c_int = libc::PROT_READ | libc::PROT_WRITE;

/// The advice of [`collapse`], by its number: the C library may not know it yet.
const MADV_COLLAPSE: c_int = 25;

/// Flags of every mapping of ours.
const ANONYMOUS: c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

/// What is assumed where the system does not tell its page size.
const DEFAULT_PAGE_SIZE: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Bytes in a page: a power of two, 4, 16 or 64 KiB.
pub fn page_size() -> usize {
    static SIZE: OnceNonZeroUsize = OnceNonZeroUsize::new();
    SIZE.get_or_init(auxv_page_size).get()
}

/// Takes `size` bytes of addresses, anywhere, aligned to pages. There is no
/// memory behind them and no access to them until [`commit`]. `None`:
/// refused.
///
/// `size` is a multiple of the page size and not 0.
pub fn reserve(size: usize) -> Option<NonNull<u8>> {
    let _guard = ErrnoGuard::save();
    let flags = ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping wherever there is room touches nothing.
    let found = unsafe { libc::mmap(ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0) };
    NonNull::new(found.cast()).filter(|_| found != libc::MAP_FAILED)
}

/// Makes a range readable and writable. A range that was reserved or purged
/// before reads as zero; one that was protected, or is committed already, has
/// the contents it had.
/// `false`: refused; the contents are as before, and part of the range may be
/// accessible.
///
/// # Safety
///
/// The range is ours, and `addr` and `size` are multiples of the page size;
/// `size` is not 0.
pub unsafe fn commit(addr: *mut u8, size: usize) -> bool {
    // SAFETY: as above.
    unsafe { set_access(addr, size, READ_WRITE) }
}

/// Maps `size` bytes of memory that is readable, writable and zero, exactly
/// at `addr`.
///
/// # Errors
///
/// [`MapError::Taken`] if anything is mapped in the range, else
/// [`MapError::NoMemory`]; then nothing was mapped or unmapped.
///
/// # Safety
///
/// `addr` and `size` are multiples of the page size; neither is 0.
pub unsafe fn map_at(addr: *mut u8, size: usize) -> Result<(), MapError> {
    // SAFETY: as above.
    unsafe { map_fixed(addr, size, READ_WRITE, ANONYMOUS) }
}

/// Takes `size` bytes of addresses exactly at `addr`, as [`reserve`] does
/// anywhere.
///
/// # Errors
///
/// As [`map_at`].
///
/// # Safety
///
/// As [`map_at`].
pub unsafe fn reserve_at(addr: *mut u8, size: usize) -> Result<(), MapError> {
    let flags = ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: as above.
    unsafe { map_fixed(addr, size, libc::PROT_NONE, flags) }
}

/// Gives the memory behind a range back and keeps the addresses and the
/// access to them. `true`: the range reads as zero now. `false`: refused, as
/// for locked memory; the contents are as before, or some pages of them.
///
/// # Safety
///
/// As [`commit`]; and nobody needs the contents.
pub unsafe fn purge(addr: *mut u8, size: usize) -> bool {
    // SAFETY: as above.
    unsafe { advise(addr, size, libc::MADV_DONTNEED) }
}

/// Gives a range back, memory and addresses. `false`: refused; the range is
/// mapped as before.
///
/// # Safety
///
/// As [`commit`]; and nobody uses the range again.
pub unsafe fn release(addr: *mut u8, size: usize) -> bool {
    let _guard = ErrnoGuard::save();
    // SAFETY: the caller owns the range and is done with it.
    unsafe { libc::munmap(addr.cast(), size) == 0 }
}

/// Makes a range inaccessible; its contents stay. `false`: refused; part of
/// the range may be inaccessible.
///
/// # Safety
///
/// As [`commit`]; and nobody touches the range until it is committed again.
pub unsafe fn protect(addr: *mut u8, size: usize) -> bool {
    // SAFETY: as above.
    unsafe { set_access(addr, size, libc::PROT_NONE) }
}

/// Makes a range of `old` bytes `new` bytes long where it is. The contents
/// stay, a new part is zero, and a part cut off is unmapped. `false`:
/// refused, mostly because the addresses behind it are taken; the range is as
/// before.
///
/// # Safety
///
/// The range was mapped with [`map_at`], or committed as a whole, and is ours
/// in one piece; `addr`, `old` and `new` are multiples of the page size and
/// not 0; nobody uses a part cut off again.
pub unsafe fn resize(addr: *mut u8, old: usize, new: usize) -> bool {
    let _guard = ErrnoGuard::save();
    // SAFETY: without flags the mapping stays where it is and nothing else is
    // replaced.
    unsafe { libc::mremap(addr.cast(), old, new, 0) != libc::MAP_FAILED }
}

/// Moves a range of `old` bytes onto `target`, where `new` bytes were
/// reserved with [`reserve_at`] or [`reserve`]. `true`: the target has the
/// contents, zeros follow where it is longer, and the old addresses are
/// unmapped. `false`: refused; both ranges are as before.
///
/// Two corners. If the system refuses the move only after it has unmapped the
/// target, the target is reserved once more, and another thread's mapping
/// may get in between: then those addresses are that thread's. If it refuses
/// to unmap the rest of a range that shrank, this rest stays behind without
/// access and without memory.
///
/// # Safety
///
/// As [`resize`]; the ranges do not overlap, and nobody uses the old one
/// again.
pub unsafe fn move_to(addr: *mut u8, old: usize, target: *mut u8, new: usize) -> bool {
    // SAFETY: as above; a range that shrinks is moved without its end, so
    // that a refusal finds it whole.
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

/// Asks for huge pages in a range, or for none. It may have no effect.
///
/// # Safety
///
/// As [`commit`].
pub unsafe fn advise_huge(addr: *mut u8, size: usize, yes: bool) {
    let advice = if yes { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
    // SAFETY: as above; the contents stay as they are.
    unsafe { advise(addr, size, advice) };
}

/// Has huge pages take the place of the pages of a range now, copying what is
/// there (`MADV_COLLAPSE`, Linux 6.1). The range is a multiple of the huge page's
/// size, 2 MiB, at a multiple of it. `false`: they do not, or not everywhere; the
/// contents are as before.
///
/// # Safety
///
/// As [`commit`].
pub unsafe fn collapse(addr: *mut u8, size: usize) -> bool {
    // SAFETY: as above; the contents stay as they are.
    unsafe { advise(addr, size, MADV_COLLAPSE) }
}

/// How many bytes of addresses the process may have (`RLIMIT_AS`); `None`:
/// as many as there are.
pub fn address_limit() -> Option<usize> {
    let _guard = ErrnoGuard::save();
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: writes the limits into `limit`.
    unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as usize)
}

/// The page size as the kernel gave it at the process's start.
fn auxv_page_size() -> NonZeroUsize {
    let _guard = ErrnoGuard::save();
    // SAFETY: takes a number and looks into the process's own vector.
    let size = unsafe { libc::getauxval(libc::AT_PAGESZ) } as usize;
    NonZeroUsize::new(size).filter(|size| size.is_power_of_two()).unwrap_or(DEFAULT_PAGE_SIZE)
}

/// Sets the access to a range.
///
/// # Safety
///
/// The range is ours, and nobody counts on an access that is taken away.
unsafe fn set_access(addr: *mut u8, size: usize, access: c_int) -> bool {
    let _guard = ErrnoGuard::save();
    // SAFETY: as above.
    unsafe { libc::mprotect(addr.cast(), size, access) == 0 }
}

/// Gives advice for a range.
///
/// # Safety
///
/// The range is ours, and nobody counts on contents that the advice drops.
unsafe fn advise(addr: *mut u8, size: usize, advice: c_int) -> bool {
    let _guard = ErrnoGuard::save();
    // SAFETY: as above.
    unsafe { libc::madvise(addr.cast(), size, advice) == 0 }
}

/// Maps at `addr` and nowhere else, and over nothing.
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
    // SAFETY: with this flag nothing that is mapped gets replaced; kernels
    // that do not know it take the address as a wish.
    let found = unsafe { libc::mmap(wanted, size, access, flags, -1, 0) };
    if found == wanted {
        return Ok(());
    }
    if found == libc::MAP_FAILED {
        return Err(map_error());
    }
    // SAFETY: just mapped, and known to nobody.
    unsafe { libc::munmap(found, size) };
    Err(MapError::Taken)
}

/// Why `mmap` just failed.
fn map_error() -> MapError {
    if errno() == libc::EEXIST { MapError::Taken } else { MapError::NoMemory }
}

/// Moves `old` bytes onto a reserved range of `new` bytes, which is not
/// shorter, and grows them to fill it. `false`: both ranges are as before.
///
/// # Safety
///
/// As [`move_to`].
unsafe fn move_all(addr: *mut u8, old: usize, target: *mut u8, new: usize) -> bool {
    let _guard = ErrnoGuard::save();
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let wanted: *mut c_void = target.cast();
    // SAFETY: both ranges are the caller's, who is done with the old one.
    let moved = unsafe { libc::mremap(addr.cast(), old, new, flags, wanted) };
    if moved != libc::MAP_FAILED {
        return true;
    }
    // The system may have unmapped the target before it refused. Where it
    // did not, the addresses are taken, by us, and this changes nothing.
    // SAFETY: the address is the caller's and not null.
    let _ = unsafe { reserve_at(target, new) };
    false
}

/// Unmaps a range, or at least takes its memory and its access.
///
/// # Safety
///
/// The range is ours and nobody uses it again.
unsafe fn release_tail(addr: *mut u8, size: usize) {
    // SAFETY: as above.
    unsafe {
        if !release(addr, size) {
            purge(addr, size);
            protect(addr, size);
        }
    }
}
