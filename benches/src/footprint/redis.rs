//! A Redis server that is filled and emptied. Its memory is read from outside.

use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use benches::installed::find;
use benches::preloaded::BACKGROUND;
use benches::probes::{Probe, Target};
use benches::process::Leashed;
use benches::procfs;
use benches::redis::{self, Client, PATIENCE};

use crate::contenders::Contender;
use crate::settings::Settings;

/// How long the server has been listening when it is read first.
const STARTED: Duration = Duration::from_millis(300);
/// What is asked, and how many keys there can be.
const REQUESTS: f64 = 1_000_000.0;

/// What the report says of it.
pub(crate) const REDIS: Probe = Probe {
    name: "redis",
    what: "redis-server (C only), 1,000,000 times SET of random ones of as many keys, values of \
           100 bytes, 16 at a time by 50 connections; read 0.3 s after its start, full, and 10 s \
           after FLUSHALL",
    readings: &["before", "full", "after"],
    idles: true,
    target: Target::Mib(16.0),
};

/// The programs.
pub(crate) struct Redis {
    pub(crate) server: PathBuf,
    load: PathBuf,
    /// Where the sockets go.
    dir: PathBuf,
}

/// A server that has been emptied.
pub(crate) struct Serving {
    server: Leashed,
    client: Client,
    kib: Vec<u64>,
    /// Reads when it has been idle for long enough.
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
    pub(crate) fn begin(&self, contender: &Contender, settings: Settings) -> Result<Serving> {
        let socket = self.dir.join(format!("{}.socket", contender.name));
        let mut command = contender.command(&self.server);
        let background = contender.name == BACKGROUND;
        let mut server = redis::serve(&mut command, &socket, background)?;
        let (mut client, pid) = (Client::connect(&socket, &mut server)?, server.pid());
        thread::sleep(STARTED);
        let before = kib(pid)?;
        let requests = (REQUESTS * settings.scale).round().max(2.0);
        let load = format!("-t set -n {requests} -r {requests} -d 100 -P 16");
        redis::drive(&self.load, &socket, &load, settings.limit)?;
        let keys = client.ask("DBSIZE")?;
        ensure!(keys as f64 > requests / 2.0, "the server has {keys} keys");
        let full = kib(pid)?;
        client.order("FLUSHALL")?;
        let last = thread::spawn(move || {
            thread::sleep(settings.idle);
            kib(pid)
        });
        Ok(Serving { server, client, kib: vec![before, full], last })
    }
}

impl Serving {
    /// The readings, the last of them included.
    pub(crate) fn end(mut self) -> Result<Vec<u64>> {
        let last = self.last.join().map_err(|_| anyhow!("reading failed"))??;
        self.kib.push(last);
        self.server.check()?;
        ensure!(self.client.ask("DBSIZE")? == 0, "the server is not empty");
        self.client.say("SHUTDOWN NOSAVE")?;
        let (status, _) = self.server.run(PATIENCE)?;
        ensure!(status.success(), "{status} at its end");
        Ok(self.kib)
    }
}
