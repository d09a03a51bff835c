//! Small workloads of Rust programs.

use std::process::Command;

use anyhow::Result;
use benches::micro::{self, ROWS, Set};

use crate::allocators::{Contender, Interface, Program};
use crate::report::model::Figure;
use crate::running::programs::{sample, with_details};
use crate::running::suite::{Amount, Row, Sampler, Settings, Suite, Visit, every, everyone};

/// As global allocators of Rust programs.
pub(crate) const MICRO: Suite = Suite {
    name: "micro",
    what: "small workloads of Rust programs, time of an operation in the fastest of three passes",
    program: Program::Subject,
    interfaces: &[Interface::Rust],
    allocators: everyone,
    rows,
    is_quick: every,
    full: Amount { rounds: 10, scale: 1.0 },
    quick: Amount { rounds: 4, scale: 0.25 },
    in_all: 7,
    mean_bounds: &[("one thread", 0.85), ("threads", 0.95)],
    start: |settings| Ok(Box::new(Micro(settings.clone()))),
};

/// The ratio up to which a row is not lost.
fn bound(set: Set) -> f64 {
    match set {
        Set::OneThread => 1.05,
        Set::Threads => 1.2,
    }
}

fn rows(_: &Settings) -> Vec<Row> {
    let row = |row: &micro::Row| Row {
        name: row.name.to_owned(),
        what: row.what.to_owned(),
        group: row.set.label(),
        figures: with_details(vec![
            Figure { bound: bound(row.set), ..Figure::less("time", "ns", 0.1) },
            Figure::less("first pass", "ns", 0.1).detail(),
            Figure::shown("resident", "MiB"),
        ]),
    };
    ROWS.iter().map(row).collect()
}

struct Micro(Settings);

impl Micro {
    fn arguments(&self, row: &Row) -> [String; 3] {
        [String::from("micro"), row.name.clone(), self.0.amount.scale.to_string()]
    }
}

impl Sampler for Micro {
    fn check(&self, _row: &Row, contender: &Contender) -> Result<()> {
        contender.check(contender.run(&["version"]))
    }

    fn begin(&self, row: &Row, contender: &Contender, _round: usize) -> Result<Visit> {
        let arguments = self.arguments(row);
        let arguments = arguments.each_ref().map(String::as_str);
        let limit = self.0.limit(300.0);
        sample(&self.0, row, contender, &arguments, limit).map(Visit::Over)
    }

    fn command(&self, row: &Row, contender: &Contender) -> Option<Command> {
        Some(contender.run(&self.arguments(row).each_ref().map(String::as_str)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::running::rounds::tests::settings;

    #[test]
    fn rows_with_threads_have_a_wider_bound() {
        let rows = rows(&settings(1));
        let of = |name: &str| {
            let row = rows.iter().find(|row| row.name == name).unwrap();
            (row.group, row.figures[0].bound)
        };
        assert_eq!(of("pair"), ("one thread", 1.05));
        assert_eq!(of("larson"), ("threads", 1.2));
    }
}
