//! What larger machines would take: predicted from counted visits to what threads share, and from
//! what this machine takes for a line that changes hands. The same prediction for two threads is
//! compared with what two threads take here.

mod counts;
mod places;
mod queues;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use benches::installed::find;
use benches::micro::scaling::{SCALINGS, Scaling};
use benches::preloaded::OURS;
use benches::progress::Progress;
use benches::scratch::Scratch;
use benches::stats::median;
use benches::tables::{right, table};
use benches::{cargo, process::Leashed};
use comfy_table::Cell;

use crate::allocators::{self, Contender, Program};
use crate::cli::ScaleOptions;
use crate::running::programs::finish;
use places::{Places, Shared};
use queues::{Predicted, Station};

/// Operations of the shorter run that is counted; the longer one has twice as many.
const COUNTED: u64 = 40_000;
/// Threads of it: visits are counted, not waits, but some come only where there is another thread.
const TOGETHER: usize = 2;
/// Most arenas that the allocator has.
const ARENAS: usize = 64;
/// Time limit of a run.
const LIMIT: Duration = Duration::from_secs(120);

/// A machine to predict for.
#[derive(Clone, Copy, Debug)]
struct Target {
    cores: usize,
    threads: usize,
}

impl Target {
    /// Threads that run at once.
    fn running(self) -> usize {
        self.threads.min(self.cores)
    }

    fn arenas(self) -> usize {
        self.cores.clamp(1, ARENAS)
    }
}

/// What a round measures of a row, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Round {
    alone: f64,
    two: f64,
    own: f64,
    transfer: f64,
    slowdown: f64,
}

impl Round {
    /// What an operation takes on one of so many threads of such a machine.
    fn predict(&self, target: Target, row: &Counted) -> Predicted {
        let slowdown = if target.running() > 1 { self.slowdown } else { 1.0 };
        // A visit that finds its line here is part of the time alone.
        let transfer = (self.transfer - self.own).max(0.0);
        let stations = row.stations(target.arenas(), self.alone / row.instructions);
        let others = 1.0 - 1.0 / target.running() as f64;
        let alone = self.alone * slowdown + row.lines * others * transfer;
        queues::predict(target.running(), alone, transfer, &stations)
    }
}

/// What was counted of a row, for one operation.
struct Counted {
    places: Places,
    instructions: f64,
    /// [`Scaling::lines`].
    lines: f64,
}

impl Counted {
    fn stations(&self, arenas: usize, ns_of_instruction: f64) -> Vec<Station> {
        let copies = |shared| match shared {
            Shared::Process => Some(1.0),
            Shared::Arena => Some(arenas as f64),
            Shared::Thread => None,
        };
        let station = |((shared, name), visits): (&(Shared, &str), &places::Visits)| {
            let hold_ns = if visits.writes > 0.0 {
                visits.held * ns_of_instruction / visits.writes
            } else {
                0.0
            };
            Some(Station {
                name: (*name).to_owned(),
                visits: visits.writes,
                hold_ns,
                copies: copies(*shared)?,
            })
        };
        self.places.iter().filter_map(station).collect()
    }
}

/// Runs the command.
pub(crate) fn run(options: &ScaleOptions) -> Result<ExitCode> {
    find("valgrind", "valgrind")?;
    let progress = Progress::new();
    progress.now("scale: building");
    let contender = allocators::link(OURS, Program::Subject, &cargo::profile())?;
    let scratch = Scratch::new("scale")?;
    let rounds = options.rounds as usize;
    let scale = if options.quick { 0.05 } else { 1.0 };
    let targets = [
        Target { cores: 8, threads: 8 },
        Target { cores: 32, threads: 64 },
        Target { cores: options.cores, threads: options.threads },
    ];
    let measured = measure(&contender, rounds, scale, &progress)?;
    println!("{}", machine(&measured));
    let mut rows = Vec::new();
    for (n, row) in SCALINGS.iter().enumerate() {
        progress.now(&format!("scale: counting {}", row.name));
        let counted = count(&contender.program, row, scratch.path())?;
        let of_row: Vec<Round> = measured.iter().map(|round| round[n]).collect();
        println!("\n{}: {}\n{}", row.name, row.what, visits(&counted));
        rows.push((row, counted, of_row));
    }
    println!("\n{}", predictions(&rows, &targets));
    println!("{}", memory(&contender, targets[2], scale)?);
    Ok(ExitCode::SUCCESS)
}

/// Every row in every round.
fn measure(
    contender: &Contender,
    rounds: usize,
    scale: f64,
    progress: &Progress,
) -> Result<Vec<Vec<Round>>> {
    let scale = scale.to_string();
    let mut measured = Vec::new();
    for round in 1..=rounds {
        let mut of_round = Vec::new();
        for row in SCALINGS {
            progress.now(&format!("scale: round {round} of {rounds}: {}", row.name));
            // What the machine takes changes, so it is measured beside each row.
            let [own, transfer, slowdown] = figures(contender, &["machine", &scale])?;
            let [alone, _] = figures(contender, &["scale", row.name, "1", &scale])?;
            let [two, _] = figures(contender, &["scale", row.name, "2", &scale])?;
            of_round.push(Round { alone, two, own, transfer, slowdown });
        }
        measured.push(of_round);
    }
    Ok(measured)
}

/// The figures that a run of the subject prints.
fn figures<const N: usize>(contender: &Contender, arguments: &[&str]) -> Result<[f64; N]> {
    let mut run = Leashed::start(&mut contender.run(arguments), "the subject")?;
    let figures: Vec<f64> = finish(&mut run, LIMIT)?;
    figures.try_into().ok().context("other figures than expected")
}

/// Counts a row: what a longer run has more than a shorter one.
fn count(program: &Path, row: &Scaling, dir: &Path) -> Result<Counted> {
    let run = |operations: u64| {
        let scale = (operations as f64 / row.each as f64).to_string();
        let arguments = ["scale", row.name, &TOGETHER.to_string(), &scale];
        counts::run(program, &arguments, dir)
    };
    let ((short, all_short), (mut long, all_long)) = (run(COUNTED)?, run(2 * COUNTED)?);
    for (at, count) in &mut long {
        *count = count.saturating_sub(short.get(at).copied().unwrap_or(0));
    }
    // Each pass of each thread: a warm-up and three that are timed.
    let operations = (4 * TOGETHER as u64 * COUNTED) as f64;
    Ok(Counted {
        places: places::find(program, &long, operations)?,
        instructions: all_long.saturating_sub(all_short) as f64 / operations,
        lines: row.lines,
    })
}

fn machine(measured: &[Vec<Round>]) -> String {
    let of =
        |get: fn(&Round) -> f64| median(&measured.iter().flatten().map(get).collect::<Vec<_>>());
    format!(
        "this machine: a locked step {:.1} ns, a line from the other processor {:.0} ns; two \
         threads that share nothing take {:.2} times as long as one",
        of(|it| it.own),
        of(|it| it.transfer),
        of(|it| it.slowdown)
    )
}

fn visits(counted: &Counted) -> String {
    let titles = ["shared by", "place", "locked steps", "instructions in its lock"];
    let mut all = table(titles.map(str::to_owned));
    for ((shared, name), visits) in &counted.places {
        let by = match shared {
            Shared::Process => "all threads",
            Shared::Arena => "those of an arena",
            Shared::Thread => "nobody",
        };
        all.add_row(vec![
            Cell::new(by),
            Cell::new(name),
            right(format!("{:.3}", visits.writes)),
            right(format!("{:.1}", visits.held)),
        ]);
    }
    format!("{all}\n{:.0} instructions in all", counted.instructions)
}

type Rows<'a> = [(&'a Scaling, Counted, Vec<Round>)];

fn predictions(rows: &Rows<'_>, targets: &[Target]) -> String {
    let mut titles: Vec<String> =
        ["", "1 thread, ns", "2, measured", "2, predicted", "ratio"].map(str::to_owned).to_vec();
    titles.extend(targets.iter().map(|it| format!("{} cores, {} threads", it.cores, it.threads)));
    titles.push(String::from("what is busiest then"));
    let mut all = table(titles);
    let here = Target { cores: 2, threads: 2 };
    for (row, counted, rounds) in rows {
        let of = |get: &dyn Fn(&Round) -> f64| median(&rounds.iter().map(get).collect::<Vec<_>>());
        let ratio = |round: &Round| round.predict(here, counted).ns / round.two;
        let mut ratios: Vec<f64> = rounds.iter().map(ratio).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let spread =
            format!("{:.2} [{:.2}, {:.2}]", median(&ratios), ratios[0], ratios[ratios.len() - 1]);
        let mut cells = vec![
            Cell::new(row.name),
            right(format!("{:.1}", of(&|it| it.alone))),
            right(format!("{:.1}", of(&|it| it.two))),
            right(format!("{:.1}", of(&|it| it.predict(here, counted).ns))),
            right(spread),
        ];
        for target in targets {
            cells.push(right(format!("{:.1}", of(&|it| it.predict(*target, counted).ns))));
        }
        let last = targets.last().and_then(|it| rounds[0].predict(*it, counted).busiest);
        let busiest = last.map(|(name, part)| format!("{name}, {:.0} %", 100.0 * part));
        cells.push(Cell::new(busiest.unwrap_or_default()));
        all.add_row(cells);
    }
    all.to_string()
}

/// What so many threads hold, measured here: that depends on no number of processors, but for
/// the arenas.
fn memory(contender: &Contender, target: Target, scale: f64) -> Result<String> {
    let scale = (scale * 0.005).to_string();
    let threads = target.threads.to_string();
    let [_, few] = figures(contender, &["scale", "small", "1", &scale])?;
    let [_, many] = figures(contender, &["scale", "small", &threads, &scale])?;
    Ok(format!(
        "{} threads with 5,000 blocks each: {:.0} KiB resident for each, of which the blocks are \
         664; {:.1} threads to an arena",
        target.threads,
        (many - few) / 1024.0 / (target.threads.max(2) - 1) as f64,
        target.threads as f64 / target.arenas() as f64
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use places::Visits;

    #[test]
    fn arenas_are_as_many_as_processors_up_to_a_bound() {
        assert_eq!(Target { cores: 2, threads: 9 }.arenas(), 2);
        assert_eq!(Target { cores: 128, threads: 1_000 }.arenas(), ARENAS);
        assert_eq!(Target { cores: 128, threads: 1_000 }.running(), 128);
    }

    #[test]
    fn what_a_thread_has_to_itself_is_no_station() {
        let visits = Visits { writes: 2.0, held: 40.0 };
        let keys = [(Shared::Process, "a"), (Shared::Arena, "b"), (Shared::Thread, "c")];
        let places = keys.into_iter().map(|key| (key, visits)).collect();
        let stations = Counted { places, instructions: 100.0, lines: 0.0 }.stations(4, 0.5);
        let all: Vec<_> =
            stations.iter().map(|it| (it.name.as_str(), it.hold_ns, it.copies)).collect();
        assert_eq!(all, [("a", 10.0, 1.0), ("b", 10.0, 4.0)]);
    }
}
