//! The suites: each says which rows it has, which figures, and how a sample is
//! taken.

mod footprint;
pub(crate) mod guard;
pub(crate) mod instructions;
mod micro;
mod pages;
mod preload;
mod programs;
mod server;

use crate::running::suite::Suite;

/// Every suite, in the order of a run of all.
pub(crate) const SUITES: [&Suite; 8] = [
    &server::SERVER,
    &micro::MICRO,
    &preload::PRELOAD,
    &programs::PROGRAMS_SUITE,
    &pages::PAGES,
    &footprint::FOOTPRINT,
    &instructions::INSTRUCTIONS,
    &guard::GUARD,
];
