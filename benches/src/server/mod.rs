//! The server: HTTP/1.1 and JSON on tokio and axum, with a bounded cache.
//!
//! A posted order is passed between threads as in real services. The
//! connection's task parses it; a pool thread prices it, builds the reply from
//! the cache and stores the order there; the thread that pushes the cache over
//! its limit frees the evicted orders; the connection's task writes the reply
//! and frees what the pool thread built.

pub mod shop;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::counting::Counts;
use crate::order::Order;
use shop::Shop;

/// First word of the line that a server prints once it listens.
pub const READY: &str = "listening";

/// The reply to `/stats`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Orders processed since the start.
    pub requests: u64,
    /// Orders in the cache.
    pub entries: u64,
    /// Bytes that those orders keep allocated.
    pub live_bytes: u64,
    /// Blocks allocated, if the server counts them.
    pub allocations: u64,
    /// Blocks resized, if the server counts them.
    pub reallocations: u64,
    /// Blocks freed, if the server counts them.
    pub frees: u64,
    /// Blocks freed by a thread that did not allocate them, if counted.
    pub remote_frees: u64,
}

/// A function that reads the global allocator's counts.
pub type CountsFn = fn() -> Counts;

struct App {
    shop: Shop,
    requests: AtomicU64,
    counts: Option<CountsFn>,
}

/// Command line options.
struct Settings {
    /// Limit of the cache in bytes.
    cache_bytes: u64,
    /// Number of runtime threads, and of pool threads.
    workers: usize,
}

impl Settings {
    fn parse(args: &[&str]) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut settings = Self { cache_bytes: 64 << 20, workers: cores };
        for pair in args.chunks(2) {
            match pair {
                ["--cache-mib", value] => settings.cache_bytes = value.parse::<u64>()? << 20,
                ["--workers", value] => settings.workers = value.parse::<usize>()?.max(1),
                _ => anyhow::bail!("unknown arguments {pair:?}"),
            }
        }
        Ok(settings)
    }
}

/// Serves until standard input is closed.
pub fn run(name: &str, version: &str, counts: Option<CountsFn>, args: &[&str]) -> Result<()> {
    serve(name, version, counts, &Settings::parse(args)?)
}

fn serve(name: &str, version: &str, counts: Option<CountsFn>, settings: &Settings) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers)
        .enable_all()
        .build()?;
    let app = Arc::new(App {
        shop: Shop::start(settings.cache_bytes, settings.workers)?,
        requests: AtomicU64::new(0),
        counts,
    });
    std::thread::Builder::new().name("stdin".into()).spawn(exit_with_parent)?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut out = std::io::stdout();
        writeln!(out, "{READY} {address} {name} {version}")?;
        out.flush()?;
        let router = Router::new()
            .route("/orders", post(post_order))
            .route("/stats", get(get_stats))
            .with_state(app);
        axum::serve(listener, router).await.context("serving")
    })
}

/// Ends the process when its parent closes the pipe or dies.
fn exit_with_parent() {
    let mut rest = [0_u8; 64];
    while matches!(std::io::stdin().read(&mut rest), Ok(n) if n > 0) {}
    std::process::exit(0);
}

async fn post_order(State(app): State<Arc<App>>, body: Bytes) -> Response {
    let order: Order = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    drop(body);
    let terms = shop::search_terms(&order);
    let Some(reply) = app.shop.place(order, terms).await else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "the pool has stopped").into_response();
    };
    app.requests.fetch_add(1, Relaxed);
    json(&reply)
}

async fn get_stats(State(app): State<Arc<App>>) -> Response {
    let counts = app.counts.map(|counts| counts()).unwrap_or_default();
    let (entries, live_bytes) = app.shop.live();
    json(&Stats {
        requests: app.requests.load(Relaxed),
        entries,
        live_bytes,
        allocations: counts.allocations,
        reallocations: counts.reallocations,
        frees: counts.frees,
        remote_frees: counts.remote_frees,
    })
}

fn json<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_pairs() {
        let settings = Settings::parse(&["--cache-mib", "3", "--workers", "0"]).unwrap();
        assert_eq!((settings.cache_bytes, settings.workers), (3 << 20, 1));
        assert!(Settings::parse(&["--cache-mib"]).is_err());
        assert!(Settings::parse(&["--cash-mib", "3"]).is_err());
    }
}
