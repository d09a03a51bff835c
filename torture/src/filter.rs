//! System calls that fail in one thread, and in those that it starts: by a filter that
//! stays until the thread ends.

use libc::{SYS_madvise, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_munmap};

/// Which calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Filter(u8);

/// The calls; each has a bit in a filter.
const CALLS: [i64; 5] = [SYS_mmap, SYS_munmap, SYS_madvise, SYS_mremap, SYS_mprotect];

/// A bit of a filter: only calls for an odd chunk fail.
const ODD: u8 = 1 << 7;

const CHUNK_BIT: u32 = 1 << 21;

/// The upper half of addresses where the kernel puts the stacks of the C library, and
/// Strata's window has not grown to.
const HIGH: u32 = if cfg!(target_arch = "x86_64") { 0x7000 } else { 0xf000 };

/// Offsets in what a filter sees: the number of the call, and its first argument.
const NUMBER: u32 = 0;
const ADDRESS: u32 = 16;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const IF_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

const fn step(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

impl Filter {
    /// The filter for a byte; every byte has one.
    pub(crate) fn new(bits: u8) -> Filter {
        let calls = bits & ((1 << CALLS.len()) - 1);
        Filter(if calls == 0 { bits | 1 } else { bits })
    }

    /// The byte, for [`Filter::new`].
    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    /// Puts the filter on the calling thread. False where there are no filters.
    pub(crate) fn install(self) -> bool {
        let calls: Vec<i64> =
            (0..CALLS.len()).filter(|bit| self.0 & (1 << bit) != 0).map(|bit| CALLS[bit]).collect();
        let mut program = vec![step(LOAD, NUMBER, 0, 0)];
        for (n, call) in calls.iter().enumerate() {
            // Over the other calls and the return; and over the three steps for `munmap`.
            let over = calls.len() - n + if *call == SYS_munmap { 0 } else { 3 };
            program.push(step(IF_EQUAL, *call as u32, over as u8, 0));
        }
        program.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
        // The C library ends the process if it cannot unmap a stack.
        program.push(step(LOAD, ADDRESS + 4, 0, 0));
        program.push(step(IF_LEAST, HIGH, 0, 1));
        program.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
        if self.0 & ODD != 0 {
            program.push(step(LOAD, ADDRESS, 0, 0));
            program.push(step(IF_SET, CHUNK_BIT, 1, 0));
            program.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
        }
        let error = libc::SECCOMP_RET_ERRNO | libc::ENOMEM as u32;
        program.push(step(RETURN, error, 0, 0));
        let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // SAFETY: the program is well formed, and the kernel copies it.
        unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
                    == 0
        }
    }
}
