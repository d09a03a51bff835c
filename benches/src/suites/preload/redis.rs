//! A Redis server on a preloaded allocator, driven by Redis' own benchmark on
//! the default one. Only the server is measured.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use benches::measured::Measured;
use benches::preloaded::BACKGROUND;
use benches::redis::{self, Client, PATIENCE};

use crate::allocators::Contender;
use crate::running::programs::{finish, measuring};
use crate::running::suite::Settings;

/// The programs and the number of requests.
pub(crate) struct Redis {
    pub(crate) server: PathBuf,
    pub(crate) load: PathBuf,
    /// Requests of each kind.
    pub(crate) requests: u64,
}

/// The load: the commands and the size of a value. The second pass overwrites
/// the keys of the first with values of another size.
const PASSES: [(&str, &str); 3] = [("set,get", "50"), ("set,get", "300"), ("lpush", "100")];

impl Redis {
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
        for (tests, bytes) in PASSES {
            let requests = self.requests;
            let load = format!("-c 20 -P 16 -r 100000 -n {requests} -t {tests} -d {bytes}");
            redis::drive(&self.load, &socket, &load, limit)?;
            server.check()?;
        }
        let (pushed, keys) = (client.ask("LLEN mylist")?, client.ask("DBSIZE")?);
        ensure!(keys > 1, "the server has {keys} keys");
        client.say("SHUTDOWN NOSAVE")?;
        let measured = finish(&mut server, PATIENCE)?;
        // The set of keys depends on the load's own random numbers.
        Ok(Measured { output: format!("{pushed} elements"), ..measured })
    }
}
