//! Real programs, as Debian ships them, under the C library: their own checks
//! pass, and what they print and write is what they print and write without.

mod folder;
mod installed;
mod server;
mod twice;

mod compilers;
mod ghostscript;
mod git;
mod interpreters;
mod memcached;
mod nginx;
mod postgres;
mod python;
mod redis;
mod runtimes;
mod shell;
mod z3;
