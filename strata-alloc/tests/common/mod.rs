//! A server with the service mounted, and a client.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// Where the server mounts the service.
pub(crate) const PLACE: &str = "/debug/memory";

/// Starts a server, with the service and `others`, that runs until the process ends.
pub(crate) fn serve(others: Router) -> SocketAddr {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            let app = others.nest_service(PLACE, strata_alloc::http::service());
            axum::serve(listener, app).await.unwrap();
        });
    });
    receiver.recv().unwrap()
}

/// An answer as it was received.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    /// In lower case, with the status line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(it, _)| *it == name).map(|(_, value)| value)
    }
}

/// Asks the service, with more fields, each ended by a line break.
pub(crate) fn ask(server: SocketAddr, method: &str, path: &str, fields: &str) -> Received {
    let mut stream = TcpStream::connect(server).unwrap();
    let head = format!(
        "{method} {PLACE}{path} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n{fields}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let end = all.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let head = str::from_utf8(&all[..end]).unwrap().to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Received { status, head, body: all[end + 4..].to_vec() }
}
