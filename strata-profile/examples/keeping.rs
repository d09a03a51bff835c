//! A program that keeps more and more, and writes what its profile says into a folder:
//! `keeping FOLDER`.

use std::hint::black_box;
use std::path::PathBuf;
use std::{env, fs, io};

use allocator_core::Strata;
use strata_profile::Snapshot;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// Keeps 64 MiB in small blocks.
#[inline(never)]
fn keeps_most() -> Vec<String> {
    let kept = (0..64 << 10).map(|_| black_box("x".repeat(1 << 10))).collect();
    // Not a call in the last place, which leaves no trace of this function.
    black_box(kept)
}

/// Keeps 16 MiB in large ones.
#[inline(never)]
fn keeps_less() -> Vec<Vec<u8>> {
    let kept = (0..16).map(|_| black_box(vec![1; 1 << 20])).collect();
    black_box(kept)
}

fn main() -> io::Result<()> {
    let folder = PathBuf::from(env::args_os().nth(1).unwrap_or_else(|| ".".into()));
    strata_profile::start(16 << 10);
    let less = keeps_less();
    let before = Snapshot::take();
    let most = keeps_most();
    let snapshot = Snapshot::take();
    strata_profile::stop();
    fs::write(folder.join("heap.pb.gz"), snapshot.pprof())?;
    fs::write(folder.join("before.pb.gz"), before.pprof())?;
    fs::write(folder.join("heap.html"), snapshot.flame_graph())?;
    fs::write(folder.join("heap.folded"), snapshot.folded())?;
    println!("{}", snapshot.since(&before).report());
    drop((less, most));
    Ok(())
}
