// The helper's task. Included by `contract.rs`, like `cases.rs`.

use crate::probe::{ONE_TASK, errno_kept};
use std::sync::atomic::{AtomicU32, Ordering};

/// What the task of [`in_a_task`] is told, plus one; 0 until it runs.
static TOLD: AtomicU32 = AtomicU32::new(0);

/// 1: the task ends.
static END: AtomicU32 = AtomicU32::new(0);

extern "C" fn body(own_files: bool) {
    TOLD.store(1 + u32::from(own_files), Ordering::Release);
    while END.load(Ordering::Acquire) == 0 {
        allocator_sys::futex_wait_for(&END, 0, 1000);
    }
}

/// Runs `f` with the lines of `/proc/self/task/*/status` of a helper's task.
fn in_a_task(f: impl FnOnce(&str)) {
    let _one = ONE_TASK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    TOLD.store(0, Ordering::Relaxed);
    END.store(0, Ordering::Relaxed);
    let word = allocator_sys::ThreadWord { offset: -64, value: 7 };
    assert!(errno_kept(|| sys::start_task(body, word)));
    while TOLD.load(Ordering::Acquire) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(TOLD.load(Ordering::Acquire), 2, "it has no table of descriptors");
    assert!(allocator_sys::task_runs() && !sys::start_task(body, word), "one at a time");
    let tasks = || std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let status = |task: std::path::PathBuf| std::fs::read_to_string(task.join("status"));
    let found = tasks().filter_map(|task| status(task).ok()).find(|text| text.contains("strata\n"));
    f(&found.expect("the task"));
    END.store(1, Ordering::Release);
    allocator_sys::futex_wake(&END, 1);
    allocator_sys::wait_for_task();
    assert!(!allocator_sys::task_runs());
}

fn line<'a>(status: &'a str, name: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

#[test]
fn the_helper_has_its_name_and_neither_signals_nor_privileges() {
    in_a_task(|status| {
        assert_eq!(line(status, "Name:"), "strata");
        // All but SIGKILL and SIGSTOP, which nobody can block.
        assert_eq!(line(status, "SigBlk:"), "fffffffffffbfeff");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(line(status, set), "0000000000000000", "{set}");
        }
        // SAFETY: asks only.
        if unsafe { libc::geteuid() } == 0 {
            assert!(line(status, "Uid:").split_whitespace().all(|id| id == "65534"), "{status}");
            assert!(line(status, "Gid:").split_whitespace().all(|id| id == "65534"), "{status}");
            assert_eq!(line(status, "Groups:"), "");
        }
    });
    // SAFETY: asks only.
    assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 1);
}

#[test]
fn the_helper_holds_no_descriptor() {
    let (mut ends, pipe) = ([0; 2], |ends: &mut [i32; 2]| {
        // SAFETY: writes two descriptors.
        assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    });
    pipe(&mut ends);
    in_a_task(|status| {
        let id = line(status, "Pid:");
        let held = std::fs::read_dir(format!("/proc/self/task/{id}/fd"));
        // As root, the folder can be read; it is the task's own table.
        if let Ok(held) = held {
            assert_eq!(held.count(), 0);
        }
        // SAFETY: the ends are ours; the last writer closes the pipe.
        unsafe {
            libc::close(ends[1]);
            assert_eq!(libc::read(ends[0], [0u8].as_mut_ptr().cast(), 1), 0, "no end of file");
            libc::close(ends[0]);
        }
    });
}

#[test]
fn the_helper_is_scheduled_as_usual() {
    std::thread::spawn(|| {
        // SAFETY: changes this thread alone; all zero is a valid set.
        unsafe {
            let mut one: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(0, &mut one);
            assert!(sys::cpu_count() >= 1);
            libc::sched_setaffinity(0, size_of_val(&one), &raw const one);
            let param = libc::sched_param { sched_priority: 1 };
            // Without the right to, the thread stays as it is.
            libc::sched_setscheduler(0, libc::SCHED_RR, &raw const param);
            libc::setpriority(libc::PRIO_PROCESS, 0, -5);
        }
        in_a_task(|status| {
            let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let all = std::fs::read_to_string("/proc/self/status").unwrap();
            assert_ne!(line(&own, "Pid:"), line(&all, "Pid:"));
            assert_eq!(line(status, "Cpus_allowed:"), line(&all, "Cpus_allowed:"));
            let id = line(status, "Pid:");
            let stat = std::fs::read_to_string(format!("/proc/self/task/{id}/stat")).unwrap();
            let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
            // The 19th, and the 41st of the whole line: niceness and policy.
            assert_eq!((fields[16], fields[38]), ("0", "0"), "{stat}");
        });
    })
    .join()
    .unwrap();
}

#[test]
fn tasks_are_counted() {
    let tasks = || std::fs::read_dir("/proc/self/task").unwrap().count();
    for _ in 0..100 {
        let (before, counted, after) = (tasks(), errno_kept(sys::task_count), tasks());
        if before == after {
            assert_eq!(counted, Some(before));
            return;
        }
    }
    panic!("the number of tasks never stays the same");
}
