//! memcached: every response to several concurrent connections is checked.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::folder::Folder;
use crate::installed::find_installed;
use crate::server::{Server, assert_library_loaded};
use crate::twice::Under;

const CONNECTIONS: u64 = 6;

struct Connection(BufReader<UnixStream>);

impl Connection {
    fn new(socket: &Path) -> Option<Self> {
        let stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("setting a timeout");
        Some(Connection(BufReader::new(stream)))
    }

    /// Sends a request and returns the first line of the response.
    fn ask(&mut self, request: &[u8]) -> String {
        self.0.get_mut().write_all(request).expect("the server accepts connections");
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("reading the response");
        line.trim_end().to_owned()
    }

    fn store(&mut self, verb: &str, key: &str, value: &[u8]) -> String {
        let mut request = format!("{verb} {key} 0 0 {}\r\n", value.len()).into_bytes();
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
        self.ask(&request)
    }

    fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        let first = self.ask(format!("get {key}\r\n").as_bytes());
        if first == "END" {
            return None;
        }
        let length = first.strip_prefix(&format!("VALUE {key} 0 ")).expect("a value of this key");
        let mut value = vec![0; length.parse().expect("a number")];
        self.0.read_exact(&mut value).expect("reading the value");
        assert_eq!((self.line(), self.line()), (String::new(), "END".to_owned()));
        Some(value)
    }

    /// A value from the server's statistics.
    fn number(&mut self, name: &str) -> u64 {
        let mut line = self.ask(b"stats\r\n");
        let mut found = None;
        while line != "END" {
            let value = line.strip_prefix("STAT ").and_then(|it| it.strip_prefix(name));
            found = found.or(value.and_then(|it| it.strip_prefix(' ')?.parse().ok()));
            line = self.line();
        }
        found.unwrap_or_else(|| panic!("no {name}"))
    }
}

/// Bytes that identify the key and the round.
fn value(seed: u64, length: usize) -> Vec<u8> {
    format!("{seed:016x}").bytes().cycle().take(length).collect()
}

/// A client with its own keys: sets, appends, deletes, and reads everything
/// back. Returns the number of remaining keys.
fn client(socket: &Path, id: u64) -> usize {
    let mut connection = Connection::new(socket).expect("the server accepts connections");
    let mut model: HashMap<u64, Vec<u8>> = HashMap::new();
    let mut random = id + 1;
    for round in 0..15_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        let key = (random >> 33) % 900;
        let name = format!("{id}-{key}");
        let new = value(random, 1 + (random >> 50) as usize % 3000);
        match (random >> 45) % 8 {
            0..3 => {
                assert_eq!(connection.store("set", &name, &new), "STORED");
                model.insert(key, new);
            }
            3 => {
                let deleted = connection.ask(format!("delete {name}\r\n").as_bytes());
                let expected = if model.remove(&key).is_some() { "DELETED" } else { "NOT_FOUND" };
                assert_eq!(deleted, expected);
            }
            4 if model.get(&key).is_some_and(|it| it.len() < 20_000) => {
                assert_eq!(connection.store("append", &name, &new), "STORED");
                model.get_mut(&key).expect("a stored key").extend(new);
            }
            5 => {
                let stored = connection.store("add", &name, &new);
                let expected = if model.contains_key(&key) { "NOT_STORED" } else { "STORED" };
                assert_eq!(stored, expected);
                model.entry(key).or_insert(new);
            }
            _ => assert_eq!(connection.get(&name).as_ref(), model.get(&key), "{name}"),
        }
        if round % 100 == 0 {
            let count = connection.ask(b"incr counter 1\r\n");
            assert!(count.parse::<u64>().is_ok(), "{count}");
        }
    }
    for (key, value) in &model {
        assert_eq!(connection.get(&format!("{id}-{key}")).as_ref(), Some(value));
    }
    model.len()
}

/// Stores more than the server may keep: the remaining values are intact, and
/// some were evicted.
fn crowd(connection: &mut Connection) {
    let large = |key: u64| value(key, 100_000 + key as usize * 5000 % 900_000);
    for key in 0..300 {
        assert_eq!(connection.store("set", &format!("large-{key}"), &large(key)), "STORED");
    }
    let mut here = 0;
    for key in 0..300 {
        if let Some(value) = connection.get(&format!("large-{key}")) {
            assert!(value == large(key), "wrong value of large-{key}");
            here += 1;
        }
    }
    assert!((1..300).contains(&here), "{here} of 300 large values were kept");
}

fn start(program: &Path, folder: &Folder) -> (Server, PathBuf) {
    let socket = folder.at("socket");
    let mut command = Under::Library.command(program);
    command.args(["-t", "4", "-m", "64", "-I", "2m", "-u", "root", "-s"]).arg(&socket);
    let mut server = Server::start(&mut command, folder.at("log"));
    server.ready(|| Connection::new(&socket));
    (server, socket)
}

#[test]
fn answers_are_right() {
    let Some(program) = find_installed("memcached", "memcached", "--version") else { return };
    let folder = Folder::new("memcached");
    let (server, socket) = start(&program, &folder);
    assert_library_loaded(server.pid());

    let mut connection = Connection::new(&socket).expect("the server accepts connections");
    assert_eq!(connection.store("set", "counter", b"0"), "STORED");
    let keys: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|id| {
                scope.spawn({
                    let socket = &socket;
                    move || client(socket, id)
                })
            })
            .collect();
        clients.into_iter().map(|it| it.join().expect("a client thread")).sum()
    });
    assert_eq!(connection.get("counter"), Some((150 * CONNECTIONS).to_string().into_bytes()));
    assert_eq!(connection.number("curr_items"), keys as u64 + 1);

    crowd(&mut connection);
    assert_eq!(connection.ask(b"flush_all\r\n"), "OK");
    assert_eq!(connection.get("counter"), None);
    server.stop("TERM");
}
