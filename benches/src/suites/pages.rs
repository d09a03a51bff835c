//! Large blocks, memory that is used again, and memory that is given back.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use benches::pages::{self, ROWS};
use benches::preloaded::BACKGROUND;

use crate::allocators::{Contender, Interface, Program};
use crate::report::model::Figure;
use crate::running::programs::{sample, with_details};
use crate::running::suite::{Amount, Row, Sampler, Settings, Suite, Visit, every};

/// With the C library preloaded.
pub(crate) const PAGES: Suite = Suite {
    name: "pages",
    what: "large blocks, memory that is used again, and memory that is given back",
    program: Program::Subject,
    interfaces: &[Interface::C],
    allocators: |interface, quick| {
        let mut names = interface.names();
        names.retain(|name| !quick || *name != BACKGROUND);
        names
    },
    rows,
    is_quick: every,
    full: Amount { rounds: 5, scale: 1.0 },
    quick: Amount { rounds: 1, scale: 0.125 },
    in_all: 4,
    mean_bounds: &[],
    start: |settings| Ok(Box::new(Pages(settings.clone()))),
};

/// Time limit for a row.
const LIMIT: Duration = Duration::from_secs(180);

fn rows(_: &Settings) -> Vec<Row> {
    let figure = |it: &pages::Figure| Figure::less(it.name, it.unit, it.least);
    let row = |row: &pages::Row| Row {
        name: row.name.to_owned(),
        what: row.what.to_owned(),
        group: "",
        figures: with_details(row.figures.iter().map(figure).collect()),
    };
    ROWS.iter().map(row).collect()
}

struct Pages(Settings);

impl Pages {
    fn arguments(&self, row: &Row) -> [String; 4] {
        let watch = if self.0.quick { 1 } else { 3 };
        let scale = self.0.amount.scale.to_string();
        [String::from("pages"), row.name.clone(), scale, watch.to_string()]
    }
}

impl Sampler for Pages {
    fn check(&self, _row: &Row, contender: &Contender) -> Result<()> {
        contender.check(contender.run(&["version"]))
    }

    fn begin(&self, row: &Row, contender: &Contender, _round: usize) -> Result<Visit> {
        let arguments = self.arguments(row);
        let arguments = arguments.each_ref().map(String::as_str);
        sample(&self.0, row, contender, &arguments, LIMIT).map(Visit::Over)
    }

    fn command(&self, row: &Row, contender: &Contender) -> Option<Command> {
        Some(contender.run(&self.arguments(row).each_ref().map(String::as_str)))
    }
}
