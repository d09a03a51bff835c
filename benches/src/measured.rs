//! Runs a program and measures elapsed time, CPU time and memory.
//!
//! The kernel includes the memory of the forking process in the peak of the
//! program. A small program therefore has to do the forking: `preload-run`,
//! which calls [`run`].

use std::io::Read;
use std::mem::MaybeUninit;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Maximum length of a program's output that is kept.
const KEPT: usize = 1_000;

/// Cost and output of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// From before the start until after the exit.
    pub wall_s: f64,
    /// User and system time of all threads.
    pub cpu_s: f64,
    /// Peak resident memory.
    pub peak_kib: u64,
    /// Page faults that took no input.
    pub faults: u64,
    /// The beginning of its standard output.
    pub output: String,
}

/// Runs `command` to its end and expects success. If this process dies first,
/// the command is killed.
pub fn run(command: &mut Command) -> Result<Measured> {
    // SAFETY: a system call that is allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let mut printed = Vec::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_end(&mut printed)?;
    }
    let (status, usage) = wait(child.id())?;
    let wall_s = start.elapsed().as_secs_f64();
    if !status.success() {
        bail!("{status}");
    }
    printed.truncate(KEPT);
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Ok(Measured {
        wall_s,
        cpu_s: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        peak_kib: usage.ru_maxrss as u64,
        faults: usage.ru_minflt as u64,
        output: String::from_utf8_lossy(&printed).trim().to_owned(),
    })
}

/// Waits for a child to exit; returns its status and resource usage.
fn wait(pid: u32) -> Result<(ExitStatus, libc::rusage)> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are writable.
    while unsafe { libc::wait4(pid as i32, &mut status, 0, usage.as_mut_ptr()) } < 0 {
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error).context("wait4");
        }
    }
    // SAFETY: all zeros are a valid value, and the kernel has written it.
    Ok((ExitStatus::from_raw(status), unsafe { usage.assume_init() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Measured> {
        run(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn time_and_output_are_those_of_the_program() {
        let slept = shell("echo one; sleep 0.2; echo two").unwrap();
        assert_eq!(slept.output, "one\ntwo");
        assert!(slept.wall_s >= 0.2);
        let busy = shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done").unwrap();
        assert!(busy.cpu_s > slept.cpu_s);
        assert!(busy.peak_kib > 100 && busy.faults > 10);
    }

    #[test]
    fn a_bad_end_is_an_error() {
        assert!(shell("exit 3").unwrap_err().to_string().contains("exit status: 3"));
        assert!(shell("kill -SEGV $$").unwrap_err().to_string().contains("signal: 11"));
        let missing = run(&mut Command::new("/nowhere")).unwrap_err();
        assert!(missing.to_string().contains("/nowhere"));
    }
}
