//! A fault that is planted is found, and found again from its file.

use std::path::Path;
use std::process::{Command, Output};

use torture::history::History;
use torture::subject::PLANT;

/// An input as a fuzzer makes them, without forks: those would only take time.
fn input(seed: u64, operations: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = Vec::new();
    while bytes.len() < operations * 8 {
        let next = random.u64(..).to_le_bytes();
        if next[0] < 216 {
            bytes.extend_from_slice(&next);
        }
    }
    bytes
}

fn replay(file: &Path, plant: Option<usize>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
    if let Some(after) = plant {
        command.env(PLANT, after.to_string());
    }
    command.arg(file).output().unwrap()
}

/// The line that says what is wrong.
fn violation(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    text.lines()
        .find(|line| line.starts_with("VIOLATION"))
        .unwrap_or_else(|| panic!("{text}"))
        .to_owned()
}

#[test]
fn a_block_that_is_handed_out_twice_is_found_again_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    for seed in 1..=5 {
        std::fs::write(&file, input(seed, 500)).unwrap();
        let clean = replay(&file, None);
        assert!(clean.status.success(), "{}", String::from_utf8_lossy(&clean.stderr));
        let found = violation(&replay(&file, Some(800)));
        println!("{found}");
        // The same number of the block, wherever addresses are.
        let number = |text: &str| {
            let (_, rest) = text.split_once("number ")?;
            Some(rest.split(',').next()?.to_owned())
        };
        let again = violation(&replay(&file, Some(800)));
        assert_eq!(number(&found), number(&again), "{found}\n{again}");
    }
}

/// A fault that needs what earlier inputs did is found from a history of them.
#[test]
fn a_history_has_all_inputs_of_a_process() {
    let folder = tempfile::tempdir().unwrap();
    let (one, all) = (folder.path().join("last"), folder.path().join("all"));
    let last = input(12, 400);
    std::fs::write(&one, &last).unwrap();
    let mut history = History::create(&all).unwrap();
    for seed in 1..=11 {
        history.add(&input(seed, 400)).unwrap();
    }
    history.add(&last).unwrap();
    // Fewer allocations than all make, and more than the last.
    let after = 20_000;
    let alone = replay(&one, Some(after));
    assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stderr));
    violation(&replay(&all, Some(after)));
    assert!(replay(&all, None).status.success());
}
