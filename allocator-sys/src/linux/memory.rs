//! Mapping memory.

use super::page_size::page_size;
use super::syscall::{Errno, syscall};
use core::ffi::c_int;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering};

/// Why a mapping failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// Part of the range is already mapped.
    Taken,
    /// The system is out of memory, addresses or mappings.
    NoMemory,
    /// The same, but the range is mapped now, without access, and stays: the system
    /// refuses to unmap it.
    Stays,
}

/// Access to a committed range.
const READ_WRITE: c_int = libc::PROT_READ | libc::PROT_WRITE;

/// The advice used by [`collapse`]. A literal, as the C library may not define
/// it yet.
const MADV_COLLAPSE: c_int = 25;

/// Flags of every mapping.
const ANONYMOUS: c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

/// Whether purged memory reads as zero. See [`check_kernel`].
static PURGES: AtomicBool = AtomicBool::new(true);

/// Whether a mapping can be asked for that replaces nothing. See
/// [`check_kernel`].
static KEEPS_MAPPINGS: AtomicBool = AtomicBool::new(true);

/// Reserves `size` bytes of addresses, anywhere, page aligned. They have no
/// memory and cannot be accessed until [`commit`]. `None`: the system refused.
///
/// `size` is a multiple of the page size and not 0.
pub fn reserve(size: usize) -> Option<NonNull<u8>> {
    let flags = ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice affects no
    // other mapping.
    let found = unsafe { map(ptr::null_mut(), size, libc::PROT_NONE, flags) };
    found.ok().and_then(NonNull::new)
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

/// Same as [`map_at`], and advises the kernel to use huge pages there, or not to, as
/// [`advise_huge`] does, before the memory can be accessed. Where a process locks all that it
/// maps (`mlockall`), memory that can be accessed is there at once, and the kernel does not merge
/// mappings that were advised alike after that.
///
/// # Errors
///
/// Same as [`map_at`]; and [`MapError::Stays`], where the system refuses access to what it
/// just mapped, and then to unmap it.
///
/// # Safety
///
/// Same as [`map_at`].
pub unsafe fn map_advised_at(addr: *mut u8, size: usize, huge: bool) -> Result<(), MapError> {
    // SAFETY: as above; what was just mapped is the caller's.
    unsafe {
        map_fixed(addr, size, libc::PROT_NONE, ANONYMOUS)?;
        advise_huge(addr, size, huge);
        if commit(addr, size) {
            return Ok(());
        }
        Err(if release(addr, size) { MapError::NoMemory } else { MapError::Stays })
    }
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
    PURGES.load(Ordering::Relaxed) && unsafe { advise(addr, size, libc::MADV_DONTNEED) }
}

/// Unmaps a range, returning memory and addresses. `false`: the system refused;
/// the range is still mapped.
///
/// # Safety
///
/// Same as [`commit`], and the range is not used again.
pub unsafe fn release(addr: *mut u8, size: usize) -> bool {
    // SAFETY: the caller owns the range and does not use it again.
    unsafe { syscall(libc::SYS_munmap, [addr.expose_provenance(), size]) }.is_ok()
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
    let from = addr.expose_provenance();
    // SAFETY: without flags the mapping does not move and no other mapping is
    // replaced.
    unsafe { syscall(libc::SYS_mremap, [from, old, new, 0]) == Ok(from) }
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
/// effect, and has none where nothing is mapped.
///
/// # Safety
///
/// `addr` and `size` are multiples of the page size. The contents do not change: the
/// range was the caller's, and may have been unmapped since by another thread.
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
/// Same as [`advise_huge`].
pub unsafe fn collapse(addr: *mut u8, size: usize) -> bool {
    // SAFETY: as above; the contents are unchanged.
    unsafe { advise(addr, size, MADV_COLLAPSE) }
}

/// The limit on the process's mappings in bytes: the smaller of that on its address
/// space (`RLIMIT_AS`) and that on its data (`RLIMIT_DATA`); `None`: no limit.
pub fn address_limit() -> Option<usize> {
    [libc::RLIMIT_AS, libc::RLIMIT_DATA].into_iter().filter_map(|it| limit(it as usize)).min()
}

fn limit(resource: usize) -> Option<usize> {
    /// No limit, and what stands there if the kernel does not tell.
    const NONE: u64 = u64::MAX;
    let mut limits = [NONE; 2];
    let place = (&raw mut limits).expose_provenance();
    // SAFETY: writes the two limits to `limits`, and sets none.
    let _ = unsafe { syscall(libc::SYS_prlimit64, [0, resource, 0, place]) };
    let [soft, _] = limits;
    (soft != NONE).then_some(soft as usize)
}

/// Finds out, on a page of the caller's, whether the kernel does what it answers.
/// Emulators and sandboxes do not always. Two system calls, once, before the
/// other calls are relied on:
///
/// - If purged memory keeps its contents, [`purge`] refuses from then on.
/// - If a mapping replaces another one although the kernel was asked not to, or
///   that cannot be asked for (Linux before 4.17), then [`map_at`] and
///   [`reserve_at`] ask for the address without insisting on it.
///
/// # Safety
///
/// The page at `addr` is owned and committed, and its contents are not needed.
/// It reads as zero afterwards.
pub unsafe fn check_kernel(addr: *mut u8) {
    let size = page_size();
    let flags = ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: the page is the caller's. If its mapping is replaced, then by one
    // with the same access.
    unsafe {
        addr.write_volatile(1);
        let again = map(addr, size, READ_WRITE, flags);
        if again != Err(Errno(libc::EEXIST)) {
            KEEPS_MAPPINGS.store(false, Ordering::Relaxed);
        }
        if let Ok(elsewhere) = again
            && elsewhere != addr
        {
            release(elsewhere, size);
        }
        addr.write_volatile(1);
        if advise(addr, size, libc::MADV_DONTNEED) && addr.read_volatile() != 0 {
            PURGES.store(false, Ordering::Relaxed);
        }
        addr.write_volatile(0);
    }
}

/// Changes the access to a range.
///
/// # Safety
///
/// The range is owned, and no one relies on an access that is removed.
unsafe fn set_access(addr: *mut u8, size: usize, access: c_int) -> bool {
    let args = [addr.expose_provenance(), size, access as usize];
    // SAFETY: as above.
    unsafe { syscall(libc::SYS_mprotect, args) }.is_ok()
}

/// Advises the kernel about a range.
///
/// # Safety
///
/// The range is owned, and contents that the advice discards are not needed.
unsafe fn advise(addr: *mut u8, size: usize, advice: c_int) -> bool {
    let args = [addr.expose_provenance(), size, advice as usize];
    // SAFETY: as above.
    unsafe { syscall(libc::SYS_madvise, args) }.is_ok()
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
    let keep = KEEPS_MAPPINGS.load(Ordering::Relaxed);
    let flags = if keep { flags | libc::MAP_FIXED_NOREPLACE } else { flags };
    // SAFETY: with the flag no existing mapping is replaced; without it, or where
    // the kernel does not know it, the address is a hint.
    match unsafe { map(addr, size, access, flags) } {
        Ok(found) if found == addr => Ok(()),
        Ok(elsewhere) => {
            // SAFETY: just mapped, and not known to anyone else.
            unsafe { release(elsewhere, size) };
            Err(MapError::Taken)
        }
        Err(Errno(libc::EEXIST)) => Err(MapError::Taken),
        Err(_) => Err(MapError::NoMemory),
    }
}

/// Maps memory that is backed by no file. Returns where.
///
/// # Safety
///
/// With these flags no mapping is replaced, or one that the caller owns.
unsafe fn map(addr: *mut u8, size: usize, access: c_int, flags: c_int) -> Result<*mut u8, Errno> {
    let no_file = usize::MAX;
    let args = [addr.addr(), size, access as usize, flags as usize, no_file, 0];
    // SAFETY: as above.
    let found = unsafe { syscall(libc::SYS_mmap, args) }?;
    Ok(ptr::with_exposed_provenance_mut(found))
}

/// Moves all `old` bytes onto a reserved range of `new` bytes, which is not
/// shorter, and grows them to fill it. `false`: both ranges are unchanged.
///
/// # Safety
///
/// Same as [`move_to`].
unsafe fn move_all(addr: *mut u8, old: usize, target: *mut u8, new: usize) -> bool {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let [from, to] = [addr, target].map(|place| place.expose_provenance());
    // SAFETY: the caller owns both ranges and does not use the old one again.
    if unsafe { syscall(libc::SYS_mremap, [from, old, new, flags as usize, to]) } == Ok(to) {
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
