//! The auxiliary vector: what the kernel passed to the process at its start.

use super::file::read_file;
use super::syscall::syscall;
use core::ffi::CStr;

/// The call that copies the vector (Linux 6.4).
const PR_GET_AUXV: usize = 0x4155_5856;
/// The file that holds it, for older kernels.
const FILE: &CStr = c"/proc/self/auxv";

/// Size of a word, and of an entry: a kind and a value.
const WORD: usize = size_of::<usize>();
const ENTRY: usize = 2 * WORD;
/// More entries than any kernel has.
const ENTRIES: usize = 64;

/// The value of the entry of this kind; `None` if it is missing, or the kernel
/// does not show the vector.
pub(super) fn value(kind: usize) -> Option<usize> {
    let mut vector = [0; ENTRIES * ENTRY];
    let len = copy(&mut vector).or_else(|| read_file(FILE, &mut vector).ok())?;
    let entries = vector.get(..len)?.chunks_exact(ENTRY).map(|entry| entry.split_at(WORD));
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, usize::from_ne_bytes);
    entries
        .map(|(kind, value)| (word(kind), word(value)))
        .find(|(at, _)| *at == kind)
        .map(|it| it.1)
}

/// Copies the vector by a call without a file. Returns its length.
fn copy(vector: &mut [u8]) -> Option<usize> {
    let args = [PR_GET_AUXV, vector.as_mut_ptr().expose_provenance(), vector.len(), 0, 0];
    // SAFETY: the kernel writes at most `vector.len()` bytes.
    let len = unsafe { syscall(libc::SYS_prctl, args) }.ok()?;
    Some(len.min(vector.len())).filter(|len| *len != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_give_the_same_vector() {
        let (mut copied, mut read) = ([0; ENTRIES * ENTRY], [0; ENTRIES * ENTRY]);
        assert!(read_file(FILE, &mut read).is_ok());
        if copy(&mut copied).is_some() {
            assert_eq!(copied, read);
        }
    }

    #[test]
    fn values_are_the_c_librarys() {
        for kind in [libc::AT_PAGESZ, libc::AT_SECURE, libc::AT_ENTRY, libc::AT_EUID] {
            // SAFETY: takes a number.
            let expected = unsafe { libc::getauxval(kind) };
            assert_eq!(value(kind as usize), Some(expected as usize), "{kind}");
        }
        assert_eq!(value(9999), None);
    }
}
