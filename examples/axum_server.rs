//! A server of axum: the public at one address, operators at another.
//!
//! ```sh
//! cargo run --release -p examples --bin axum_server
//! curl -X POST http://127.0.0.1:3000/words -d 'some words'
//! curl http://127.0.0.1:3001/debug/memory/explain
//! ```

use std::io;
use std::sync::{Mutex, PoisonError};

use axum::Router;
use axum::routing::{get, post};
use strata_alloc::{Strata, http};
use tokio::net::TcpListener;

#[global_allocator]
static GLOBAL: Strata = Strata::new();

/// What the server keeps, and never drops: for the profile to show.
static WORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());

async fn keep(text: String) -> String {
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    words.extend(text.split_whitespace().map(str::to_owned));
    format!("{} words\n", words.len())
}

fn main() -> io::Result<()> {
    strata_alloc::tokio::builder().build()?.block_on(async {
        let public = Router::new().route("/", get("hello\n")).route("/words", post(keep));
        let operators = Router::new().nest_service("/debug/memory", http::service());
        let listener = TcpListener::bind("127.0.0.1:3001").await?;
        tokio::spawn(async { axum::serve(listener, operators).await });
        axum::serve(TcpListener::bind("127.0.0.1:3000").await?, public).await
    })
}
