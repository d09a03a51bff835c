//! The page size.

/// Page size in bytes: a power of two, 4, 16 or 64 KiB.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn page_size() -> usize {
    4096
}

/// Page size in bytes: a power of two, 4, 16 or 64 KiB. The first call asks the
/// kernel.
#[cfg(target_arch = "aarch64")]
pub fn page_size() -> usize {
    static SIZE: once_cell::race::OnceNonZeroUsize = once_cell::race::OnceNonZeroUsize::new();
    SIZE.get_or_init(asked::page_size).get()
}

/// For processors whose pages have several sizes.
#[cfg(any(test, target_arch = "aarch64"))]
mod asked {
    use crate::linux::syscall::syscall;
    use core::num::NonZeroUsize;

    /// Page sizes but for the largest.
    const SIZES: [usize; 2] = [4 << 10, 16 << 10];
    const LARGEST: NonZeroUsize = NonZeroUsize::new(64 << 10).unwrap();

    /// The page size that the kernel uses. It does not accept advice about an
    /// address within a page, not even for 0 bytes.
    ///
    /// Where all advice is refused, it is the largest: what is right for that is right
    /// for the others.
    pub(super) fn page_size() -> NonZeroUsize {
        let whole = |size: &usize| {
            let args = [*size, 0, libc::MADV_NORMAL as usize];
            // SAFETY: advice about no bytes changes nothing.
            unsafe { syscall(libc::SYS_madvise, args) }.is_ok()
        };
        SIZES.into_iter().find(whole).and_then(NonZeroUsize::new).unwrap_or(LARGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_gives_its_page_size_away() {
        assert_eq!(asked::page_size().get(), page_size());
    }
}
