//! Runs the workload, and answers some of the system calls of its allocator with an error. A
//! call is known by its site: what it is, and the functions that lead to it.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::io::Read;
use std::mem;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::ptr;
use std::time::{Duration, Instant};

use libc::{c_int, pid_t, user_regs_struct};
use torture::workload;

/// Where a system call is made: its number, its address in the program, and those that the
/// functions around it return to, up to so many.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Site {
    pub(crate) call: i64,
    pub(crate) places: Vec<u64>,
}

/// Addresses of a site.
const PLACES: usize = 5;

/// Which calls fail, until the workload wants no more of that.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) calls: Calls,
    /// Calls before the first that fails.
    pub(crate) after: usize,
    pub(crate) forever: bool,
    pub(crate) errno: c_int,
}

#[derive(Clone, Debug)]
pub(crate) enum Calls {
    /// Those of one site.
    Of(Site),
    /// All of a number.
    All(i64),
}

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// How often a call was made at each site, before the workload wanted no more failures.
    pub(crate) sites: BTreeMap<Site, usize>,
    /// Calls that failed.
    pub(crate) failed: usize,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Where the kernel puts a program, without randomization: nothing else is near.
const CODE: std::ops::Range<u64> = 0x5555_5000_0000..0x5556_0000_0000;

/// Runs the workload. The calling thread has no other children.
pub(crate) fn run(program: &Path, plan: Option<&Plan>) -> Ended {
    let mut command = Command::new(program);
    // Of the C library's memory there is as much each time.
    command.env("MALLOC_ARENA_MAX", "1").env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: plain system calls.
    unsafe {
        command.pre_exec(|| {
            libc::personality(libc::ADDR_NO_RANDOMIZE as _);
            match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let mut child = command.spawn().expect("the program starts");
    let mut traced = Traced { plan, sites: BTreeMap::new(), failed: 0, seen: 0, calm: false };
    let status = traced.follow(child.id() as pid_t);
    // It has been waited for: this fails.
    let _ = child.wait();
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().map(|mut it| it.read_to_string(&mut out));
    child.stderr.take().map(|mut it| it.read_to_string(&mut err));
    Ended { status, sites: traced.sites, failed: traced.failed, out, err }
}

/// A program that takes longer hangs. The alarm of its own ends it only where it lets signals
/// through.
const LONGEST: Duration = Duration::from_secs(60);

struct Traced<'a> {
    plan: Option<&'a Plan>,
    sites: BTreeMap<Site, usize>,
    failed: usize,
    /// Calls that the plan names.
    seen: usize,
    calm: bool,
}

impl Traced<'_> {
    /// Follows the program and all of its tasks to its end.
    fn follow(&mut self, first: pid_t) -> ExitStatus {
        let (begin, mut begun) = (Instant::now(), false);
        let mut status = 0;
        loop {
            let mut raw = 0;
            // SAFETY: waits for the calling thread's own.
            let task = unsafe { libc::waitpid(-1, &raw mut raw, libc::__WALL | libc::__WNOTHREAD) };
            if task < 0 {
                return ExitStatus::from_raw(status);
            }
            if !libc::WIFSTOPPED(raw) {
                if task == first {
                    status = raw;
                }
                continue;
            }
            if task == first && !mem::replace(&mut begun, true) {
                let options = libc::PTRACE_O_TRACESECCOMP
                    | libc::PTRACE_O_TRACECLONE
                    | libc::PTRACE_O_TRACEFORK
                    | libc::PTRACE_O_TRACEVFORK
                    | libc::PTRACE_O_EXITKILL;
                // SAFETY: the task is stopped.
                unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, task, 0, options) };
                go_on(task, 0);
                continue;
            }
            match (libc::WSTOPSIG(raw), raw >> 16) {
                (libc::SIGTRAP, libc::PTRACE_EVENT_SECCOMP) => {
                    if begin.elapsed() > LONGEST {
                        // SAFETY: ends the program.
                        unsafe { libc::kill(first, libc::SIGKILL) };
                    }
                    self.call(task);
                    go_on(task, 0);
                }
                (libc::SIGTRAP, event) if event != 0 => go_on(task, 0),
                // A new task begins so.
                (libc::SIGSTOP, _) => go_on(task, 0),
                (signal, _) => go_on(task, signal),
            }
        }
    }

    /// A task is about to make a call.
    fn call(&mut self, task: pid_t) {
        // SAFETY: plain numbers.
        let mut registers: user_regs_struct = unsafe { mem::zeroed() };
        // SAFETY: the task is stopped, and the kernel fills the registers.
        let read = unsafe { libc::ptrace(libc::PTRACE_GETREGS, task, 0, &raw mut registers) };
        if read != 0 {
            return;
        }
        let number = registers.orig_rax as i64;
        if number == workload::CALM {
            self.calm = true;
            return answer(task, registers, 0);
        }
        if self.calm || is_never_refused(&registers) {
            return;
        }
        let site = Site { call: number, places: places(task, &registers) };
        if let Some(plan) = self.plan {
            let named = match &plan.calls {
                Calls::Of(wanted) => *wanted == site,
                Calls::All(wanted) => *wanted == number,
            };
            if named {
                self.seen += 1;
                let over = self.seen > plan.after;
                if over && (plan.forever || self.failed == 0) {
                    self.failed += 1;
                    answer(task, registers, -i64::from(plan.errno));
                }
            }
        }
        *self.sites.entry(site).or_default() += 1;
    }
}

/// Whether the kernel has no reason to refuse a call, and a sandbox that did would break every
/// program: the end of a task, and waking waiters.
fn is_never_refused(registers: &user_regs_struct) -> bool {
    match registers.orig_rax as i64 {
        libc::SYS_exit => true,
        libc::SYS_futex => registers.rsi as c_int & libc::FUTEX_CMD_MASK != libc::FUTEX_WAIT,
        _ => false,
    }
}

/// Answers a call in the kernel's place.
fn answer(task: pid_t, mut registers: user_regs_struct, answer: i64) {
    registers.orig_rax = u64::MAX;
    registers.rax = answer as u64;
    // SAFETY: the task is stopped.
    unsafe { libc::ptrace(libc::PTRACE_SETREGS, task, 0, &raw const registers) };
}

fn go_on(task: pid_t, signal: c_int) {
    // SAFETY: the task is stopped.
    unsafe { libc::ptrace(libc::PTRACE_CONT, task, 0, signal) };
}

/// The address of a call, and those that the functions around it return to, by their frame
/// pointers.
fn places(task: pid_t, registers: &user_regs_struct) -> Vec<u64> {
    let mut places = vec![registers.rip];
    let mut frame = registers.rbp;
    while places.len() < PLACES {
        let mut words = [0_u64; 2];
        let size = size_of_val(&words);
        let here = libc::iovec { iov_base: (&raw mut words).cast::<c_void>(), iov_len: size };
        let there =
            libc::iovec { iov_base: ptr::without_provenance_mut(frame as usize), iov_len: size };
        // SAFETY: fills the words.
        let got =
            unsafe { libc::process_vm_readv(task, &raw const here, 1, &raw const there, 1, 0) };
        let [before, back] = words;
        if got != size as isize || !CODE.contains(&back) {
            break;
        }
        places.push(back);
        frame = before;
    }
    places
}
