//! A Redis server on a preloaded allocator, driven by Redis' own benchmark on
//! the usual one. Only the server is measured.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};
use benches::measured::Measured;
use benches::process::Leashed;

use crate::allocators::Allocator;
use crate::jobs::{finish, measuring};

/// How long the server may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// The programs, and how much to ask.
pub(crate) struct Redis {
    pub(crate) server: PathBuf,
    pub(crate) load: PathBuf,
    /// Where the socket goes.
    pub(crate) dir: PathBuf,
    /// Requests of each kind.
    pub(crate) requests: u64,
}

/// What is asked: the commands and the bytes of a value. The second pass finds
/// the keys of the first, with values of another size.
const PASSES: [(&str, &str); 3] = [("set,get", "50"), ("set,get", "300"), ("lpush", "100")];

impl Redis {
    /// A server's life.
    pub(crate) fn sample(
        &self,
        runner: &Path,
        allocator: &Allocator,
        limit: Duration,
    ) -> Result<Measured> {
        let socket = self.dir.join("redis.socket");
        let _ = fs::remove_file(&socket);
        // The server switches the background thread of the jemalloc that it is
        // linked with by itself, whatever the environment says.
        let background = if allocator.name == "jemalloc-bg" { "yes" } else { "no" };
        let mut command = measuring(runner, allocator, &self.server);
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--loglevel", "warning"]);
        command.args(["--jemalloc-bg-thread", background]);
        command.arg("--dir").arg(&self.dir).arg("--unixsocket").arg(&socket);
        let mut server = Leashed::start(&mut command, "redis-server")?;
        let mut client = Client::connect(&socket, &mut server)?;
        for (tests, bytes) in PASSES {
            self.drive(&socket, tests, bytes, limit)?;
            server.check()?;
        }
        let (pushed, keys) = (client.ask("LLEN mylist")?, client.ask("DBSIZE")?);
        ensure!(keys > 1, "the server has {keys} keys");
        client.say("SHUTDOWN NOSAVE")?;
        let measured = finish(&mut server, PATIENCE)?;
        // Which keys there are is up to the load's own random numbers.
        Ok(Measured { output: format!("{pushed} elements"), ..measured })
    }

    fn drive(&self, socket: &Path, tests: &str, bytes: &str, limit: Duration) -> Result<()> {
        let mut command = Command::new(&self.load);
        command.arg("-s").arg(socket).args(["-q", "-c", "20", "-P", "16", "-r", "100000"]);
        command.args(["-n", &self.requests.to_string(), "-t", tests, "-d", bytes]);
        let mut load = Leashed::start(&mut command, "redis-benchmark")?;
        let (status, _) = load.run(limit)?;
        if !status.success() {
            bail!("redis-benchmark: {status}: {}", load.errors().join("; "));
        }
        Ok(())
    }
}

/// A connection for single commands.
struct Client(BufReader<UnixStream>);

impl Client {
    /// Waits until the server listens.
    fn connect(socket: &Path, server: &mut Leashed) -> Result<Client> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            server.check()?;
            match UnixStream::connect(socket) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE))?;
                    return Ok(Client(BufReader::new(stream)));
                }
                Err(error) if Instant::now() > deadline => {
                    return Err(error).context("redis-server does not listen");
                }
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn say(&mut self, command: &str) -> Result<()> {
        Ok(self.0.get_mut().write_all(format!("{command}\r\n").as_bytes())?)
    }

    /// The number that answers a command.
    fn ask(&mut self, command: &str) -> Result<u64> {
        self.say(command)?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let number = line.strip_prefix(':').and_then(|number| number.trim().parse().ok());
        number.with_context(|| format!("{command} was answered with {line:?}"))
    }
}
