//! The load: a closed loop of clients on keep-alive connections, in a separate
//! process.
//!
//! It fills the server's cache with a fixed number of orders, measures for a
//! fixed time, reports, and then keeps its connections open and idle until it
//! is told to exit.

pub mod document;
pub mod http;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::order::Reply;
use crate::procfs;
use crate::server::Stats;
use document::{Documents, ID_LENGTH, Random, Template, id};
use http::Connection;

/// Number of different documents.
const DOCUMENTS: usize = 512;
/// Related orders and updates are drawn from this many of the latest orders.
const RECENT: u64 = 2000;
/// One post in this many updates a recent order.
const UPDATE_ONE_IN: u64 = 10;
/// One reply in this many is parsed and compared with the expected one.
const CHECK_ONE_IN: u64 = 64;
/// Time limit for filling the cache with so many orders.
pub fn fill_limit(orders: u64) -> Duration {
    Duration::from_secs(60 + orders / 1_000)
}

/// Parameters of the load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server's address.
    pub address: SocketAddr,
    /// The server's process id.
    pub pid: u32,
    /// Number of connections.
    pub connections: usize,
    /// Orders to post before measuring.
    pub fill: u64,
    /// Duration of the measurement.
    pub measure: Duration,
    /// Seeds the documents and the order in which they are posted.
    pub seed: u64,
}

/// The result, printed as a line of JSON on standard output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Requests answered during the measurement.
    pub requests: u64,
    /// Duration of the measurement.
    pub seconds: f64,
    /// Median latency in microseconds.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p999_us: f64,
    /// The server's user and system time during the measurement.
    pub cpu_seconds: f64,
    /// The server's own statistics at the start of the measurement.
    pub before: Stats,
    /// The server's own statistics at its end.
    pub after: Stats,
}

const FILLING: u8 = 0;
const MEASURING: u8 = 1;
const STOPPING: u8 = 2;

/// Shared by the clients.
struct Shared {
    phase: AtomicU8,
    posted: AtomicU64,
    answered: AtomicU64,
    failed: AtomicBool,
    templates: Vec<Template>,
}

/// Runs `plan`, prints its result and waits until standard input is closed.
pub fn main(plan: &Plan) -> Result<()> {
    let shared = Arc::new(Shared {
        phase: AtomicU8::new(FILLING),
        posted: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        failed: AtomicBool::new(false),
        templates: Documents::new(plan.seed, DOCUMENTS).templates()?,
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores / 4).clamp(1, plan.connections.max(1));
    let (reports, reported) = std::sync::mpsc::channel();
    for thread in 0..threads {
        let (shared, plan, reports) = (Arc::clone(&shared), plan.clone(), reports.clone());
        let numbers: Vec<usize> = (thread..plan.connections).step_by(threads).collect();
        std::thread::Builder::new()
            .name(format!("clients-{thread}"))
            .spawn(move || run_clients(&shared, &plan, &numbers, &reports))?;
    }
    drop(reports);

    let started = Instant::now();
    while shared.answered.load(Relaxed) < plan.fill && !shared.failed.load(Relaxed) {
        ensure!(started.elapsed() < fill_limit(plan.fill), "the cache took too long to fill");
        std::thread::sleep(Duration::from_millis(2));
    }
    let before: Stats = stats(plan.address)?;
    let cpu_before = procfs::cpu_seconds(plan.pid)?;
    let (begin, answered_before) = (Instant::now(), shared.answered.load(Relaxed));
    shared.phase.store(MEASURING, Relaxed);
    while begin.elapsed() < plan.measure && !shared.failed.load(Relaxed) {
        std::thread::sleep((plan.measure - begin.elapsed()).min(Duration::from_millis(50)));
    }
    let cpu_seconds = procfs::cpu_seconds(plan.pid)? - cpu_before;
    let requests = shared.answered.load(Relaxed) - answered_before;
    let seconds = begin.elapsed().as_secs_f64();
    shared.phase.store(STOPPING, Relaxed);

    let mut latencies = histogram()?;
    for _ in 0..threads {
        let part =
            reported.recv_timeout(Duration::from_secs(20)).context("a client does not stop")??;
        latencies.add(part)?;
    }
    let micros = |quantile| latencies.value_at_quantile(quantile) as f64 / 1000.0;
    let outcome = Outcome {
        requests,
        seconds,
        p50_us: micros(0.5),
        p99_us: micros(0.99),
        p999_us: micros(0.999),
        cpu_seconds,
        before,
        after: stats(plan.address)?,
    };
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::to_string(&outcome)?)?;
    out.flush()?;
    // The connections stay open and idle as long as the parent needs them.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn stats(address: SocketAddr) -> Result<Stats> {
    Ok(serde_json::from_slice(&http::get(address, "/stats").context("/stats")?)?)
}

/// Nanoseconds up to one minute, with three digits of precision.
fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1000, 60_000_000_000, 3).context("a histogram")
}

type Report = std::sync::mpsc::Sender<Result<Histogram<u64>>>;

/// Runs the clients with these numbers, reports, and keeps their connections.
fn run_clients(shared: &Arc<Shared>, plan: &Plan, numbers: &[usize], report: &Report) {
    let work = || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut clients = tokio::task::JoinSet::new();
            for number in numbers {
                let seed = plan.seed.wrapping_mul(0x1_0000).wrapping_add(*number as u64);
                let connection = Connection::open(plan.address).await?;
                clients.spawn(client(Arc::clone(shared), connection, Random::new(seed)));
            }
            let mut latencies = histogram()?;
            let mut held = Vec::new();
            while let Some(client) = clients.join_next().await {
                let (part, connection) = client??;
                latencies.add(part)?;
                held.push(connection);
            }
            // The receiver is gone only after the load has ended.
            let _ = report.send(Ok(latencies));
            std::future::pending::<()>().await;
            drop(held);
            Ok(())
        })
    };
    if let Err(error) = work() {
        shared.failed.store(true, Relaxed);
        let _ = report.send(Err(error));
    }
}

/// Posts orders one after the other until the load stops.
async fn client(
    shared: Arc<Shared>,
    mut connection: Connection,
    mut random: Random,
) -> Result<(Histogram<u64>, Connection)> {
    let mut latencies = histogram()?;
    let mut request = Vec::with_capacity(64 << 10);
    loop {
        let phase = shared.phase.load(Relaxed);
        if phase == STOPPING || shared.failed.load(Relaxed) {
            return Ok((latencies, connection));
        }
        let template = &shared.templates[random.below(DOCUMENTS as u64) as usize];
        let number = write_request(&mut request, template, &shared.posted, &mut random);
        let sent = Instant::now();
        let reply = connection.exchange(&request).await?;
        let latency = u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX);
        shared.answered.fetch_add(1, Relaxed);
        if random.below(CHECK_ONE_IN) == 0 {
            check(reply, number, template)?;
        }
        if phase == MEASURING {
            latencies.saturating_record(latency);
        }
    }
}

/// Writes a request with new ids over `request` and returns the order's number.
fn write_request(
    request: &mut Vec<u8>,
    template: &Template,
    posted: &AtomicU64,
    random: &mut Random,
) -> u64 {
    let latest = posted.load(Relaxed);
    let number = if latest > 0 && random.below(UPDATE_ONE_IN) == 0 {
        recent(latest, random)
    } else {
        posted.fetch_add(1, Relaxed)
    };
    request.clear();
    request.extend_from_slice(http::post_head("/orders", template.body.len()).as_bytes());
    let body = request.len();
    request.extend_from_slice(&template.body);
    request[body + template.own..][..ID_LENGTH].copy_from_slice(id(number).as_bytes());
    for place in &template.related {
        let related = id(recent(latest.max(1), random));
        request[body + place..][..ID_LENGTH].copy_from_slice(related.as_bytes());
    }
    number
}

fn recent(latest: u64, random: &mut Random) -> u64 {
    latest - 1 - random.below(latest.min(RECENT))
}

/// A reply that does not match the posted order means that memory was
/// corrupted.
fn check(reply: &[u8], number: u64, template: &Template) -> Result<()> {
    let reply: Reply = serde_json::from_slice(reply).context("a reply that is not JSON")?;
    ensure!(
        reply.id == id(number)
            && reply.total_cents == template.total_cents
            && reply.lines.iter().map(|line| line.amount_cents).sum::<u64>() == reply.total_cents,
        "a wrong reply: posted {} with total {}, got {reply:?}",
        id(number),
        template.total_cents
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_name_recent_orders_only() {
        let templates = Documents::new(1, 1).templates().unwrap();
        let posted = AtomicU64::new(5000);
        let mut random = Random::new(9);
        let mut request = Vec::new();
        for _ in 0..200 {
            let before = posted.load(Relaxed);
            let number = write_request(&mut request, &templates[0], &posted, &mut random);
            assert!(number == before || (before - RECENT..before).contains(&number));
            let text = std::str::from_utf8(&request).unwrap();
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            let order: crate::order::Order = serde_json::from_str(body).unwrap();
            assert_eq!(order.id, id(number));
            assert!(order.related.iter().all(|r| *r < id(before) && *r >= id(before - RECENT)));
        }
        assert!((5150..5200).contains(&posted.load(Relaxed)));
    }

    #[test]
    fn a_wrong_reply_is_found() {
        let template = &Documents::new(2, 1).templates().unwrap()[0];
        let reply = |total_cents| {
            let reply = Reply {
                id: id(4),
                total_cents,
                lines: vec![crate::order::Line {
                    sku: String::new(),
                    label: String::new(),
                    amount_cents: total_cents,
                }],
                related: Vec::new(),
                terms: Vec::new(),
                message: String::new(),
            };
            serde_json::to_vec(&reply).unwrap()
        };
        assert!(check(&reply(template.total_cents), 4, template).is_ok());
        assert!(check(&reply(template.total_cents + 1), 4, template).is_err());
        assert!(check(&reply(template.total_cents), 5, template).is_err());
        assert!(check(b"\0\0", 4, template).is_err());
    }
}
