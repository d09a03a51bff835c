//! CPUs come and go while a program runs, and a thread may have a priority that keeps others
//! from their CPU.

mod common;

use allocator_core::Strata;
use common::Block;
use std::os::unix::process::CommandExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// The CPUs that this process may use.
fn cpus() -> Vec<usize> {
    // SAFETY: the kernel writes a set into a place of its size.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
        (0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &set)).collect()
    }
}

/// From now on, the calling thread and those that it starts run on these CPUs only.
fn run_on(cpus: &[usize]) {
    // SAFETY: a set of CPUs that may be used.
    unsafe {
        let mut set = std::mem::zeroed();
        cpus.iter().for_each(|cpu| libc::CPU_SET(*cpu, &mut set));
        assert_eq!(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set), 0);
    }
}

/// The chunks that page runs of the calling thread come from.
fn chunks() -> Vec<usize> {
    let runs: Vec<_> = (0..20).map(|_| Block::new(&GLOBAL, 50_000, 8).unwrap()).collect();
    let mut chunks: Vec<_> = runs.iter().map(|run| run.ptr.addr() >> 21).collect();
    runs.into_iter().for_each(|run| run.free(&GLOBAL));
    chunks.sort_unstable();
    chunks.dedup();
    chunks
}

/// Many slow paths: small blocks come in, and go.
fn slow_paths() {
    for _ in 0..400 {
        let blocks: Vec<_> = (0..200).map(|_| Block::new(&GLOBAL, 9000, 8).unwrap()).collect();
        blocks.into_iter().for_each(|block| block.free(&GLOBAL));
    }
}

/// A process that started on one CPU gets another one.
fn widened(second: usize) {
    let here = chunks();
    // Their chunk stays where it is.
    let stays = Block::new(&GLOBAL, 50_000, 8).unwrap();
    let (widen, is_widened) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let other = thread::spawn(move || {
        slow_paths();
        tell.send(chunks()).unwrap();
        is_widened.recv().unwrap();
        run_on(&[second]);
        slow_paths();
        // What is free would serve any arena.
        Strata::purge();
        tell.send(chunks()).unwrap();
    });
    let before = told.recv().unwrap();
    assert!(before.iter().any(|chunk| here.contains(chunk)), "one CPU, one arena");
    widen.send(()).unwrap();
    let after = told.recv().unwrap();
    assert!(!after.iter().any(|chunk| here.contains(chunk)), "the other CPU has no arena");
    other.join().unwrap();
    stays.free(&GLOBAL);
}

/// A thread of a real-time priority meets one without on the same CPU, in the allocator.
fn real_time() {
    run_on(&cpus()[..1]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let mut blocks: Vec<_> =
                    (0..4000).map(|_| Block::new(&GLOBAL, 4096, 8).unwrap()).collect();
                // SAFETY: each block has so many bytes.
                blocks.iter_mut().for_each(|block| unsafe { block.ptr.write(1) });
                blocks.into_iter().for_each(|block| block.free(&GLOBAL));
                Strata::purge();
            }
        });
        let urgent = scope.spawn(|| {
            let priority = libc::sched_param { sched_priority: 50 };
            // SAFETY: a valid priority.
            let refused =
                unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
            if refused != 0 {
                return None;
            }
            let longest = (0..400).map(|_| {
                thread::sleep(Duration::from_micros(1500));
                let start = Instant::now();
                Strata::purge();
                start.elapsed()
            });
            longest.max()
        });
        let longest = urgent.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        match longest {
            None => eprintln!("SKIPPED: no real-time priority"),
            Some(longest) => {
                eprintln!("longest purge: {longest:?}");
                assert!(longest < Duration::from_millis(400), "{longest:?}");
            }
        }
    });
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match case.as_str() {
        "real-time" => real_time(),
        other => widened(other.strip_prefix("widened to ").unwrap().parse().unwrap()),
    }
    common::at_end();
}

#[test]
fn another_cpu_brings_another_arena() {
    let cpus = cpus();
    let [first, second, ..] = cpus[..] else { return eprintln!("SKIPPED: one CPU") };
    let case = format!("widened to {second}");
    let mut command = common::command(&case);
    // SAFETY: plain calls.
    unsafe {
        command.pre_exec(move || {
            run_on(&[first]);
            Ok(())
        });
    }
    common::check_success(&case, command.output().unwrap().into());
}

#[test]
fn a_real_time_thread_does_not_wait_in_vain() {
    common::succeeds("real-time");
}
