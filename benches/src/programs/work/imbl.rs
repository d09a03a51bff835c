//! Persistent maps: a change copies the nodes on its path, and snapshots share
//! the others. One thread changes the maps; another reads snapshots, and drops
//! them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use fastrand::Rng;
use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{GenericHashMap, OrdMap};

use super::parts::{Hasher, skewed, sum, word};
use crate::workloads::parts::{fold, scaled};

/// Changes of each map.
const CHANGES: u64 = 450_000;
/// Different keys.
const KEYS: usize = 150_000;
/// Snapshots, at whatever scale.
const SNAPSHOTS: u64 = 40;
/// Snapshots that the reader holds.
const HELD: usize = 6;

/// An account; it is shared by all maps that have it.
type Account = Arc<Vec<String>>;

/// The state of the program.
#[derive(Clone, Default)]
struct State {
    accounts: GenericHashMap<u64, Account, Hasher, DefaultSharedPtr>,
    names: OrdMap<String, u64>,
}

impl State {
    /// Adds, replaces or removes an account and a name.
    fn change(&mut self, rng: &mut Rng) {
        let key = skewed(rng, KEYS) as u64;
        if rng.u8(..8) == 0 {
            self.accounts.remove(&key);
        } else {
            let lines = (0..rng.usize(1..5)).map(|_| word(rng.usize(..)));
            self.accounts.insert(key, Arc::new(lines.collect()));
        }
        let name = word(rng.usize(..KEYS));
        if rng.u8(..8) == 0 {
            self.names.remove(&name);
        } else {
            self.names.insert(name, key);
        }
    }

    /// A checksum over all that it has, in whatever order.
    fn sum(&self) -> u64 {
        let account = |(key, lines): (&u64, &Account)| {
            lines.iter().fold(*key, |all, line| fold(all, sum(line.as_bytes())))
        };
        let accounts = self.accounts.iter().map(account).fold(0, u64::wrapping_add);
        self.names.iter().fold(accounts, |all, (name, key)| fold(all, sum(name.as_bytes()) ^ key))
    }
}

fn write(snapshots: &Sender<State>, changes: u64) {
    let mut rng = Rng::with_seed(300);
    let mut state = State::default();
    let between = changes.div_ceil(SNAPSHOTS);
    for n in 1..=changes {
        state.change(&mut rng);
        if n % between == 0 || n == changes {
            snapshots.send(state.clone()).expect("the reader outlives the writer");
        }
    }
}

fn read(snapshots: &Receiver<State>) -> u64 {
    let mut held = VecDeque::new();
    let mut all = 0;
    for state in snapshots {
        all = fold(all, state.sum());
        held.push_back(state);
        if held.len() > HELD {
            held.pop_front();
        }
    }
    all
}

/// Runs the program.
pub(super) fn run(scale: f64) -> u64 {
    let (sender, receiver) = bounded(1);
    thread::scope(|scope| {
        let reader = scope.spawn(move || read(&receiver));
        write(&sender, scaled(CHANGES, scale));
        drop(sender);
        reader.join().expect("the reader ends")
    })
}
