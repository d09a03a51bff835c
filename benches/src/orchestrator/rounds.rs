//! The rounds: each visits every allocator once, with a new server process.
//!
//! While a server is idle before its idle reading, the next one is already
//! driven: an idle server uses almost no CPU time.

use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use benches::load::Outcome;
use benches::process::Leashed;
use benches::progress::Progress;
use benches::{procfs, server};

use crate::orchestrator::cli::Settings;
use crate::orchestrator::figures::{Contender, Footprint, Sample};

/// Time limit for a server to listen.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Time limit for the load in addition to the time that it measures.
const LOAD_LIMIT: Duration = Duration::from_secs(90);
/// How long a new server settles before its memory is read.
const SETTLE: Duration = Duration::from_millis(100);

/// A server that listens.
struct Server {
    process: Leashed,
    address: String,
    version: String,
}

impl Server {
    fn start(program: &Path, cache_mib: u64) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["--cache-mib", &cache_mib.to_string()]);
        let mut process = Leashed::start(&mut command, "the server")?;
        let line = process.line(START_LIMIT)?;
        let mut words = line.splitn(4, ' ');
        ensure!(words.next() == Some(server::READY), "unexpected output of the server: {line:?}");
        let address = words.next().context("no address in the line")?.to_owned();
        let version = words.nth(1).unwrap_or_default().to_owned();
        Ok(Self { process, address, version })
    }

    /// Starts a load on this server and waits for its result. The load keeps
    /// its connections open until it is dropped.
    fn drive(&mut self, load: &LoadSize, seed: u64) -> Result<(Leashed, Outcome)> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["load", "--address", &self.address])
            .args(["--pid", &self.process.pid().to_string()])
            .args(["--connections", &load.connections.to_string()])
            .args(["--fill", &load.fill.to_string()])
            .args(["--seconds", &load.measure.as_secs_f64().to_string()])
            .args(["--seed", &seed.to_string()]);
        let mut client = Leashed::start(&mut command, "the load")?;
        let line = client.line(load.measure + LOAD_LIMIT);
        // If the load failed and the server died, the server's error is
        // reported.
        self.process.check()?;
        let outcome: Outcome = serde_json::from_str(&line?).context("the load's outcome")?;
        ensure!(outcome.requests > 0, "no request was answered");
        Ok((client, outcome))
    }
}

struct LoadSize {
    connections: usize,
    fill: u64,
    measure: Duration,
}

/// Runs the counting server briefly.
pub(crate) fn footprint(program: &Path, progress: &Progress) -> Result<Footprint> {
    progress.now("counting allocations");
    let mut server = Server::start(program, 8)?;
    let load = LoadSize { connections: 32, fill: 2500, measure: Duration::from_secs(1) };
    let (_client, Outcome { before, after, .. }) = server.drive(&load, 1)?;
    let requests = (after.requests - before.requests) as f64;
    let allocations = (after.allocations - before.allocations) as f64;
    let resizes = (after.reallocations - before.reallocations) as f64;
    let remote = (after.remote_frees - before.remote_frees) as f64;
    Ok(Footprint {
        allocations_per_request: allocations / requests,
        reallocations_per_request: resizes / requests,
        remote_share: remote / allocations,
    })
}

/// A visit whose server is idle until its idle memory has been read.
struct Resting {
    contender: usize,
    reader: JoinHandle<Result<Rested>>,
}

/// A finished visit; dropping it ends the server and its clients.
struct Rested {
    sample: Sample,
    _server: Server,
    _client: Leashed,
}

/// Runs all rounds and stores the samples, or the errors, in the contenders.
pub(crate) fn run(contenders: &mut [Contender], settings: &Settings, progress: &Progress) {
    let mut resting: Vec<Resting> = Vec::new();
    progress.steps(u64::from(settings.rounds) * contenders.len() as u64);
    for round in 0..settings.rounds {
        progress.now(&format!("round {} of {}", round + 1, settings.rounds));
        for place in 0..contenders.len() {
            // Each round starts with another allocator.
            let index = (place + round as usize) % contenders.len();
            progress.step();
            let contender = &contenders[index];
            let (None, Some(program)) = (&contender.error, &contender.program) else {
                continue;
            };
            progress.now(&format!("round {}: {}", round + 1, contender.name));
            match visit(program, round, settings) {
                Ok((version, reader)) => {
                    contenders[index].version = Some(version);
                    resting.push(Resting { contender: index, reader });
                }
                Err(error) => give_up(&mut contenders[index], round, &error, progress),
            }
            // Between two visits, so that the end of a server does not disturb
            // another.
            let (done, waiting) = resting.into_iter().partition(|r| r.reader.is_finished());
            resting = waiting;
            collect(done, contenders, round, progress);
        }
    }
    progress.now("waiting for the last idle readings");
    collect(resting, contenders, settings.rounds - 1, progress);
}

fn give_up(contender: &mut Contender, round: u32, error: &anyhow::Error, progress: &Progress) {
    let error = format!("failed in round {}: {error:#}", round + 1);
    progress.say(&format!("{}: {error}", contender.name));
    contender.error.get_or_insert(error);
}

fn collect(done: Vec<Resting>, contenders: &mut [Contender], round: u32, progress: &Progress) {
    for Resting { contender, reader } in done {
        let contender = &mut contenders[contender];
        match reader.join() {
            Ok(Ok(rested)) => contender.samples.push(rested.sample),
            Ok(Err(error)) => give_up(contender, round, &error, progress),
            Err(_) => {
                give_up(contender, round, &anyhow::anyhow!("the idle reading failed"), progress);
            }
        }
    }
}

/// Drives a new server; the returned thread finishes with the idle reading.
fn visit(
    program: &Path,
    round: u32,
    settings: &Settings,
) -> Result<(String, JoinHandle<Result<Rested>>)> {
    let mut server = Server::start(program, settings.cache_mib)?;
    std::thread::sleep(SETTLE);
    let pid = server.process.pid();
    let start_rss = procfs::resident_bytes(pid)?;
    let load = LoadSize {
        connections: settings.connections,
        fill: settings.fill,
        measure: settings.measure,
    };
    // The same requests for every allocator, different ones in the next round.
    let (mut client, outcome) = server.drive(&load, u64::from(round) + 1)?;
    let (version, due) = (server.version.clone(), Instant::now() + settings.idle);
    let requests = outcome.requests as f64;
    let mut sample = Sample {
        round,
        requests_per_s: requests / outcome.seconds,
        p50_us: outcome.p50_us,
        p99_us: outcome.p99_us,
        p999_us: outcome.p999_us,
        cpu_s_per_million: outcome.cpu_seconds * 1e6 / requests,
        start_rss_bytes: start_rss as f64,
        live_bytes: outcome.after.live_bytes as f64,
        ..Sample::default()
    };
    let reader = std::thread::spawn(move || {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        server.process.check()?;
        client.check()?;
        sample.idle_rss_bytes = procfs::resident_bytes(pid)? as f64;
        sample.peak_rss_bytes = procfs::peak_resident_bytes(pid)? as f64;
        Ok(Rested { sample, _server: server, _client: client })
    });
    Ok((version, reader))
}
