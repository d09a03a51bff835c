//! A Redis server that is filled and emptied. Its memory is read by this
//! process.

use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use benches::installed::find;
use benches::preloaded::BACKGROUND;
use benches::probes::Target;
use benches::process::Leashed;
use benches::procfs;
use benches::redis::{self, Client, PATIENCE};

use crate::allocators::Contender;
use crate::running::suite::Settings;

/// Time from the start of the server to the first reading.
const STARTED: Duration = Duration::from_millis(300);
/// Number of requests, and of possible keys.
const REQUESTS: f64 = 1_000_000.0;

/// Its name on the command line.
pub(crate) const NAME: &str = "redis";
/// Its description.
pub(crate) const WHAT: &str = "redis-server (C only), 1,000,000 SETs of random keys out of 1,000,000, values of 100 bytes, \
     pipelines of 16 on 50 connections; read 0.3 s after its start, full, and 10 s after FLUSHALL";
/// The names of its readings.
pub(crate) const READINGS: &[&str] = &["before", "full", "after"];
/// The most that may stay.
pub(crate) const TARGET: Target = Target::Mib(16.0);
/// Time limit for the load.
const LIMIT: Duration = Duration::from_secs(120);

/// The programs.
pub(crate) struct Redis {
    pub(crate) server: PathBuf,
    load: PathBuf,
    /// Directory of the sockets.
    dir: PathBuf,
}

/// A server that has been emptied.
pub(crate) struct Serving {
    server: Leashed,
    client: Client,
    kib: Vec<u64>,
    /// Takes the last reading after the idle time.
    last: JoinHandle<Result<u64>>,
}

fn kib(pid: u32) -> Result<u64> {
    Ok(procfs::resident_bytes(pid)? >> 10)
}

impl Redis {
    /// Finds the programs.
    pub(crate) fn find(dir: PathBuf) -> Result<Redis> {
        let server = find("redis-server", "redis-server")?;
        Ok(Redis { server, load: find("redis-benchmark", "redis-tools")?, dir })
    }

    /// Starts a server, fills it and empties it.
    pub(crate) fn begin(
        &self,
        contender: &Contender,
        settings: &Settings,
        idle: Duration,
    ) -> Result<Serving> {
        let socket = self.dir.join(format!("{}.socket", contender.name));
        let mut command = contender.command(&self.server);
        let background = contender.name == BACKGROUND;
        let mut server = redis::serve(&mut command, &socket, background)?;
        let (mut client, pid) = (Client::connect(&socket, &mut server)?, server.pid());
        thread::sleep(STARTED);
        let before = kib(pid)?;
        let requests = (REQUESTS * settings.amount.scale).round().max(2.0);
        let load = format!("-t set -n {requests} -r {requests} -d 100 -P 16");
        redis::drive(&self.load, &socket, &load, LIMIT)?;
        let keys = client.ask("DBSIZE")?;
        ensure!(keys as f64 > requests / 2.0, "the server has {keys} keys");
        let full = kib(pid)?;
        client.order("FLUSHALL")?;
        let last = thread::spawn(move || {
            thread::sleep(idle);
            kib(pid)
        });
        Ok(Serving { server, client, kib: vec![before, full], last })
    }
}

impl Serving {
    /// All readings, including the last.
    pub(crate) fn end(mut self) -> Result<Vec<u64>> {
        let last = self.last.join().map_err(|_| anyhow!("reading failed"))??;
        self.kib.push(last);
        self.server.check()?;
        ensure!(self.client.ask("DBSIZE")? == 0, "the server is not empty");
        self.client.say("SHUTDOWN NOSAVE")?;
        let (status, _) = self.server.run(PATIENCE)?;
        ensure!(status.success(), "exited with {status}");
        Ok(self.kib)
    }
}
