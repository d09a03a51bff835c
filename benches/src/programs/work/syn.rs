//! Rust sources are parsed on a pool of threads. Each thread holds the trees of
//! some sources, as a compiler does, and prints some of them.

use fastrand::Rng;
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use syn::{File, Item};

use super::parts::sum;
use super::rust_text;
use crate::workloads::parts::{fold, scaled};

const THREADS: usize = 4;
/// Sources.
const SOURCES: u64 = 864;
/// Sources whose trees are live together, in each thread.
const HELD: usize = 24;
/// Items of a source.
const ITEMS: usize = 40;

/// A checksum over the names of the functions.
fn names(file: &File) -> u64 {
    let name = |item: &Item| match item {
        Item::Fn(function) => sum(function.sig.ident.to_string().as_bytes()),
        Item::Impl(block) => block.items.len() as u64,
        _ => 1,
    };
    file.items.iter().map(name).fold(0, fold)
}

/// Parses sources, and prints every fourth tree.
fn parse(seeds: &[u64]) -> u64 {
    let tree = |seed: &u64| {
        let text = rust_text::source(&mut Rng::with_seed(*seed), ITEMS);
        syn::parse_file(&text).expect("the text is Rust")
    };
    let trees: Vec<File> = seeds.iter().map(tree).collect();
    let printed = trees.iter().step_by(4).map(|tree| sum(format!("{tree:?}").as_bytes()));
    let printed = printed.fold(0, fold);
    trees.iter().map(names).fold(printed, fold)
}

/// Runs the program.
pub(super) fn run(scale: f64) -> u64 {
    let pool = ThreadPoolBuilder::new().num_threads(THREADS).build().expect("threads");
    let seeds: Vec<u64> = (0..scaled(SOURCES, scale)).collect();
    pool.install(|| seeds.par_chunks(HELD).map(parse).reduce(|| 0, u64::wrapping_add))
}
