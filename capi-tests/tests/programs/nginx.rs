//! nginx: a master with workers serves files, compresses them and proxies
//! requests, while it is told to replace its workers.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::folder::Folder;
use crate::installed::find_installed;
use crate::server::{Server, assert_library_loaded, children, explained, wait};
use crate::twice::{Under, assert_same_output};

const CLIENTS: usize = 6;

/// Sizes of the files: empty, less than a buffer, many buffers.
const SIZES: &[usize] = &[0, 1, 900, 20_000, 70_000, 1_500_000];

struct Nginx {
    server: Server,
    socket: PathBuf,
}

fn page(size: usize) -> Vec<u8> {
    let mut text = String::new();
    let mut number = size as u64;
    while text.len() < size {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(7);
        writeln!(text, "<p>{} of {size}</p>", number >> 40).expect("writing to a string");
    }
    text.truncate(size);
    text.into_bytes()
}

fn configuration(folder: &Path) -> String {
    let here = folder.display();
    // As root, nginx would switch to another user, who may not have access to
    // the directory.
    let root = folder.metadata().expect("reading the directory").uid() == 0;
    let user = if root { "user root;" } else { "" };
    format!(
        "daemon off; master_process on; worker_processes 2; {user}
pid {here}/pid; error_log stderr;
events {{ worker_connections 200; }}
http {{
    access_log {here}/access;
    client_body_temp_path {here}/t1; proxy_temp_path {here}/t2; fastcgi_temp_path {here}/t3;
    uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5;
    default_type text/html; gzip_proxied any; gzip_vary on;
    server {{
        listen unix:{here}/socket;
        location / {{ root {here}/files; }}
        location /small/ {{ alias {here}/files/; gzip on; gzip_comp_level 5; }}
        location /list/ {{ alias {here}/files/; autoindex on; autoindex_format json; }}
        location /on/ {{ proxy_pass http://unix:{here}/socket:/; proxy_buffering on; }}
        location ~ ^/say/(.*)$ {{ return 200 \"$1 $request_method $arg_a\"; }}
    }}
}}
"
    )
}

impl Nginx {
    fn start(program: &Path, folder: &Folder, under: Under) -> Self {
        std::fs::create_dir(folder.at("files")).expect("creating a directory");
        for &size in SIZES {
            folder.write(&format!("files/{size}"), page(size));
        }
        let file = folder.write("nginx.conf", configuration(folder.path()));
        let mut command = under.command(program);
        command.arg("-p").arg(folder.path()).arg("-c").arg(file);
        // As in `docs/recipes.md`.
        command.env("STRATA_CONF", "explain:exit");
        let mut server = Server::start(&mut command, folder.at("log"));
        let socket = folder.at("socket");
        server.ready(|| UnixStream::connect(&socket).ok());
        Nginx { server, socket }
    }
}

/// A connection that is reused for as long as the server keeps it open.
struct Connection<'a> {
    socket: &'a Path,
    stream: Option<BufReader<UnixStream>>,
}

impl Connection<'_> {
    /// The body of a page. A worker that exits closes idle connections: the
    /// request is then repeated on a new connection.
    fn get(&mut self, page: &str) -> Vec<u8> {
        let kept = self.stream.is_some();
        match self.try_get(page) {
            Ok(body) => body,
            Err(_) if kept => {
                self.stream = None;
                self.try_get(page).unwrap_or_else(|error| panic!("{page}: {error}"))
            }
            Err(error) => panic!("{page}: {error}"),
        }
    }

    fn try_get(&mut self, page: &str) -> std::io::Result<Vec<u8>> {
        if self.stream.is_none() {
            let stream = UnixStream::connect(self.socket)?;
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut().expect("a connection");
        let compressed = if page.starts_with("/small/") { "Accept-Encoding: gzip\r\n" } else { "" };
        write!(stream.get_mut(), "GET {page} HTTP/1.1\r\nHost: localhost\r\n{compressed}\r\n")?;
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        assert!(line.starts_with("HTTP/1.1 200"), "{page}: {line}");
        let (mut length, mut close) = (None, false);
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line)?;
            let header = line.to_ascii_lowercase();
            length = length.or(header
                .strip_prefix("content-length:")
                .map(|it| it.trim().parse::<usize>().expect("a number")));
            close |= header.trim_end() == "connection: close";
        }
        let body = match length {
            Some(length) => {
                let mut body = vec![0; length];
                stream.read_exact(&mut body)?;
                body
            }
            None => chunks(stream)?,
        };
        if close {
            self.stream = None;
        }
        Ok(body)
    }
}

fn chunks(stream: &mut BufReader<UnixStream>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim_end(), 16).expect("a hexadecimal number");
        let start = body.len();
        // A line break follows each chunk.
        body.resize(start + length + 2, 0);
        stream.read_exact(&mut body[start..])?;
        body.truncate(start + length);
        if length == 0 {
            return Ok(body);
        }
    }
}

/// Runs clients that request all files by one of `ways`, again and again, while
/// `meanwhile` runs. Its argument is the number of pages served.
fn load(socket: &Path, ways: &[&str], meanwhile: impl FnOnce(&AtomicUsize)) {
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for id in 0..CLIENTS {
            let (over, served) = (&over, &served);
            scope.spawn(move || client(socket, ways, id, over, served));
        }
        // The clients are told to stop even if an assertion fails here.
        let _end = End(&over);
        meanwhile(&served);
    });
}

fn client(socket: &Path, ways: &[&str], id: usize, over: &AtomicBool, served: &AtomicUsize) {
    let mut connection = Connection { socket, stream: None };
    let mut round = id;
    while !over.load(Ordering::Relaxed) {
        let size = SIZES[round % SIZES.len()];
        let way = ways[round / SIZES.len() % ways.len()];
        assert!(
            connection.get(&format!("{way}/{size}")) == page(size),
            "wrong body of {way}/{size}"
        );
        let said = connection.get(&format!("{way}/say/{round}?a={id}"));
        assert_eq!(String::from_utf8_lossy(&said), format!("{round} GET {id}"));
        if round.is_multiple_of(7) {
            connection.stream = None;
        }
        round += 1;
        served.fetch_add(2, Ordering::Relaxed);
    }
}

fn wait_for(served: &AtomicUsize, enough: usize) {
    wait("the load", || (served.load(Ordering::Relaxed) >= enough).then_some(()));
}

/// Pages compressed by the server.
fn compressed(socket: &Path) -> Vec<u8> {
    let mut connection = Connection { socket, stream: None };
    let mut all = Vec::new();
    for &size in &SIZES[2..] {
        let body = connection.get(&format!("/small/{size}"));
        assert!(body.len() < size && body.starts_with(&[0x1f, 0x8b]), "{size} is not compressed");
        all.extend(body);
    }
    all
}

#[test]
fn pages_are_the_same() {
    let Some(program) = find_installed("nginx", "nginx", "-v") else { return };
    assert_same_output(|under| {
        let folder = Folder::new("nginx-same");
        let nginx = Nginx::start(&program, &folder, under);
        let pages = compressed(&nginx.socket);
        nginx.server.stop("QUIT");
        pages
    });
}

#[test]
fn serves_while_workers_change() {
    let Some(program) = find_installed("nginx", "nginx", "-v") else { return };
    let folder = Folder::new("nginx");
    let nginx = Nginx::start(&program, &folder, Under::Library);
    let master = nginx.server.pid();
    load(&nginx.socket, &["/on", "", "/on/on"], |served| wait_for(served, 1000));
    // A worker that exits may drop a request that it proxied to itself: while
    // workers are replaced, files are requested directly.
    load(&nginx.socket, &[""], |served| {
        for reload in 1..=3 {
            wait_for(served, reload * 400);
            let before = children(master);
            assert_eq!(before.len(), 2, "workers of {master}");
            before.iter().chain([&master]).for_each(|&pid| assert_library_loaded(pid));
            nginx.server.signal("HUP");
            wait("new workers", || {
                let now = children(master);
                (now.len() == 2 && now.iter().all(|it| !before.contains(it))).then_some(())
            });
        }
    });
    let mut connection = Connection { socket: &nginx.socket, stream: None };
    let list = String::from_utf8(connection.get("/list/")).expect("UTF-8 text");
    assert_eq!(list.matches("\"type\":\"file\"").count(), SIZES.len(), "{list}");
    nginx.server.stop("QUIT");
    let errors = std::fs::read_to_string(folder.at("log")).expect("reading the log");
    // The master and its workers.
    explained(&errors, 2.0);
    let bad = ["[alert]", "[crit]", "[emerg]"];
    assert!(!bad.iter().any(|it| errors.contains(it)), "{errors}");
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
