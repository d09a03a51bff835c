//! The memory of another process. The system copies it; the process does nothing, and need not
//! even run.

use std::io;

use libc::iovec;

use crate::problem::Problem;

/// Most ranges of one call: the system's limit.
const MOST: usize = 1024;

/// Most bytes that are read at once. Nothing here is as large.
const BYTES: usize = 64 << 20;

pub(crate) struct Memory {
    pub(crate) pid: i32,
}

/// Some bytes of a process.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub(crate) at: usize,
    pub(crate) bytes: usize,
}

impl Memory {
    /// Reads all ranges, in their order, at nearly the same time.
    ///
    /// # Errors
    /// A range is not mapped, or may not be read.
    pub(crate) fn read(&self, ranges: &[Range]) -> Result<Vec<Vec<u8>>, Problem> {
        let total = ranges.iter().try_fold(0_usize, |sum, range| sum.checked_add(range.bytes));
        if total.is_none_or(|total| total > BYTES) {
            return Err(Problem::Damaged(self.pid));
        }
        let mut read: Vec<Vec<u8>> = ranges.iter().map(|range| vec![0; range.bytes]).collect();
        for (ranges, read) in ranges.chunks(MOST).zip(read.chunks_mut(MOST)) {
            self.read_some(ranges, read)?;
        }
        Ok(read)
    }

    fn read_some(&self, ranges: &[Range], read: &mut [Vec<u8>]) -> Result<(), Problem> {
        let local: Vec<iovec> = read
            .iter_mut()
            .map(|bytes| iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() })
            .collect();
        let remote: Vec<iovec> = ranges
            .iter()
            .map(|range| iovec {
                iov_base: std::ptr::without_provenance_mut(range.at),
                iov_len: range.bytes,
            })
            .collect();
        let counts = [local.len(), remote.len()].map(|count| count as libc::c_ulong);
        // SAFETY: the local ranges are the vectors in `read`, which nobody else uses. The remote
        // ones are addresses of another process, where the system checks them.
        let copied = unsafe {
            libc::process_vm_readv(
                self.pid,
                local.as_ptr(),
                counts[0],
                remote.as_ptr(),
                counts[1],
                0,
            )
        };
        let wanted: usize = ranges.iter().map(|range| range.bytes).sum();
        match usize::try_from(copied) {
            Ok(copied) if copied == wanted => Ok(()),
            Ok(_) => Err(Problem::Damaged(self.pid)),
            Err(_) => Err(self.failed(io::Error::last_os_error())),
        }
    }

    fn failed(&self, error: io::Error) -> Problem {
        let pid = self.pid;
        match error.raw_os_error() {
            Some(libc::ESRCH) => Problem::Ended(pid),
            Some(libc::EPERM) => Problem::Denied { pid, is_own: crate::process::is_own(pid) },
            Some(libc::EFAULT) => Problem::Damaged(pid),
            _ => Problem::System { what: format!("reading process {pid}"), error },
        }
    }

    /// Reads one range.
    ///
    /// # Errors
    /// As [`Memory::read`].
    pub(crate) fn one(&self, at: usize, bytes: usize) -> Result<Vec<u8>, Problem> {
        Ok(self.read(&[Range { at, bytes }])?.remove(0))
    }
}

/// The words of 64 bits in a range.
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = usize> {
    bytes.as_chunks().0.iter().map(|word| usize::from_ne_bytes(*word))
}

/// The words of 32 bits in a range.
pub(crate) fn halves(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word))
}
