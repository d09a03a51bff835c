//! Random operations on the allocator from several threads, checked, for a given time.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use torture::world::{Settings, World};
use torture::{log, soak, subject, violation};

/// Allocate, free, fork and fail at random, and check every byte.
#[derive(Parser)]
struct Arguments {
    /// How long
    #[arg(long, default_value_t = 120)]
    seconds: u64,

    /// What the operations are drawn from; the time if there is none
    #[arg(long)]
    seed: Option<u64>,

    /// Threads at a time
    #[arg(long, default_value_t = 8)]
    threads: usize,

    /// MiB that may be live
    #[arg(long, default_value_t = 256)]
    live: usize,

    /// Seconds between checks
    #[arg(long, default_value_t = 5)]
    pause: u64,

    /// Interrupt threads by signals from outside, too
    #[arg(long)]
    interrupt: bool,

    /// Append a line with the figures to this file
    #[arg(long)]
    log: Option<PathBuf>,

    /// Run this C library instead, preloaded, without limits and failing calls
    #[arg(long)]
    preload: Option<PathBuf>,
}

/// In the process with the C library: the seed.
const PRELOADED: &str = "TORTURE_PRELOADED";

/// Starts this program again, with the library preloaded.
fn preload(library: &Path, seed: u64) -> ExitCode {
    let library = library.canonicalize().unwrap_or_else(|it| panic!("{}: {it}", library.display()));
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1));
    command.env(PRELOADED, seed.to_string()).env("LD_PRELOAD", library);
    let status = command.status().expect("this program again");
    ExitCode::from(u8::from(!status.success()))
}

/// Whether the C library that is preloaded serves: it has a function of this name.
fn is_preloaded() -> bool {
    // SAFETY: the name ends with 0.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"malloc_good_size".as_ptr()) };
    !found.is_null()
}

fn run(arguments: &Arguments, seed: u64) {
    let on_malloc = std::env::var_os(PRELOADED).is_some();
    assert!(!on_malloc || is_preloaded(), "the library is not preloaded");
    let settings = Settings {
        places: 6000,
        most_live: arguments.live << 20,
        filters: !on_malloc && Settings::default().filters,
        interrupts: arguments.interrupt,
        ..Settings::default()
    };
    let subject = if on_malloc { &subject::Malloc } else { subject::strata() };
    let world = World::new(subject, settings);
    let figures = soak::run(
        world,
        seed,
        arguments.threads,
        Duration::from_secs(arguments.seconds),
        Duration::from_secs(arguments.pause.max(1)),
    );
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed).to_string();
    let (first, last) = figures.rest.unwrap_or_default();
    let drift = (last as i64 - first as i64) >> 10;
    println!(
        "seed {seed}: {} operations, KiB at rest {} to {}",
        of(&world.tally.operations),
        first >> 10,
        last >> 10
    );
    if let Some(path) = &arguments.log {
        let tool = if on_malloc { "soak, C" } else { "soak" };
        let figures = [
            ("tool", tool.to_owned()),
            ("seed", seed.to_string()),
            ("seconds", arguments.seconds.to_string()),
            ("operations", of(&world.tally.operations)),
            ("refused", of(&world.tally.refused)),
            ("filtered threads", of(&world.tally.filters)),
            ("forks", of(&world.tally.forks)),
            ("drift at rest, KiB", drift.to_string()),
        ];
        log::append(path, &figures).unwrap_or_else(|it| panic!("{}: {it}", path.display()));
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let now = || std::time::UNIX_EPOCH.elapsed().expect("a time").as_secs();
    let preloaded = std::env::var(PRELOADED).ok().and_then(|seed| seed.parse().ok());
    let seed = preloaded.or(arguments.seed).unwrap_or_else(now);
    if let Some(library) = &arguments.preload
        && preloaded.is_none()
    {
        return preload(library, seed);
    }
    let mut again = format!(
        "soak --seconds {} --seed {seed} --threads {} --live {}{}",
        arguments.seconds,
        arguments.threads,
        arguments.live,
        if arguments.interrupt { " --interrupt" } else { "" }
    );
    if let Some(library) = &arguments.preload {
        again += &format!(" --preload {}", library.display());
    }
    violation::say(format_args!("{again}"));
    violation::set_context(again.clone());
    // In a child: a signal that ends it is reported, too.
    // SAFETY: this process has one thread, so the child may do anything.
    let status = unsafe {
        let child = libc::fork();
        if child == 0 {
            run(&arguments, seed);
            std::process::exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        status
    };
    if status != 0 {
        violation::say(format_args!("FAILED with status {status:#x}: {again}"));
    }
    ExitCode::from(u8::from(status != 0))
}
