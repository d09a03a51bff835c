//! A real server, driven by a load in a separate process.
//!
//! While a server is idle before its idle reading, the next one is already
//! driven: an idle server uses almost no CPU time.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use benches::load::{Outcome, fill_limit};
use benches::process::Leashed;
use benches::{procfs, server};

use crate::allocators::{self, Contender, Interface, Program};
use crate::report::model::Figure;
use crate::running::suite::Serving;
use crate::running::suite::{Amount, Row, Sample, Sampler, Settings, Suite, Visit, every};

/// As global allocators of Rust programs.
pub(crate) const SERVER: Suite = Suite {
    name: "server",
    what: "an HTTP/JSON server, each round a fresh process; 32 keep-alive connections in a closed \
           loop on a full cache, of 64 MiB if no other is named; idle RSS 10 s after the load stopped, connections open",
    program: Program::Server,
    interfaces: &[Interface::Rust],
    allocators: |_, _| allocators::usual(),
    rows,
    is_quick: every,
    full: Amount { rounds: 7, scale: 1.0 },
    quick: Amount { rounds: 3, scale: 0.375 },
    in_all: 4,
    mean_bounds: &[],
    start: |settings| Ok(Box::new(Driver { settings: settings.clone(), counted: count(settings) })),
};

/// Time limit for a server to listen.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Time limit for the load in addition to the times that it fills and measures.
const LOAD_LIMIT: Duration = Duration::from_secs(30);
/// How long a new server settles before its memory is read.
const SETTLE: Duration = Duration::from_millis(100);
/// From the end of the load to the idle reading.
const IDLE: Duration = Duration::from_secs(10);
/// How long the load is measured, at scale 1.
const MEASURE: f64 = 4.0;
/// Orders posted before measuring, for each so much of the cache; enough to fill
/// it.
const FILL: (u64, u64) = (20_000, 64);

/// How the servers are run.
fn servers(settings: &Settings) -> &[Serving] {
    match &settings.servers[..] {
        [] => &[Serving::USUAL],
        servers => servers,
    }
}

fn rows(settings: &Settings) -> Vec<Row> {
    let figures = vec![
        Figure::more("requests/s", "", 1.0),
        Figure::less("p50", "µs", 1.0),
        Figure::less("p99", "µs", 1.0),
        Figure::less("p99.9", "µs", 1.0),
        Figure::less("CPU per million", "s", 0.01),
        Figure::less("peak RSS", "MiB", 1.0),
        Figure::less("idle RSS", "MiB", 1.0),
        Figure::shown("RSS before", "MiB"),
        Figure::shown("live in cache", "MiB"),
    ];
    let row = |it: &Serving| {
        let threads = it.threads.map_or(String::from("as many threads as processors"), |threads| {
            format!("{threads} threads, and so many in the pool")
        });
        let mib = it.cache_mib;
        let what = format!("orders posted, priced by a pool, stored in {mib} MiB; {threads}");
        Row { name: it.name(), what, group: "", figures: figures.clone() }
    };
    servers(settings).iter().map(row).collect()
}

/// A server that listens.
struct Server {
    process: Leashed,
    address: String,
}

/// How much a load does.
struct LoadSize {
    fill: u64,
    measure: Duration,
}

impl Server {
    fn start(mut command: Command, serving: Serving) -> Result<Self> {
        command.args(["--cache-mib", &serving.cache_mib.to_string()]);
        if let Some(threads) = serving.threads {
            command.args(["--workers", &threads.to_string()]);
        }
        let mut process = Leashed::start(&mut command, "the server")?;
        let line = process.line(START_LIMIT)?;
        let mut words = line.splitn(3, ' ');
        ensure!(words.next() == Some(server::READY), "unexpected output of the server: {line:?}");
        let address = words.next().context("no address in the line")?.to_owned();
        Ok(Self { process, address })
    }

    /// Starts a load on this server and waits for its result. The load keeps its
    /// connections open until it is dropped.
    fn drive(&mut self, load: &LoadSize, seed: u64) -> Result<(Leashed, Outcome)> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["load", "--address", &self.address])
            .args(["--pid", &self.process.pid().to_string()])
            .args(["--connections", "32"])
            .args(["--fill", &load.fill.to_string()])
            .args(["--seconds", &load.measure.as_secs_f64().to_string()])
            .args(["--seed", &seed.to_string()]);
        let mut client = Leashed::start(&mut command, "the load")?;
        let line = client.line(load.measure + LOAD_LIMIT + fill_limit(load.fill));
        // If the load failed and the server died, the server's error is
        // reported.
        self.process.check()?;
        let outcome: Outcome = serde_json::from_str(&line?).context("the load's outcome")?;
        ensure!(outcome.requests > 0, "no request was answered");
        Ok((client, outcome))
    }
}

/// Runs the counting server briefly, and says how a request allocates.
fn count(settings: &Settings) -> Result<String> {
    let program = allocators::counting(&settings.profile)?;
    let mut server =
        Server::start(Command::new(program), Serving { cache_mib: 8, ..Serving::USUAL })?;
    let load = LoadSize { fill: 2500, measure: Duration::from_secs(1) };
    let (_client, Outcome { before, after, .. }) = server.drive(&load, 1)?;
    let requests = (after.requests - before.requests) as f64;
    let allocations = (after.allocations - before.allocations) as f64;
    let resizes = (after.reallocations - before.reallocations) as f64;
    let remote = (after.remote_frees - before.remote_frees) as f64;
    Ok(format!(
        "a request allocates {:.0} blocks (and resizes {:.0}); {:.0} % of them are freed by \
         another thread",
        allocations / requests,
        resizes / requests,
        100.0 * remote / allocations
    ))
}

struct Driver {
    settings: Settings,
    /// How a request allocates.
    counted: Result<String>,
}

impl Driver {
    /// How the server of a row is run.
    fn serving(&self, row: &Row) -> Option<Serving> {
        servers(&self.settings).iter().copied().find(|it| it.name() == row.name)
    }
}

impl Sampler for Driver {
    fn check(&self, _row: &Row, contender: &Contender) -> Result<()> {
        contender.check(contender.run(&["version"]))
    }

    fn rounds(&self, row: &Row, rounds: usize) -> usize {
        let most = self.serving(row).and_then(|serving| serving.rounds);
        most.map_or(rounds, |most| most.min(rounds))
    }

    fn begin(&self, row: &Row, contender: &Contender, round: usize) -> Result<Visit> {
        let serving = self.serving(row).context("no such row")?;
        let (orders, mib) = FILL;
        let fill = orders * serving.cache_mib.div_ceil(mib);
        let mut server = Server::start(contender.run(&[]), serving)?;
        thread::sleep(SETTLE);
        let pid = server.process.pid();
        let start_rss = procfs::resident_bytes(pid)?;
        let measure = Duration::from_secs_f64(MEASURE * self.settings.amount.scale);
        // The same requests for every allocator, different ones in the next round.
        let (mut client, outcome) = server.drive(&LoadSize { fill, measure }, round as u64 + 1)?;
        let until = Instant::now() + IDLE;
        // Reads in time, whatever is driven meanwhile; the server and its clients
        // end when this is waited for.
        let reader = thread::spawn(move || -> Result<_> {
            thread::sleep(until.saturating_duration_since(Instant::now()));
            server.process.check()?;
            client.check()?;
            let idle = procfs::resident_bytes(pid)?;
            let peak = procfs::peak_resident_bytes(pid)?;
            Ok((idle, peak, server, client))
        });
        let wake = move || {
            let read = reader.join().map_err(|_| anyhow!("the idle reading failed"))?;
            let (idle, peak, _server, _client) = read?;
            Ok(sample(&outcome, start_rss, peak, idle))
        };
        Ok(Visit::Asleep { until, wake: Box::new(wake) })
    }

    fn notes(&self) -> Vec<String> {
        vec![match &self.counted {
            Ok(counted) => counted.clone(),
            Err(error) => format!("the counting server failed: {error:#}"),
        }]
    }
}

/// The figures of a visit.
fn sample(outcome: &Outcome, start_rss: u64, peak: u64, idle: u64) -> Sample {
    let requests = outcome.requests as f64;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let values = [
        requests / outcome.seconds,
        outcome.p50_us,
        outcome.p99_us,
        outcome.p999_us,
        outcome.cpu_seconds * 1e6 / requests,
        mib(peak),
        mib(idle),
        mib(start_rss),
        mib(outcome.after.live_bytes),
    ];
    Sample { values: values.map(Some).to_vec(), result: None }
}

#[cfg(test)]
mod tests {
    use benches::server::Stats;

    use super::*;
    use crate::running::rounds::tests::settings;

    #[test]
    fn each_figure_has_a_value() {
        let outcome = Outcome {
            requests: 500,
            seconds: 2.0,
            p50_us: 1.0,
            p99_us: 2.0,
            p999_us: 3.0,
            cpu_seconds: 1.0,
            before: Stats::default(),
            after: Stats { live_bytes: 3 << 20, ..Stats::default() },
        };
        let sample = sample(&outcome, 1 << 20, 5 << 20, 4 << 20);
        assert_eq!(sample.values.len(), rows(&settings(1))[0].figures.len());
        let values: Vec<f64> = sample.values.into_iter().flatten().collect();
        assert_eq!(values, [250.0, 1.0, 2.0, 3.0, 2000.0, 5.0, 4.0, 1.0, 3.0]);
    }
}
