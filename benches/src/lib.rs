//! What the harness and the subjects share: the workloads, the rows and the
//! probes that run on an allocator, programs of others, the HTTP server and the
//! load that drives it; the peers as libraries; building, running and measuring
//! programs; statistics.
//!
//! Start with `cargo run --release -p benches`; see `src/main.rs`.

pub mod installed;
pub mod order;
pub mod process;
pub mod procfs;
pub mod progress;
pub mod scratch;
pub mod stats;
pub mod tables;

pub mod cargo;
pub mod libraries;
pub mod measured;
pub mod missing;

pub mod preloaded;

pub mod bindings;

pub mod redis;

pub mod counting;

pub mod micro;
pub mod probes;
pub mod workloads;

pub mod pages;

pub mod server;

pub mod load;

pub mod programs;

pub mod subject;
