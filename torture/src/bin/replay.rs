//! Runs inputs of the fuzzer again, without a fuzzer.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use torture::lanes::Lanes;
use torture::operation::BYTES;
use torture::world::{Settings, World};
use torture::{history, log, subject, violation};

/// Run files of operations, each in a process of its own.
///
/// A file is an input of the fuzzer, or a history of inputs. With TORTURE_PLANT=N in the
/// environment, a fault is planted after N allocations: a block is handed out twice.
#[derive(Parser)]
struct Arguments {
    /// Files, and folders of files
    #[arg(required = true)]
    files: Vec<PathBuf>,

    /// Start again from the first file until so many seconds are over
    #[arg(long, default_value_t = 0)]
    seconds: u64,

    /// Append a line with the figures to this file
    #[arg(long)]
    log: Option<PathBuf>,
}

/// The files, with those in folders, in the order of their names.
fn files(paths: &[PathBuf]) -> std::io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries: Result<Vec<_>, _> = path.read_dir()?.collect();
            let mut inner: Vec<_> = entries?.into_iter().map(|it| it.path()).collect();
            inner.sort();
            all.append(&mut inner);
        } else {
            all.push(path.clone());
        }
    }
    Ok(all)
}

/// Runs all inputs of a file, in this process.
fn run(path: &Path, bytes: &[u8]) {
    violation::set_context(format!("{}\nagain with: replay {0}", path.display()));
    let world = World::new(subject::strata(), Settings::default());
    let mut lanes = Lanes::new(world);
    history::inputs(bytes).into_iter().for_each(|input| lanes.run(input));
    world.finish();
}

/// The same in a child. Returns whether it succeeded.
fn run_in_child(path: &Path, bytes: &[u8]) -> bool {
    // SAFETY: this process has one thread, so the child may do anything.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::alarm(300);
            run(path, bytes);
            libc::_exit(0);
        }
        let mut status = 0;
        if child < 0 || libc::waitpid(child, &raw mut status, 0) != child {
            return false;
        }
        if status != 0 {
            violation::say(format_args!("{}: status {status:#x}", path.display()));
        }
        status == 0
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let files = files(&arguments.files).unwrap_or_else(|error| panic!("{error}"));
    let start = Instant::now();
    let (mut operations, mut runs, mut failed) = (0, 0, 0);
    loop {
        for path in &files {
            let bytes = std::fs::read(path).unwrap_or_else(|it| panic!("{}: {it}", path.display()));
            operations += history::inputs(&bytes).iter().map(|it| it.len() / BYTES).sum::<usize>();
            runs += 1;
            failed += usize::from(!run_in_child(path, &bytes));
        }
        if failed != 0 || start.elapsed().as_secs() >= arguments.seconds {
            break;
        }
    }
    let seconds = start.elapsed().as_secs();
    println!(
        "{} files, {runs} runs, {operations} operations, {seconds} s, {failed} failed",
        files.len()
    );
    if let Some(path) = &arguments.log {
        let figures = [
            ("tool", "replay".to_owned()),
            ("seed", "-".to_owned()),
            ("seconds", seconds.to_string()),
            ("operations", operations.to_string()),
            ("failed", failed.to_string()),
        ];
        log::append(path, &figures).unwrap_or_else(|it| panic!("{}: {it}", path.display()));
    }
    ExitCode::from(u8::from(failed != 0))
}
