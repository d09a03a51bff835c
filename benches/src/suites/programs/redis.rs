//! A Redis server on a preloaded allocator, driven by Redis' own benchmark on
//! the default one. Only the server is measured.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use benches::installed::find;
use benches::measured::Measured;
use benches::preloaded::BACKGROUND;
use benches::programs::Half;
use benches::redis::{self, Client, PATIENCE};

use crate::allocators::Contender;
use crate::running::programs::{finish, measuring};
use crate::running::suite::Settings;

/// What a server is sent.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) half: Half,
    /// One after the other: the commands, the size of a value, and the share of
    /// the requests.
    passes: &'static [(&'static str, u32, f64)],
}

const fn load(
    name: &'static str,
    what: &'static str,
    half: Half,
    passes: &'static [(&'static str, u32, f64)],
) -> Load {
    Load { name, what, half, passes }
}

/// Every load. Where a command needs what others have written, that is part of
/// the row.
pub(crate) const LOADS: [Load; 6] = [
    load(
        "redis-set",
        "SET of values of 50 bytes, then of 300",
        Half::Tuning,
        &[("set", 50, 1.0), ("set", 300, 1.0)],
    ),
    load(
        "redis-get",
        "GET of values of 300 bytes, after SET",
        Half::Tuning,
        &[("set", 300, 0.5), ("get", 300, 2.0)],
    ),
    load(
        "redis-lpush",
        "LPUSH of values of 100 bytes, then LPOP of half",
        Half::Tuning,
        &[("lpush", 100, 1.0), ("lpop", 100, 0.5)],
    ),
    load("redis-hset", "HSET of values of 100 bytes", Half::Reporting, &[("hset", 100, 1.5)]),
    load(
        "redis-zadd",
        "ZADD of random members, then ZPOPMIN of some",
        Half::Reporting,
        &[("zadd", 100, 1.0), ("zpopmin", 100, 0.25)],
    ),
    load(
        "redis-lrange",
        "LRANGE of 100 values of 100 bytes, after LPUSH",
        Half::Reporting,
        &[("lrange_100", 100, 0.25)],
    ),
];

/// The programs and the number of requests.
pub(crate) struct Redis {
    pub(crate) server: PathBuf,
    tool: PathBuf,
    requests: f64,
    load: &'static Load,
}

impl Redis {
    /// Finds the programs.
    pub(crate) fn find(load: &'static Load, requests: f64) -> Result<Redis> {
        let server = find("redis-server", "redis-server")?;
        Ok(Redis { server, tool: find("redis-benchmark", "redis-tools")?, requests, load })
    }

    /// Starts, drives and stops a server.
    pub(crate) fn sample(
        &self,
        settings: &Settings,
        contender: &Contender,
        limit: Duration,
    ) -> Result<Measured> {
        let socket = settings.dir.join("redis.socket");
        let mut command = measuring(settings, contender, &self.server);
        let background = contender.name == BACKGROUND;
        let mut server = redis::serve(&mut command, &socket, background)?;
        let mut client = Client::connect(&socket, &mut server)?;
        for (test, bytes, share) in self.load.passes {
            let requests = (self.requests * share).round();
            let load = format!("-c 20 -P 16 -r 100000 -n {requests} -t {test} -d {bytes}");
            redis::drive(&self.tool, &socket, &load, limit)?;
            server.check()?;
        }
        ensure!(client.ask("DBSIZE")? > 0, "the server has nothing");
        client.say("SHUTDOWN NOSAVE")?;
        let measured = finish(&mut server, PATIENCE).context("the server does not end")?;
        // What it holds depends on the load's own random numbers.
        Ok(Measured { output: String::new(), ..measured })
    }
}
