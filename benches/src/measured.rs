//! Runs a program and measures time, memory and page faults of its process.
//!
//! The program is traced, but only stopped at its end: what is resident then,
//! how much of it are huge pages, and the peak are read from the kernel while
//! the memory is still there. So an unmodified program tells, too, which it
//! could not by a reading of its own; and the peak leaves out the process that
//! forked, which the kernel counts into what `wait4` reports. Nothing else of
//! the program is traced, and the time of the readings is subtracted.

use std::io::{self, Read};
use std::mem::{self, MaybeUninit};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::procfs::{self, Resident};

/// Maximum length of a program's output that is kept.
const KEPT: usize = 1_000;

/// Cost and output of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// From before the start until after the exit.
    pub wall_s: f64,
    /// Time of all threads in the program.
    pub user_s: f64,
    /// Time of all threads in the kernel.
    pub system_s: f64,
    /// The most that was resident.
    pub peak_kib: u64,
    /// Page faults that took no input.
    pub faults: u64,
    /// What was resident at the end.
    pub end_kib: u64,
    /// How much of that were huge pages of anonymous memory.
    pub huge_kib: u64,
    /// The beginning of its standard output.
    pub output: String,
}

/// What the kernel says of a process that has ended.
struct Ended {
    status: ExitStatus,
    usage: libc::rusage,
    /// None if it did not stop at its end.
    resident: Option<Resident>,
    /// How long the readings took.
    reading: Duration,
}

/// Runs `command` to its end, on these processors or else on any, and expects
/// success. If this process dies first, the command is killed.
pub fn run(command: &mut Command, cpus: &[usize]) -> Result<Measured> {
    let cpus = (!cpus.is_empty()).then(|| set_of(cpus));
    // SAFETY: system calls that are allowed between fork and exec.
    unsafe {
        command.pre_exec(move || {
            done(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            if let Some(cpus) = &cpus {
                done(libc::sched_setaffinity(0, size_of_val(cpus), cpus))?;
            }
            done(trace(libc::PTRACE_TRACEME, 0, 0) as i32)
        });
    }
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let mut output = child.stdout.take().context("no output")?;
    // On another thread, as only this one may continue what it traces.
    let printed = thread::spawn(move || -> io::Result<Vec<u8>> {
        let mut printed = Vec::new();
        output.read_to_end(&mut printed).map(|_| printed)
    });
    let ended = follow(child.id())?;
    let wall = start.elapsed().saturating_sub(ended.reading);
    let mut printed =
        printed.join().map_err(|_| anyhow::anyhow!("reading the output failed"))??;
    if !ended.status.success() {
        bail!("{}", ended.status);
    }
    printed.truncate(KEPT);
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    let resident = ended.resident.context("the program did not stop at its end")?;
    Ok(Measured {
        wall_s: wall.as_secs_f64(),
        user_s: seconds(ended.usage.ru_utime),
        system_s: seconds(ended.usage.ru_stime),
        peak_kib: resident.peak_bytes >> 10,
        faults: ended.usage.ru_minflt as u64,
        end_kib: resident.bytes >> 10,
        huge_kib: resident.huge_bytes >> 10,
        output: String::from_utf8_lossy(&printed).trim().to_owned(),
    })
}

/// The error of a system call that has failed.
fn done(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn set_of(cpus: &[usize]) -> libc::cpu_set_t {
    // SAFETY: all zeros are an empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for cpu in cpus {
        // SAFETY: the numbers were checked when they were parsed.
        unsafe { libc::CPU_SET(*cpu, &mut set) };
    }
    set
}

/// A request that takes no pointer.
fn trace(request: libc::c_uint, pid: u32, data: usize) -> i64 {
    let address: *mut libc::c_void = ptr::null_mut();
    // SAFETY: neither the address nor the data is one that the kernel follows.
    unsafe { libc::ptrace(request, pid as libc::pid_t, address, data) }
}

/// Follows a child that has asked to be traced until it has ended.
fn follow(pid: u32) -> Result<Ended> {
    let (mut resident, mut reading, mut begun) = (None, Duration::ZERO, false);
    loop {
        let (status, usage) = wait(pid)?;
        if !libc::WIFSTOPPED(status) {
            return Ok(Ended { status: ExitStatus::from_raw(status), usage, resident, reading });
        }
        let mut signal = libc::WSTOPSIG(status);
        if !begun {
            // It has called exec.
            let options =
                libc::PTRACE_O_TRACEEXIT | libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL;
            done(trace(libc::PTRACE_SETOPTIONS, pid, options as usize) as i32)
                .context("PTRACE_SETOPTIONS")?;
            (begun, signal) = (true, 0);
        } else if status >> 16 == libc::PTRACE_EVENT_EXIT {
            let start = Instant::now();
            resident = Some(procfs::resident(pid)?);
            reading += start.elapsed();
            signal = 0;
        } else if status >> 16 != 0 {
            signal = 0;
        }
        // If it was killed meanwhile, the next wait says so.
        trace(libc::PTRACE_CONT, pid, signal as usize);
    }
}

/// Waits for a child to stop or to exit; returns its status and resource usage.
fn wait(pid: u32) -> Result<(i32, libc::rusage)> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are writable.
    while unsafe { libc::wait4(pid as i32, &mut status, 0, usage.as_mut_ptr()) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error).context("wait4");
        }
    }
    // SAFETY: all zeros are a valid value, and the kernel has written it.
    Ok((status, unsafe { usage.assume_init() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Measured> {
        run(Command::new("sh").args(["-c", script]), &[])
    }

    #[test]
    fn time_and_output_are_those_of_the_program() {
        let slept = shell("echo one; sleep 0.2; echo two").unwrap();
        assert_eq!(slept.output, "one\ntwo");
        assert!(slept.wall_s >= 0.2);
        let busy = shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done").unwrap();
        assert!(busy.user_s + busy.system_s > slept.user_s + slept.system_s);
        assert!(busy.peak_kib > 100 && busy.faults > 10);
    }

    #[test]
    fn memory_is_that_of_the_program_at_its_end() {
        let own = procfs::resident(std::process::id()).unwrap();
        let small = shell("true").unwrap();
        assert!(small.end_kib > 100 && small.end_kib <= small.peak_kib, "{small:?}");
        // The peak of this process, which forked, is not in it.
        assert!(small.peak_kib << 10 < own.peak_bytes, "{small:?} {own:?}");
    }

    #[test]
    fn signals_and_other_programs_of_the_process_pass() {
        let script = "trap 'echo caught' USR1; kill -USR1 $$; exec sh -c 'echo other'";
        assert_eq!(shell(script).unwrap().output, "caught\nother");
    }

    #[test]
    fn a_program_can_be_kept_on_a_processor() {
        let allowed = "grep Cpus_allowed_list /proc/self/status";
        let kept = run(Command::new("sh").args(["-c", allowed]), &[0]).unwrap();
        assert_eq!(kept.output.split_whitespace().last(), Some("0"));
    }

    #[test]
    fn a_bad_end_is_an_error() {
        assert!(shell("exit 3").unwrap_err().to_string().contains("exit status: 3"));
        assert!(shell("kill -SEGV $$").unwrap_err().to_string().contains("signal: 11"));
        let missing = run(&mut Command::new("/nowhere"), &[]).unwrap_err();
        assert!(missing.to_string().contains("/nowhere"));
    }
}
