//! The page works in a real browser: it shows everything, a click into the flame graph works, and
//! nothing is wrong on the console.

mod common;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::{env, fs};

use axum::Router;
use axum::response::Html;
use axum::routing::{get, post};
use common::{PLACE, serve};
use strata_alloc::Strata;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

#[inline(never)]
fn keeps_for_the_page() {
    KEPT.lock().unwrap().extend((0..32).map(|_| vec![1; 4 << 20]));
}

/// The browser, if it is installed.
fn browser() -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).map(|folder| folder.join("chromium")).find(|it| it.exists())
}

fn browse(browser: &PathBuf, arguments: &[&str]) -> Output {
    let profile = tempfile::tempdir().unwrap();
    // It asks no other server for anything, and runs in containers, too.
    Command::new("timeout")
        .arg("60")
        .arg(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .args(["--enable-logging=stderr", "--window-size=1200,1300"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn the_page_works_in_a_browser() {
    let Some(browser) = browser() else {
        assert!(env::var_os("CI").is_none(), "chromium is not installed");
        return eprintln!("SKIPPED: chromium is not installed");
    };
    let others = Router::new()
        .route("/test", get(|| async { Html(include_str!("browser.html")) }))
        .route("/keep", post(|| async { keeps_for_the_page() }));
    let server = serve(others);

    let url = format!("http://{server}/test");
    let output = browse(&browser, &["--virtual-time-budget=60000", "--dump-dom", &url]);
    let page = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(page.contains("<pre id=\"told\">passed</pre>"), "{page}\n{said}");
    assert!(!said.contains("CONSOLE"), "{said}");

    // For people to look at.
    let picture = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page.png");
    let option = format!("--screenshot={}", picture.display());
    let url = format!("http://{server}{PLACE}/");
    let output = browse(&browser, &["--virtual-time-budget=20000", &option, &url]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("CONSOLE"), "{said}");
    let size = fs::metadata(&picture).map_or(0, |it| it.len());
    assert!(size > 20_000, "{size} bytes are no picture of a page: {said}");
    println!("the page: {}", picture.display());
}
