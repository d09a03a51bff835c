//! Several copies of Strata in one process: in the program, and in each library that it
//! loads. Each has its own window.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::{env, fs, process, thread};

use allocator_core::Strata;
use common::plugin::{self, Object, Plugin};
use common::{RELEASE, succeeds};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// Blocks of an object of about 30 MiB.
const BLOCKS: u64 = 20 << 10;

/// Objects that make 300 MiB.
const OBJECTS: usize = 10;

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("strata-copies-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// The library under another name: a copy of the allocator of its own.
    fn load(&self, library: &Path, number: usize) -> Plugin {
        let copy = self.0.join(format!("libplugin{number}.so"));
        fs::copy(library, &copy).unwrap();
        plugin::load(&copy)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `count` copies of the library, each with its own allocator.
fn plugins(count: usize) -> Vec<Plugin> {
    let library = plugin::build(RELEASE);
    let folder = Folder::new();
    (0..count).map(|number| folder.load(&library, number)).collect()
}

/// Blocks of the program itself, 30 MiB.
fn own(seed: usize) -> Vec<Vec<u8>> {
    (0..BLOCKS as usize).map(|i| vec![(i + seed) as u8; i * 37 % 3000]).collect()
}

fn check_own(seed: usize, blocks: &[Vec<u8>]) {
    for (i, block) in blocks.iter().enumerate() {
        assert!(block.iter().all(|byte| *byte == (i + seed) as u8));
    }
}

/// Each copy in turn gets 300 MiB.
fn in_turn() {
    let mut plugins = plugins(2);
    let of = |plugin: Plugin| (0..OBJECTS).map(|_| plugin.object(BLOCKS)).collect::<Vec<Object>>();
    let last = plugins.pop().unwrap();
    let first = of(last);
    let blocks: Vec<_> = (0..OBJECTS).map(own).collect();
    let second = of(plugins[0]);
    blocks.iter().enumerate().for_each(|(seed, blocks)| check_own(seed, blocks));
    first.iter().chain(&second).for_each(Object::check);
}

/// All grow to 300 MiB side by side, and what is freed is allocated again.
fn interleaved() {
    let plugins = plugins(2);
    let (mut objects, mut blocks) = (Vec::new(), Vec::new());
    for seed in 0..OBJECTS {
        objects.extend(plugins.iter().map(|plugin| plugin.object(BLOCKS)));
        blocks.push(own(seed));
    }
    for seed in 0..OBJECTS / 2 {
        objects.remove(seed);
        check_own(seed * 2, &blocks[seed]);
        blocks.remove(seed);
    }
    for seed in 0..OBJECTS / 2 {
        objects.extend(plugins.iter().map(|plugin| plugin.object(BLOCKS)));
        blocks.push(own(seed));
    }
    objects.iter().for_each(Object::check);
}

/// Copies that make their first allocation at the same moment, in a thread for each.
fn at_once() {
    const COPIES: usize = 8;
    let plugins = plugins(COPIES);
    let barrier = Barrier::new(COPIES);
    thread::scope(|scope| {
        for plugin in plugins {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                let objects: Vec<Object> = (0..5).map(|_| plugin.object(BLOCKS)).collect();
                objects.iter().for_each(Object::check);
                barrier.wait();
            });
        }
    });
}

/// About as many copies as glibc has static thread-local memory for.
fn many() {
    let objects: Vec<Object> =
        plugins(15).into_iter().map(|plugin| plugin.object(BLOCKS / 4)).collect();
    objects.iter().for_each(Object::check);
}

#[test]
fn child() {
    let Some(case) = common::case() else { return };
    match &*case {
        "in turn" => in_turn(),
        "interleaved" => interleaved(),
        "at once" => at_once(),
        "many" => many(),
        _ => panic!("{case}?"),
    }
    common::at_end();
}

#[test]
fn copies_grow_in_turn() {
    succeeds("in turn");
}

#[test]
fn copies_grow_side_by_side() {
    succeeds("interleaved");
}

#[test]
fn copies_start_at_once() {
    succeeds("at once");
}

#[test]
fn sixteen_copies_have_a_window_each() {
    succeeds("many");
}
