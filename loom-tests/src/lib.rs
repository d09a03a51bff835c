//! Models of the allocator's protocols, run by loom through all interleavings
//! (within the bound said beside each) on the very files that ship.
//!
//! ```text
//!  allocator-core/src/{base/lock,heap/heap,…}.rs   the files under test, unchanged
//!  src/around/                                     what they name: map, pool, system…
//!  src/world.rs                                    heaps, spans and blocks of a model
//!  src/models/                                     one protocol a file
//!  src/twin.rs                                     the broken twins
//! ```
//!
//! A model that passes proves little unless it fails where it should: every
//! ordering has a twin that weakens it, and a model that fails with it.

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

#[path = "around/sys.rs"]
mod sys;

mod model;
mod models;
mod twin;
mod twins;
mod world;

pub use model::{Model, Report, run};
pub use models::{MODELS, model};
pub use twin::Weakness;
pub use twins::{EQUIVALENT, Equivalent, TWINS, Twin};

/// The labels of all orderings that order something, and of those that do not.
pub fn labels() -> impl Iterator<Item = (&'static str, core::sync::atomic::Ordering)> {
    base::ordering::ALL.iter().copied()
}

/// Runs one model: `NAME`, or with a twin: `NAME LABEL [ORDERING]`, where the
/// ordering is the weaker one; `step`: the step is left out; `deleted`: the
/// function is.
///
/// # Panics
/// If the model fails.
pub fn run_named(words: &[&str]) {
    let name = words.first().expect("a model's name");
    let model = model(name).expect("a model of this name");
    let twin = words.get(1).map(|label| {
        let weakness = match words.get(2).copied() {
            Some("Acquire") => Weakness::Order(std::sync::atomic::Ordering::Acquire),
            Some("Release") => Weakness::Order(std::sync::atomic::Ordering::Release),
            Some("step") => Weakness::Step,
            Some("deleted") => Weakness::Deleted,
            _ => Weakness::Order(std::sync::atomic::Ordering::Relaxed),
        };
        (*label, weakness)
    });
    let start = std::time::Instant::now();
    let report = run(model, twin);
    println!("{name}: {} executions, {:.1?}", report.executions, start.elapsed());
    println!("outcomes: {:?}", report.outcomes);
    model.check(&report);
}
