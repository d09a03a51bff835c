//! A server under load is profiled, purged and scraped all the while, and loses nothing: three
//! seconds, nightly a minute. It prints how many requests it has answered.

mod common;

use std::env;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use common::{ask, serve};
use strata_alloc::Strata;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// Connections with requests one after the other.
const CLIENTS: usize = 8;

static SERVED: AtomicU64 = AtomicU64::new(0);

/// Sends the words back in the opposite order: some blocks for each of them, some freed by
/// another thread.
async fn turn(body: Bytes) -> String {
    let words: Vec<String> = String::from_utf8_lossy(&body).split(' ').map(str::to_owned).collect();
    tokio::task::yield_now().await;
    SERVED.fetch_add(1, Ordering::Relaxed);
    words.into_iter().rev().collect::<Vec<_>>().join(" ")
}

/// Asks until `stop`, and checks each answer. Returns how many there were.
fn client(server: SocketAddr, seed: usize, stop: &AtomicBool) -> u64 {
    let mut stream = BufReader::new(TcpStream::connect(server).unwrap());
    let mut answers = 0;
    while !stop.load(Ordering::Relaxed) {
        let count = 1 + (answers as usize * 31 + seed * 7) % 200;
        let words: Vec<String> = (0..count).map(|n| format!("{seed}-{n}-{answers}")).collect();
        let body = words.join(" ");
        let request = format!(
            "POST /turn HTTP/1.1\r\nhost: {server}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            assert!(stream.read_line(&mut line).unwrap() > 0, "the connection has ended");
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).unwrap();
        let turned = words.into_iter().rev().collect::<Vec<_>>().join(" ");
        assert_eq!(str::from_utf8(&answer), Ok(&*turned));
        answers += 1;
    }
    answers
}

/// What an operator does, again and again. Returns how often.
fn operator(server: SocketAddr, method: &str, path: &str, stop: &AtomicBool) -> u64 {
    let mut times = 0;
    while !stop.load(Ordering::Relaxed) {
        let received = ask(server, method, path, "content-length: 0\r\n");
        assert_eq!(received.status, 200, "{method} {path}: {received:?}");
        assert!(!received.body.is_empty());
        times += 1;
        thread::sleep(Duration::from_millis(100));
    }
    times
}

#[test]
fn nothing_is_lost_under_load() {
    let seconds = if env::var_os("STRATA_NIGHTLY").is_some() { 60 } else { 3 };
    let server = serve(Router::new().route("/turn", post(turn)));
    let (begun, stop) = (Instant::now(), AtomicBool::new(false));
    const ORDERS: [(&str, &str); 6] = [
        ("GET", "/metrics"),
        ("POST", "/purge"),
        ("GET", "/explain"),
        ("GET", "/state"),
        ("GET", "/heap?seconds=1"),
        ("GET", "/heap?seconds=1&format=flame"),
    ];
    thread::scope(|scope| {
        let stop = &stop;
        let clients = (0..CLIENTS).map(|seed| scope.spawn(move || client(server, seed, stop)));
        let clients: Vec<_> = clients.collect();
        let operators = ORDERS.map(|(method, path)| {
            scope.spawn(move || (path, operator(server, method, path, stop)))
        });
        thread::sleep(Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
        let answers: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        let elapsed = begun.elapsed();
        assert_eq!(answers, SERVED.load(Ordering::Relaxed));
        println!("{:.0} requests/s", answers as f64 / elapsed.as_secs_f64());
        for operator in operators {
            let (path, times) = operator.join().unwrap();
            assert!(times > 0, "{path}");
            println!("{path}: {times} times");
        }
    });
    assert_eq!(Strata::profile_rate(), None);
}
