//! The suites: each says which rows it has, which figures, and how a sample is
//! taken.

mod footprint;
pub(crate) mod guard;
mod instructions;
mod micro;
mod pages;
mod preload;
mod server;

use crate::running::suite::Suite;

/// Every suite, in the order of a run of all.
pub(crate) const SUITES: [&Suite; 7] = [
    &server::SERVER,
    &micro::MICRO,
    &preload::PRELOAD,
    &pages::PAGES,
    &footprint::FOOTPRINT,
    &instructions::INSTRUCTIONS,
    &guard::GUARD,
];
