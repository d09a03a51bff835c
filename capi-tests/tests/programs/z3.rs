//! Z3: satisfiable and unsatisfiable formulas, with the same models.

use std::fmt::Write;

use crate::folder::Folder;
use crate::installed::find_installed;
use crate::twice::{assert_same_output, printed, program_file};

/// The pigeonhole problem: `count` pigeons do not fit into one hole fewer.
fn pigeons(count: usize) -> String {
    let mut text = String::new();
    let name = |pigeon, hole| format!("p{pigeon}_{hole}");
    for pigeon in 0..count {
        let holes: Vec<String> = (0..count - 1).map(|hole| name(pigeon, hole)).collect();
        for hole in &holes {
            writeln!(text, "(declare-const {hole} Bool)").expect("writing to a string");
        }
        writeln!(text, "(assert (or {}))", holes.join(" ")).expect("writing to a string");
    }
    for hole in 0..count - 1 {
        for (a, b) in (0..count).flat_map(|b| (0..b).map(move |a| (a, b))) {
            let (a, b) = (name(a, hole), name(b, hole));
            writeln!(text, "(assert (not (and {a} {b})))").expect("writing to a string");
        }
    }
    text + "(check-sat)\n"
}

#[test]
fn answers_and_models_are_the_same() {
    let Some(program) = find_installed("z3", "z3", "--version") else { return };
    let folder = Folder::new("z3");
    let pigeons = folder.write("pigeons.smt2", pigeons(10));
    assert_same_output(|under| {
        let mut all = Vec::new();
        for file in [pigeons.clone(), program_file("sums.smt2"), program_file("bits.smt2")] {
            all.extend(printed(under.command(&program).arg("-smt2").arg(file)));
        }
        let text = String::from_utf8_lossy(&all);
        let count = |answer| text.lines().filter(|line| *line == answer).count();
        assert_eq!((count("unsat"), count("sat")), (4, 4), "{text}");
        all
    });
}
