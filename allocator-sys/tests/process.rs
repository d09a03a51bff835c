//! Behaviour that needs a fresh process or can only be observed from outside:
//! each case runs in a process of its own.

mod probe;

use std::ffi::{c_int, c_long, c_void};
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::sync::atomic::{AtomicI32, Ordering};

/// Environment variable with the case that a process has to run.
const CASE: &str = "STRATA_TEST_CASE";

/// Runs one case of [`the_case`] in a fresh process.
fn run(case: &str) -> Output {
    let mut command = probe::this_program();
    command.args(["--exact", "the_case", "--nocapture", "--test-threads=1"]);
    command.env(CASE, case).output().unwrap()
}

/// Runs the case given in the environment, if any.
#[test]
fn the_case() {
    match std::env::var(CASE).as_deref() {
        Ok("abort") => {
            allocator_sys::write_stderr("message: gräßlich\n".as_bytes());
            allocator_sys::abort();
        }
        Ok("abort blocked") => abort_with(libc::SIG_DFL, true),
        Ok("abort ignored") => abort_with(libc::SIG_IGN, false),
        Ok("abort handled") => abort_with(say_handled as extern "C" fn(c_int) as usize, true),
        Ok("purge lies") => purge_where_the_kernel_lies(),
        Ok("no fixed mappings") => map_where_it_must_be_a_hint(),
        Ok("mappings are hints") => map_on_another_kernel(0),
        Ok("mappings replace") => map_on_another_kernel(libc::MAP_FIXED),
        Ok("linux 4.18") => run_on_an_old_kernel(),
        Ok("closed") => write_to_closed_stderr(),
        Ok("unarmed") => arm_too_early(),
        Ok("limit") => run_into_the_limit(),
        Ok("descriptors") => use_up_descriptors(),
        _ => {}
    }
}

/// Aborts with a disposition for `SIGABRT`, which may be blocked.
fn abort_with(handler: libc::sighandler_t, blocked: bool) -> ! {
    // SAFETY: reads the set; the handler only writes.
    unsafe {
        assert_ne!(libc::signal(libc::SIGABRT, handler), libc::SIG_ERR);
        let mut set = std::mem::zeroed();
        libc::sigaddset(&raw mut set, libc::SIGABRT);
        let how = if blocked { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
    allocator_sys::abort()
}

/// A handler that returns.
extern "C" fn say_handled(_signal: c_int) {
    allocator_sys::write_stderr(b"handled\n");
}

/// From now on the kernel answers these calls with an error number, or with
/// success if that is 0, and does nothing: calls with this number, if these bits
/// of the argument have this value.
fn answer_instead(number: c_long, argument: u32, value: (u32, u32), error: u32) {
    filter(number, argument, value, libc::SECCOMP_RET_ERRNO | error);
}

/// From now on the kernel does this instead of these calls.
fn filter(number: c_long, argument: u32, (bits, value): (u32, u32), action: u32) {
    let statement = |code: u32, k: u32| (code as u16, 0, 0, k);
    let filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        (libc::BPF_JMP as u16 | libc::BPF_JEQ as u16, 0, 4, number as u32),
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 16 + 8 * argument),
        statement(libc::BPF_ALU | libc::BPF_AND, bits),
        (libc::BPF_JMP as u16 | libc::BPF_JEQ as u16, 0, 1, value),
        statement(libc::BPF_RET, action),
        statement(libc::BPF_RET, libc::SECCOMP_RET_ALLOW),
    ];
    let mut filter = filter.map(|(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k });
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: reads the program.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0);
    }
}

/// Two committed pages.
fn two_pages() -> (*mut u8, usize) {
    let page = probe::page();
    let at = allocator_sys::reserve(2 * page).unwrap().as_ptr();
    // SAFETY: just reserved.
    assert!(unsafe { allocator_sys::commit(at, 2 * page) });
    (at, page)
}

/// Where purging answers success and keeps the contents, it is refused.
fn purge_where_the_kernel_lies() {
    let (at, page) = two_pages();
    // SAFETY: committed above.
    unsafe {
        probe::fill(at, 2 * page, 7);
        probe::errno_kept(|| allocator_sys::check_kernel(at));
        assert!(probe::holds(at, page, 0), "zero on a kernel that does as it says");
        assert!(allocator_sys::purge(at, page));
        answer_instead(libc::SYS_madvise, 2, (!0, libc::MADV_DONTNEED as u32), 0);
        probe::fill(at, page, 7);
        assert!(allocator_sys::purge(at, page) && probe::holds(at, page, 7));
        probe::errno_kept(|| allocator_sys::check_kernel(at));
        assert!(*at == 0);
        assert!(!allocator_sys::purge(at, page));
        assert!(probe::holds(at.wrapping_add(page), page, 7));
    }
}

/// Where no address can be insisted on, mappings still replace nothing.
fn map_where_it_must_be_a_hint() {
    let (at, page) = two_pages();
    let flag = libc::MAP_FIXED_NOREPLACE as u32;
    answer_instead(libc::SYS_mmap, 3, (flag, flag), libc::EOPNOTSUPP as u32);
    let free = probe::free_addresses(2);
    // SAFETY: committed above, and whole pages.
    unsafe {
        let refused = Err(allocator_sys::MapError::NoMemory);
        assert_eq!(allocator_sys::map_at(free, page), refused);
        probe::errno_kept(|| allocator_sys::check_kernel(at));
        probe::fill(at, 2 * page, 7);
        assert_eq!(probe::errno_kept(|| allocator_sys::map_at(free, page)), Ok(()));
        assert_eq!(allocator_sys::reserve_at(free.wrapping_add(page), page), Ok(()));
        let taken = Err(allocator_sys::MapError::Taken);
        assert_eq!(probe::errno_kept(|| allocator_sys::map_at(at, page)), taken);
        assert_eq!(allocator_sys::reserve_at(at.wrapping_add(page), page), taken);
        assert!(probe::holds(at, 2 * page, 7));
    }
}

/// Flags of a mapping on the other kernel, instead of `MAP_FIXED_NOREPLACE`.
static INSTEAD: AtomicI32 = AtomicI32::new(0);

/// Where a mapping may replace another one although it was asked not to, or where
/// the address was always a hint, none is replaced.
fn map_on_another_kernel(instead: c_int) {
    INSTEAD.store(instead, Ordering::SeqCst);
    let (at, page) = two_pages();
    // SAFETY: the handler only makes a system call.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = map_otherwise as extern "C" fn(_, _, _) as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()), 0);
    }
    let flag = libc::MAP_FIXED_NOREPLACE as u32;
    filter(libc::SYS_mmap, 3, (flag, flag), libc::SECCOMP_RET_TRAP);
    let free = probe::free_addresses(1);
    // SAFETY: committed above, and whole pages.
    unsafe {
        allocator_sys::check_kernel(at);
        probe::fill(at, 2 * page, 7);
        assert_eq!(allocator_sys::map_at(free, page), Ok(()));
        let taken = Err(allocator_sys::MapError::Taken);
        assert_eq!(allocator_sys::map_at(at, page), taken);
        assert_eq!(allocator_sys::reserve_at(at.wrapping_add(page), page), taken);
        assert!(probe::holds(at, 2 * page, 7));
    }
}

/// Makes a system call for mapping, with other flags.
#[cfg(target_arch = "x86_64")]
extern "C" fn map_otherwise(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes the registers of the call; its answer goes into
    // one of them.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let argument = |register: c_int| registers[register as usize];
        let flags = argument(libc::REG_R10) & !i64::from(libc::MAP_FIXED_NOREPLACE)
            | i64::from(INSTEAD.load(Ordering::SeqCst));
        let answer = libc::syscall(
            libc::SYS_mmap,
            argument(libc::REG_RDI),
            argument(libc::REG_RSI),
            argument(libc::REG_RDX),
            flags,
            argument(libc::REG_R8),
            argument(libc::REG_R9),
        );
        registers[libc::REG_RAX as usize] = answer;
    }
}

/// Makes a system call for mapping, with other flags.
#[cfg(target_arch = "aarch64")]
extern "C" fn map_otherwise(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes the registers of the call; its answer goes into
    // one of them.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.regs;
        let [at, size, access, flags, file, offset, ..] = *registers;
        let flags =
            flags & !(libc::MAP_FIXED_NOREPLACE as u64) | INSTEAD.load(Ordering::SeqCst) as u64;
        let answer = libc::syscall(libc::SYS_mmap, at, size, access, flags, file, offset);
        registers[0] = answer as u64;
    }
}

/// Without what came after Linux 4.18, the calls that use it still work, or
/// refuse.
fn run_on_an_old_kernel() {
    const MADV_COLLAPSE: u32 = 25;
    const PR_GET_AUXV: u32 = 0x4155_5856;
    let read = || {
        let mut value = None;
        probe::errno_kept(|| {
            allocator_sys::with_environment(c"STRATA_TEST_CASE", |text| {
                value = text.map(Vec::from)
            });
        });
        value
    };
    let set = Some(b"linux 4.18".to_vec());
    assert_eq!(read(), set);
    answer_instead(libc::SYS_prctl, 0, (!0, PR_GET_AUXV), libc::EINVAL as u32);
    answer_instead(libc::SYS_madvise, 2, (!0, MADV_COLLAPSE), libc::EINVAL as u32);
    let (at, page) = two_pages();
    // SAFETY: committed above.
    unsafe {
        probe::fill(at, 2 * page, 7);
        assert!(!probe::errno_kept(|| allocator_sys::collapse(at, page)));
        assert!(probe::holds(at, 2 * page, 7));
    }
    assert_eq!(read(), set, "from /proc/self/auxv");
    answer_instead(libc::SYS_openat, 0, (0, 0), libc::ENOENT as u32);
    assert_eq!(read(), set, "by comparing users and groups");
    answer_instead(libc::SYS_geteuid, 0, (0, 0), libc::ENOSYS as u32);
    assert_eq!(read(), None, "perhaps it is privileged");
}

/// Writing to a closed standard error has no effect.
fn write_to_closed_stderr() {
    // SAFETY: no one else uses the descriptor in this process.
    unsafe { libc::close(libc::STDERR_FILENO) };
    probe::errno_kept(|| allocator_sys::write_stderr(b"lost"));
}

/// Arming fails as long as no exit function is registered.
fn arm_too_early() {
    let value = std::ptr::dangling_mut();
    assert!(!probe::errno_kept(|| allocator_sys::arm_thread_exit(value)));
}

/// The limit is reported, and enforced by the system.
fn run_into_the_limit() {
    let bytes = 4 << 30;
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: reads the limit.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(set, 0);
    let bytes = bytes as usize;
    assert_eq!(allocator_sys::address_limit(), Some(bytes));
    assert_eq!(probe::errno_kept(|| allocator_sys::reserve(bytes)), None);
    let at = probe::free_addresses(bytes / probe::page() / 8);
    // SAFETY: whole pages.
    let mapped = probe::errno_kept(|| unsafe { allocator_sys::map_at(at, bytes) });
    assert_eq!(mapped, Err(allocator_sys::MapError::NoMemory));
}

/// When descriptors run out, a file does not count as absent, and no descriptor
/// leaks.
fn use_up_descriptors() {
    let mut text = [0; 64];
    let mut read = || probe::errno_kept(|| allocator_sys::read_file(c"/proc/self/comm", &mut text));
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: reads the limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    for _ in 0..200 {
        assert!(read().is_ok());
    }
    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/proc/self/comm") {
        files.push(file);
    }
    assert_eq!(read(), Err(allocator_sys::FileError::NoRoom));
    drop(files);
    assert!(read().is_ok());
}

#[test]
fn messages_are_written_before_the_abort() {
    let output = run("abort");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("message: gräßlich\n"), "{text}");
}

#[test]
fn an_abort_ends_the_process_whatever_is_set_for_the_signal() {
    for (case, told) in [("abort blocked", 0), ("abort ignored", 0), ("abort handled", 1)] {
        let output = run(case);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{case}: {output:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(text.matches("handled").count(), told, "{case}: {text}");
    }
}

#[test]
fn cases_in_fresh_processes_pass() {
    let cases = [
        "closed",
        "unarmed",
        "limit",
        "descriptors",
        "purge lies",
        "no fixed mappings",
        "mappings are hints",
        "mappings replace",
        "linux 4.18",
    ];
    for case in cases {
        let output = run(case);
        assert!(output.status.success(), "{case}: {output:?}");
    }
}
