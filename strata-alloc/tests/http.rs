//! What is answered over HTTP is what the functions of the crate say, and wrong requests are
//! told what is wrong.
//!
//! There is one profile for the process, so each test that needs it is here but once.

mod common;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use common::{ask, serve};
use strata_alloc::Strata;
use strata_alloc::http::Request;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

type Block = Box<[u64; 8]>;

#[inline(never)]
fn keeps_first(count: usize) -> Vec<Block> {
    let kept = (0..count).map(|n| black_box(Box::new([n as u64; 8]))).collect();
    black_box(kept)
}

#[inline(never)]
fn keeps_later(count: usize) -> Vec<Vec<u8>> {
    let kept = (0..count).map(|_| black_box(vec![1; 1000])).collect();
    black_box(kept)
}

/// The bytes of the folded stacks that have a function.
fn bytes_in(folded: &str, function: &str) -> i64 {
    let lines = folded.lines().filter(|line| line.contains(function));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()).sum()
}

#[track_caller]
fn assert_near(found: i64, exact: i64) {
    assert!((found - exact).abs() * 5 < exact, "{found} instead of {exact}");
}

#[test]
fn the_profile_is_answered() {
    let server = serve(Router::new());
    // Off, with nothing recorded.
    let received = ask(server, "GET", "/heap", "");
    assert_eq!(received.status, 409, "{received:?}");
    assert!(received.text().contains("POST /profile/start"), "{received:?}");

    // For as long as somebody measures; two at a time.
    let begun = Instant::now();
    let (first, second, kept) = thread::scope(|scope| {
        let first = scope.spawn(|| ask(server, "GET", "/heap?seconds=2&format=folded", ""));
        while Strata::profile_rate().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the profile stays off");
            thread::sleep(Duration::from_millis(1));
        }
        let second = scope.spawn(|| ask(server, "GET", "/heap?seconds=3&format=folded", ""));
        // Both have read what was there before.
        thread::sleep(Duration::from_millis(500));
        let kept = keeps_later(100_000);
        (first.join().unwrap(), second.join().unwrap(), kept)
    });
    assert!(begun.elapsed() >= Duration::from_secs(3));
    for received in [first, second] {
        assert_eq!(received.status, 200, "{received:?}");
        // Some 200 samples.
        let found = bytes_in(received.text(), "keeps_later");
        assert!((60_000_000..140_000_000).contains(&found), "{found}");
    }
    assert_eq!(Strata::profile_rate(), None);
    drop(kept);

    // Until it is switched off.
    let received = ask(server, "POST", "/profile/start?bytes=4096", "content-length: 0\r\n");
    assert_eq!(received.status, 200, "{received:?}");
    assert_eq!(Strata::profile_rate(), Some(4096));
    let first = keeps_first(100_000);
    let received = ask(server, "GET", "/heap?format=folded", "");
    assert_near(bytes_in(received.text(), "keeps_first"), 7_200_000);
    let number = received.field("strata-snapshot").unwrap().to_owned();
    let later = keeps_later(10_000);
    let received = ask(server, "GET", &format!("/heap?format=folded&base={number}"), "");
    assert_near(bytes_in(received.text(), "keeps_later"), 10_240_000);
    assert_eq!(bytes_in(received.text(), "keeps_first"), 0, "it did not grow");
    assert_eq!(received.field("strata-snapshot"), None, "a difference is no snapshot");

    // In all forms.
    let received = ask(server, "GET", "/heap", "");
    assert_eq!(received.field("content-type"), Some("application/octet-stream"));
    assert!(received.body.starts_with(&[0x1f, 0x8b]), "it is compressed by gzip");
    let received = ask(server, "GET", "/heap?format=flame", "");
    assert!(received.field("content-type").unwrap().starts_with("text/html"));
    assert!(received.text().contains("keeps_first") && received.text().contains("</html>"));
    let received = ask(server, "GET", "/heap?format=text", "");
    assert!(received.text().contains("keeps_later"), "{}", received.text());
    let received = ask(server, "HEAD", "/heap", "");
    assert!(received.status == 200 && received.body.is_empty());

    let received = ask(server, "GET", "/state", "");
    let text = received.text();
    let start = format!("{{\"profile_bytes\":4096,\"dropped_samples\":0,\"snapshots\":[{number},");
    assert!(text.starts_with(&start), "{text}");
    // The service has a watch, which writes down the first point at once.
    assert!(text.contains("\"history\":[{\"time\":"), "{text}");
    let point = *strata_alloc::history().first().unwrap();
    assert!(point.resident_bytes > 1 << 20 && point.live_bytes > 0, "{point:?}");
    assert!(point.committed_bytes >= point.live_bytes / 2, "{point:?}");
    // There is one watch, so this returns.
    strata_alloc::watch();

    let received = ask(server, "POST", "/profile/stop", "content-length: 0\r\n");
    assert_eq!((received.status, Strata::profile_rate()), (200, None), "{received:?}");
    drop((first, later));
}

#[test]
fn memory_is_explained_and_purged() {
    let server = serve(Router::new());
    let received = ask(server, "GET", "/explain", "");
    assert!(received.text().contains("rounding to classes"), "{received:?}");
    assert_eq!(received.field("cache-control"), Some("no-store"));
    let received = ask(server, "GET", "/explain", "accept: application/json\r\n");
    let rows: BTreeMap<String, u64> = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(rows["all"] * 2, rows.values().sum::<u64>(), "the rows add up: {rows:?}");
    let page = ask(server, "GET", "", "");
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.text().contains("<title>Memory</title>"));
    let received = ask(server, "POST", "/purge", "content-length: 0\r\n");
    assert!(received.text().ends_with(" bytes were returned to the system\n"), "{received:?}");
}

#[test]
fn the_metrics_have_the_form_that_is_wanted() {
    let server = serve(Router::new());
    let prometheus = "accept: application/openmetrics-text;version=1.0.0;q=0.5,\
                      text/plain;version=0.0.4;q=0.3,*/*;q=0.1\r\n";
    for (query, field, kind, start) in [
        ("", "", "text/plain; version=0.0.4; charset=utf-8", "# TYPE strata_build_info gauge\n"),
        (
            "",
            prometheus,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "# TYPE strata_build info\n",
        ),
        ("", "accept: application/json\r\n", "application/json", "{\"version\":"),
        ("?format=json", prometheus, "application/json", "{\"version\":"),
        ("?format=prometheus", prometheus, "text/plain; version=0.0.4; charset=utf-8", "# TYPE"),
    ] {
        let received = ask(server, "GET", &format!("/metrics{query}"), field);
        assert_eq!(received.field("content-type"), Some(kind), "{query} {field}");
        assert!(received.text().starts_with(start), "{received:?}");
        assert!(received.text().contains("live_bytes"), "{received:?}");
    }
}

#[test]
fn wrong_requests_are_told_what_is_wrong() {
    let cases = [
        ("GET", "/nothing", "", 404, "there is no /nothing, only / /explain"),
        ("GET", "/purge", "", 405, "/purge is for POST"),
        ("POST", "/heap", "", 405, "/heap is for GET"),
        ("GET", "/heap", "second=3", 400, "no parameter second, only seconds, base, format"),
        ("GET", "/heap", "seconds=0", 400, "seconds is a number from 1 to 3600"),
        ("GET", "/heap", "seconds=-1", 400, "seconds is a number"),
        ("GET", "/heap", "seconds=99999999999999999999", 400, "seconds is a number"),
        ("GET", "/heap", "seconds", 400, "seconds is a number"),
        ("GET", "/heap", "seconds=1&base=1", 400, "either seconds or base"),
        ("GET", "/heap", "base=12345", 404, "there is no snapshot 12345, only ["),
        ("GET", "/heap", "seconds=3600&format=svg", 400, "format is one of pprof, folded"),
        ("GET", "/explain", "x=1", 400, "no parameter x, only format"),
        ("GET", "/state", "x=1", 400, "no parameter x, only none"),
        ("GET", "/explain", "format=html", 400, "format is one of text, json"),
        ("GET", "/metrics", "format=text", 400, "format is one of prometheus, openmetrics, json"),
        ("POST", "/profile/start", "bytes=0", 400, "bytes is a number from 1"),
    ];
    for (method, path, query, status, told) in cases {
        let answer = Request { method, ..Request::get(path, query) }.answer();
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, status, "{method} {path}?{query}: {text}");
        assert!(text.contains(told), "{method} {path}?{query}: {text}");
        let allow = answer.headers.iter().any(|(name, _)| *name == "allow");
        assert_eq!(allow, status == 405, "{path}");
    }
}

#[test]
fn pages_of_others_are_refused() {
    let server = serve(Router::new());
    let fields = "content-length: 0\r\nsec-fetch-site: cross-site\r\n";
    assert_eq!(ask(server, "POST", "/purge", fields).status, 403);
    let fields = "content-length: 0\r\nsec-fetch-site: same-origin\r\n";
    assert_eq!(ask(server, "POST", "/purge", fields).status, 200);
}
