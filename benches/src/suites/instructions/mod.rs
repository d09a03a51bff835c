//! Instructions of allocation and deallocation, in common build profiles of Rust
//! programs: from the disassembly of the subject, and of its loops under
//! callgrind.

pub(crate) mod callgrind;
pub(crate) mod disasm;

use std::cell::RefCell;
use std::collections::HashMap;

use anyhow::{Context, Result};
use benches::installed::find;
use benches::preloaded::OURS;

use crate::allocators::{self, Contender, Interface, Program};
use crate::report::model::Figure;
use crate::running::suite::{Amount, Row, Sample, Sampler, Settings, Suite, Visit, every};
use callgrind::Counts;
use disasm::Disassembly;

/// As global allocators of Rust programs; by default ours.
pub(crate) const INSTRUCTIONS: Suite = Suite {
    name: "instructions",
    what: "instructions of an allocation and a free",
    program: Program::Subject,
    interfaces: &[Interface::Rust],
    allocators: |_, _| vec![OURS],
    rows,
    is_quick: every,
    full: Amount { rounds: 1, scale: 1.0 },
    quick: Amount { rounds: 1, scale: 1.0 },
    in_all: 1,
    mean_bounds: &[],
    start: |settings| {
        find("valgrind", "valgrind")?;
        Ok(Box::new(Instructions { settings: settings.clone(), builds: RefCell::default() }))
    },
};

/// The functions, and the loop that calls each.
const FUNCTIONS: [(&str, &str); 4] = [
    ("box_new", "pair"),
    ("box_drop", "pair"),
    ("vec_with_capacity", "vector"),
    ("vec_drop", "vector"),
];

/// The loops: name, pairs of calls per round, rounds of the shorter run. The
/// longer run has twice as many.
const LOOPS: [(&str, u64, u64); 5] = [
    ("pair", 1, 100_000),
    ("vector", 1, 100_000),
    ("lifo1000", 1000, 100),
    ("fifo1000", 1000, 100),
    ("burst20000", 20_000, 10),
];

fn rows(settings: &Settings) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |profile: &str, name: &str, what: &str, figures| {
        let (name, what) = (format!("{profile}/{name}"), what.to_owned());
        rows.push(Row { name, what, group: "", figures });
    };
    for profile in &settings.profiles {
        for (name, _) in FUNCTIONS {
            let figures = vec![
                Figure::less("straight", "", 1.0),
                Figure::less("straight with callees", "", 1.0),
                Figure::less("executed", "", 1.0),
            ];
            add(profile, name, "a call of this function", figures);
        }
        for (name, ..) in LOOPS {
            let figures = vec![Figure::less("executed", "", 1.0)];
            add(profile, name, "a pair of calls in this loop, with the loop", figures);
        }
    }
    rows
}

/// The subject in one profile.
struct Build {
    contender: Contender,
    program: Disassembly,
    /// The shorter and the longer run, by loop.
    runs: HashMap<&'static str, (Counts, Counts)>,
}

struct Instructions {
    settings: Settings,
    /// By profile and allocator.
    builds: RefCell<HashMap<(String, &'static str), Build>>,
}

impl Build {
    fn new(profile: &str, name: &'static str) -> Result<Build> {
        let contender = allocators::link(name, Program::Subject, profile)?;
        let program = Disassembly::load(&contender.program)?;
        Ok(Build { contender, program, runs: HashMap::new() })
    }

    /// Both runs of a loop, and its pairs in the shorter one.
    fn runs(&mut self, name: &str, settings: &Settings) -> Result<(&(Counts, Counts), u64)> {
        let (name, pairs, rounds) =
            *LOOPS.iter().find(|(it, ..)| *it == name).context("no such loop")?;
        if !self.runs.contains_key(name) {
            let run = |rounds| callgrind::run(&self.contender.program, name, rounds, &settings.dir);
            let both = (run(rounds)?, run(2 * rounds)?);
            self.runs.insert(name, both);
        }
        Ok((&self.runs[name], pairs * rounds))
    }

    /// The figures of a function or of a loop.
    fn values(&mut self, name: &str, settings: &Settings) -> Result<Vec<Option<f64>>> {
        let Some((_, its)) = FUNCTIONS.iter().find(|(function, _)| *function == name) else {
            let ((short, long), pairs) = self.runs(name, settings)?;
            return Ok(vec![Some(callgrind::slope(short.total, long.total, pairs))]);
        };
        let straight = self.program.straight_path(name);
        let ((short, long), pairs) = self.runs(its, settings)?;
        let of = |counts: &Counts| counts.inclusive.get(name).copied();
        let executed = of(short).zip(of(long));
        Ok(vec![
            straight.as_ref().map(|path| path.own as f64),
            straight.as_ref().map(|path| path.with_callees as f64),
            executed.map(|(short, long)| callgrind::slope(short, long, pairs)),
        ])
    }
}

impl Sampler for Instructions {
    fn check(&self, _row: &Row, _contender: &Contender) -> Result<()> {
        Ok(())
    }

    fn begin(&self, row: &Row, contender: &Contender, _round: usize) -> Result<Visit> {
        let (profile, name) = row.name.split_once('/').context("no profile")?;
        let mut builds = self.builds.borrow_mut();
        let key = (profile.to_owned(), contender.name);
        if !builds.contains_key(&key) {
            builds.insert(key.clone(), Build::new(profile, contender.name)?);
        }
        let build = builds.get_mut(&key).context("no build")?;
        let values = build.values(name, &self.settings)?;
        Ok(Visit::Over(Sample { values, result: None }))
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            String::from(
                "straight: from the entry to a return, no conditional branch taken unless falling \
                 through leads to no return",
            ),
            String::from("executed: per call in the loop that calls it, callees included"),
        ];
        for ((profile, allocator), build) in self.builds.borrow().iter() {
            for (name, _) in FUNCTIONS {
                let targets = build.program.straight_path(name).map(|it| it.targets);
                let targets = targets.unwrap_or_default();
                if !targets.is_empty() {
                    let targets = targets.join(", ");
                    notes.push(format!("{profile}/{name} of {allocator} calls {targets}"));
                }
            }
        }
        notes[2..].sort_unstable();
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::running::rounds::tests::settings;

    #[test]
    fn each_profile_has_each_function_and_each_loop() {
        let mut settings = settings(1);
        settings.profiles = vec!["release".into(), "plain".into()];
        let rows = rows(&settings);
        assert_eq!(rows.len(), 2 * (FUNCTIONS.len() + LOOPS.len()));
        assert_eq!(rows[0].name, "release/box_new");
        let of_loops = FUNCTIONS.iter().all(|(_, its)| LOOPS.iter().any(|(it, ..)| it == its));
        assert!(of_loops, "a function is called by a loop that is not there");
    }
}
