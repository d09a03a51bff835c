//! A Redis server, Redis' own benchmark as the load, and single commands.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::Leashed;

/// Time limit for the server to listen, to reply, and to exit.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a server without persistence at `socket`; the arguments are added to
/// `command`. `background` enables the background thread of the jemalloc that
/// Debian's server is linked with, which the server otherwise controls itself,
/// whatever the environment says.
pub fn serve(command: &mut Command, socket: &Path, background: bool) -> Result<Leashed> {
    let _ = fs::remove_file(socket);
    command.args(["--port", "0", "--save", "", "--appendonly", "no", "--loglevel", "warning"]);
    command.args(["--jemalloc-bg-thread", if background { "yes" } else { "no" }]);
    if let Some(dir) = socket.parent() {
        command.arg("--dir").arg(dir);
    }
    command.arg("--unixsocket").arg(socket);
    Leashed::start(command, "redis-server")
}

/// Runs the benchmark `load` with these arguments to its end.
pub fn drive(load: &Path, socket: &Path, arguments: &str, limit: Duration) -> Result<()> {
    let mut command = Command::new(load);
    command.arg("-s").arg(socket).arg("-q").args(arguments.split_whitespace());
    let mut load = Leashed::start(&mut command, "redis-benchmark")?;
    let (status, _) = load.run(limit)?;
    if !status.success() {
        bail!("redis-benchmark: {status}: {}", load.errors().join("; "));
    }
    Ok(())
}

/// A connection for single commands.
pub struct Client(BufReader<UnixStream>);

impl Client {
    /// Waits until the server listens.
    pub fn connect(socket: &Path, server: &mut Leashed) -> Result<Client> {
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

    /// Sends a command without waiting for the reply.
    pub fn say(&mut self, command: &str) -> Result<()> {
        Ok(self.0.get_mut().write_all(format!("{command}\r\n").as_bytes())?)
    }

    /// The number in the reply to a command.
    pub fn ask(&mut self, command: &str) -> Result<u64> {
        self.answer(command, ":")?
            .parse()
            .with_context(|| format!("{command}: the reply is not a number"))
    }

    /// Sends a command whose reply is `OK`.
    pub fn order(&mut self, command: &str) -> Result<()> {
        self.answer(command, "+OK").map(drop)
    }

    /// The rest of the line after `start` in the reply to a command.
    fn answer(&mut self, command: &str, start: &str) -> Result<String> {
        self.say(command)?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let rest = line.strip_prefix(start).map(|rest| rest.trim().to_owned());
        rest.with_context(|| format!("the reply to {command} is {line:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client of a server that gives these replies.
    fn client(answers: &str) -> (Client, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answers.as_bytes()).unwrap();
        (Client(BufReader::new(ours)), theirs)
    }

    #[test]
    fn answers_are_numbers_or_ok() {
        let (mut client, _server) = client(":42\r\n+OK\r\n-ERR no\r\n:x\r\n");
        assert_eq!(client.ask("DBSIZE").unwrap(), 42);
        client.order("FLUSHALL").unwrap();
        let error = client.order("FLUSHALL").unwrap_err().to_string();
        assert!(error.contains("the reply to FLUSHALL is \"-ERR no"), "{error}");
        assert!(client.ask("DBSIZE").is_err());
    }
}
