//! C workloads.

use std::process::Command;

use anyhow::Result;
use benches::preloaded::MEMORY;
use benches::workloads::WORKLOADS;

use crate::allocators::{Contender, Interface, Program};
use crate::report::model::Figure;
use crate::running::programs::{measuring, process_figures, process_values, run};
use crate::running::suite::{Amount, Row, Sample, Sampler, Settings, Suite, Visit, everyone};

/// With the C library preloaded.
pub(crate) const PRELOAD: Suite = Suite {
    name: "preload",
    what: "C workloads; time is that of the process",
    program: Program::Subject,
    interfaces: &[Interface::C],
    allocators: everyone,
    rows,
    is_quick: |name| QUICK.contains(&name),
    full: Amount { rounds: 10, scale: 1.0 },
    quick: Amount { rounds: 1, scale: 0.05 },
    in_all: 8,
    mean_bounds: &[],
    start: |settings| Ok(Box::new(Preload(settings.clone()))),
};

/// The rows of a quick run.
const QUICK: [&str; 6] =
    ["larson2", "xmalloc4", "mstress8", "rptest4", "alloc-test1", "glibc-simple"];

/// The figures of the process; the peak is compared with that of one peer.
fn figures() -> Vec<Figure> {
    let figure = |figure: Figure| match figure.name.as_str() {
        "wall" => Figure { name: String::from("time"), ..figure },
        "processor" => figure,
        "peak" => Figure { peer: Some(MEMORY.to_owned()), ..figure },
        _ => figure.detail(),
    };
    process_figures().into_iter().map(figure).collect()
}

fn rows(_: &Settings) -> Vec<Row> {
    let workloads = WORKLOADS.iter().map(|work| Row {
        name: work.name.to_owned(),
        what: work.what.to_owned(),
        group: "",
        figures: figures(),
    });
    workloads.collect()
}

struct Preload(Settings);

impl Preload {
    fn arguments(&self, row: &Row) -> [String; 3] {
        [String::from("work"), row.name.clone(), self.0.amount.scale.to_string()]
    }
}

impl Sampler for Preload {
    fn check(&self, _row: &Row, contender: &Contender) -> Result<()> {
        contender.check(contender.run(&["version"]))
    }

    fn begin(&self, row: &Row, contender: &Contender, _round: usize) -> Result<Visit> {
        let mut command = measuring(&self.0, contender, &contender.program);
        let measured = run(command.args(self.arguments(row)), self.0.limit(180.0))?;
        let values = process_values(&measured);
        Ok(Visit::Over(Sample { values, result: Some(measured.output) }))
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
    fn the_rows_of_a_quick_run_exist() {
        let rows = rows(&settings(1));
        assert!(QUICK.iter().all(|name| rows.iter().any(|row| row.name == *name)));
    }
}
