//! The probes for tools outside of the process are in the program, and say the truth to a tool that
//! attaches.

mod common;

use std::collections::HashSet;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use allocator_core::Strata;
use common::{at_end, case, succeeds};

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// Where C passes the first arguments of a function.
#[cfg(target_arch = "x86_64")]
const ARGUMENTS: [&str; 3] = ["8@%rdi", "8@%rsi", "8@%rdx"];

#[cfg(target_arch = "aarch64")]
const ARGUMENTS: [&str; 3] = ["8@x0", "8@x1", "8@x2"];

/// A size that nothing else has.
const SIZE: usize = 12_345;

/// Another one.
const CROWDED: usize = 45_678;

/// The program that the tool looks at: it says which block it allocates and frees.
fn allocates() {
    // Each allocation is a sample, and stands for itself.
    Strata::profile_start(1);
    drop(black_box(Box::new(1)));
    let mut block: Vec<u8> = Vec::with_capacity(black_box(SIZE));
    let first = block.as_ptr();
    block.reserve_exact(black_box(10 * SIZE));
    let second = block.as_ptr();
    // In place, or elsewhere.
    block.reserve_exact(black_box(20 * SIZE));
    let third = block.as_ptr();
    drop(block);
    cannot_grow();
    Strata::profile_stop();
    println!("blocks {first:p} {second:p} {third:p}");
}

/// Blocks side by side, of which all but the last must move to grow.
fn cannot_grow() {
    let mut blocks = [const { Vec::<u8>::new() }; 8];
    blocks.iter_mut().for_each(|block| block.reserve_exact(black_box(CROWDED)));
    blocks.iter_mut().for_each(|block| block.reserve_exact(black_box(2 * CROWDED)));
}

fn tool(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let [out, err] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    assert!(output.status.success(), "{program}: {out}{err}");
    out
}

/// The probes as `readelf` shows them: name, semaphore, arguments.
fn probes(program: &Path) -> Vec<(String, String, Vec<String>)> {
    let notes = tool("readelf", &["-nW", program.to_str().unwrap()]);
    let mut probes = Vec::new();
    for note in notes.split("Provider: otel_memory").skip(1) {
        let of =
            |key: &str| note.split_once(key).unwrap().1.split([',', '\n']).next().unwrap().trim();
        assert_ne!(of("Base: 0x").trim_start_matches('0'), "", "{notes}");
        let arguments = of("Arguments:").split(' ').map(str::to_owned).collect();
        probes.push((of("Name: ").to_owned(), of("Semaphore: ").to_owned(), arguments));
    }
    probes
}

#[test]
fn a_program_has_the_probes_also_when_it_is_stripped() {
    let program = env::current_exe().unwrap();
    let found = probes(&program);
    let names: Vec<&str> = found.iter().map(|(name, ..)| &**name).collect();
    assert_eq!(names, ["alloc", "free"]);
    for ((_, semaphore, arguments), count) in found.iter().zip([3, 1]) {
        assert_ne!(semaphore.trim_start_matches("0x").trim_start_matches('0'), "");
        assert_eq!(arguments, &ARGUMENTS[..count]);
    }
    assert_ne!(found[0].1, found[1].1);
    let stripped = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stripped");
    fs::copy(&program, &stripped).unwrap();
    tool("strip", &["--strip-all", stripped.to_str().unwrap()]);
    assert_eq!(probes(&stripped), found);
}

/// What gdb does at the probes.
const SCRIPT: &str = r#"
set breakpoint pending on
set disable-randomization off
break -probe-stap otel_memory:alloc
commands
silent
printf "alloc %#lx %lu %lu\n", $_probe_arg0, $_probe_arg1, $_probe_arg2
continue
end
break -probe-stap otel_memory:free
commands
silent
printf "free %#lx\n", $_probe_arg0
continue
end
run
"#;

#[test]
fn a_debugger_sees_what_is_sampled_and_freed() {
    if Command::new("gdb").arg("--version").output().is_err() {
        assert!(env::var_os("CI").is_none(), "gdb is not installed");
        eprintln!("SKIPPED: gdb is not installed");
        return;
    }
    let script = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probes.gdb");
    fs::write(&script, SCRIPT).unwrap();
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-x"]).arg(&script).arg("--args");
    let child = common::command("allocates");
    gdb.arg(child.get_program()).args(child.get_args());
    gdb.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = gdb.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let blocks = said
        .lines()
        .find_map(|line| line.strip_prefix("blocks "))
        .unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
    let blocks: Vec<&str> = blocks.split(' ').collect();
    let mut expected = Vec::new();
    for (block, size) in blocks.iter().zip([SIZE, 10 * SIZE, 20 * SIZE]) {
        expected.push(format!("alloc {block} {size} {size}"));
        expected.push(format!("free {block}"));
    }
    // A block that moves is allocated before the old one is freed.
    if blocks[0] != blocks[1] {
        expected.swap(1, 2);
    }
    if blocks[1] != blocks[2] {
        expected.swap(3, 4);
    }
    agrees(&said);
    let lines = said.lines().filter(|line| blocks.iter().any(|block| line.contains(block)));
    // The blocks side by side may be there later.
    let lines = lines.filter(|line| !line.starts_with("blocks"));
    let found: Vec<&str> = lines.take(expected.len()).collect();
    assert_eq!(found, expected, "{said}");
}

/// Each block is allocated when it is not there, and freed when it is.
fn agrees(said: &str) {
    let mut live = HashSet::new();
    let mut sizes = Vec::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["alloc", block, size, _] => {
                assert!(live.insert(block), "{block} twice in {said}");
                sizes.push(size.parse::<usize>().unwrap());
            }
            ["free", block] => assert!(live.remove(block), "{block} is not there in {said}"),
            _ => {}
        }
    }
    let count = |size| sizes.iter().filter(|it| **it == size).count();
    assert_eq!(count(2 * CROWDED), 8, "{said}");
    assert!(count(CROWDED) > 8, "no block was told again as it could not grow: {said}");
}

#[test]
fn child() {
    match case().as_deref() {
        Some("allocates") => allocates(),
        _ => return,
    }
    at_end();
}

/// Without a tool, it is as if there were none.
#[test]
fn a_program_runs_without_a_tool() {
    succeeds("allocates");
}
