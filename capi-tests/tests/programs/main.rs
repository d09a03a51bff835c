//! Real programs, as Debian ships them, with the C library preloaded: their own
//! tests pass, and their output is the same as without it.

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
mod recipes;
mod redis;
mod runtimes;
mod shell;
mod z3;
