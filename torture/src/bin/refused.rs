//! The workload whose system calls a tracer lets fail: those that the allocator makes, which
//! are those of this program's own code. A filter of the kernel's has it stop for the tracer
//! at each.

use std::fs;
use std::process::ExitCode;

use torture::workload;

/// Where what a filter sees has the number of the call, and the address it was made from.
const NUMBER: u32 = 0;
const ADDRESS: u32 = 8;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

const fn step(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// The addresses of the program's code.
fn code() -> Option<[u64; 2]> {
    let program = std::env::current_exe().ok()?;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| {
        line.contains(" r-xp ") && program.to_str().is_some_and(|name| line.ends_with(name))
    })?;
    let (from, rest) = line.split_once('-')?;
    let (to, _) = rest.split_once(' ')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some([number(from)?, number(to)?])
}

/// Has the kernel stop for the tracer at the calls of this program's code, and at the one
/// that is for the tracer.
fn stop_at_calls() -> Option<()> {
    let [from, to] = code()?;
    // The tracer has put the program where both have the same upper half.
    let (high, low, end) = ((from >> 32) as u32, from as u32, to as u32);
    assert_eq!(high, (to >> 32) as u32);
    let mut program = [
        step(LOAD, NUMBER, 0, 0),
        step(IF_LEAST, workload::CALM as u32, 5, 0),
        step(LOAD, ADDRESS + 4, 0, 0),
        step(IF_EQUAL, high, 0, 4),
        step(LOAD, ADDRESS, 0, 0),
        step(IF_LEAST, end, 2, 0),
        step(IF_LEAST, low, 0, 1),
        step(RETURN, libc::SECCOMP_RET_TRACE, 0, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program is well formed, and the kernel copies it.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    installed.then_some(())
}

fn main() -> ExitCode {
    if stop_at_calls().is_none() {
        eprintln!("no filter");
        return ExitCode::FAILURE;
    }
    workload::run();
    ExitCode::SUCCESS
}
