//! Models of the allocator's protocols. loom runs them through all interleavings
//! (within the bound stated with each model), on the same files that ship.
//!
//! ```text
//!  allocator-core/src/{base/lock,heaps/heap,…}.rs   the files under test, unchanged
//!  src/door.rs                                      their door to atomics, which are loom's
//!  src/around/                                      what they use: page map, metadata, system…
//!  src/world.rs                                     heaps, spans and blocks of a model
//!  src/models/                                      one protocol a file
//!  src/active_twin.rs                               the broken twins
//! ```
//!
//! A model that passes proves little unless it fails where it should. Every ordering
//! has a twin that weakens it, and a model that fails with that twin.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "files of the allocator link to what no model compiles"
)]

mod current;
mod sites;
mod active_twin;

mod model;

mod futex;

mod door;

#[path = "around/sys.rs"]
mod sys;

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

mod world;

mod models;

mod twin_list;

mod not_modelled;

pub use active_twin::Weakness;
pub use model::{Model, Report};
pub use models::{MODELS, model};
pub use not_modelled::{NOT_MODELLED, NotModelled, OUTSIDE, Outside};
pub use sites::{SITES_HEAD, Site, in_other_crates, in_source, in_table, printed_sites};
pub use twin_list::{EQUIVALENT, Equivalent, TWINS, Twin};

/// The labels of all orderings, relaxed ones included.
pub fn labels() -> impl Iterator<Item = (&'static str, core::sync::atomic::Ordering)> {
    base::ordering::ALL.iter().copied()
}

/// Runs one model: `NAME`, or with a twin: `NAME LABEL [ORDERING]`. The ordering is the
/// weaker one, at all sites of the label; with `LABEL@FUNCTION#N` at one site. `step` leaves
/// out the step, and `deleted` the function. If the model fails, the process ends with
/// status 1. If it passes, the sites that it reached are printed, if `sites` follows.
///
/// # Panics
/// If there is no such model, label, site or ordering: a model that runs without the
/// twin that was asked for would pass.
pub fn run_named(words: &[&str]) {
    let name = words.first().expect("a model's name");
    let model = model(name).unwrap_or_else(|| panic!("no model `{name}`"));
    let lists_sites = words.get(1) == Some(&"sites");
    if let Some(&label) = words.get(1).filter(|_| !lists_sites) {
        let weakness = match words.get(2).copied() {
            Some("Acquire") => Weakness::Order(std::sync::atomic::Ordering::Acquire),
            Some("Release") => Weakness::Order(std::sync::atomic::Ordering::Release),
            Some("Relaxed") | None => Weakness::Order(std::sync::atomic::Ordering::Relaxed),
            Some("step") => Weakness::Step,
            Some("deleted") => Weakness::Deleted,
            Some(word) => panic!("no ordering `{word}`"),
        };
        match (label.split_once('@'), weakness) {
            (Some((label, place)), Weakness::Order(weaker)) => {
                let site = place.replace('#', &format!(" {label} "));
                active_twin::activate_at(&site.parse().expect("a site"), weaker);
            }
            _ => {
                assert!(is_known(label, weakness), "no label `{label}` for {weakness:?}");
                active_twin::activate(label, weakness);
            }
        }
    }
    end_at_panic(words.join(" "));
    let start = std::time::Instant::now();
    let report = model::run(model, door::begin);
    println!("{name}: {} executions, {:.1?}", report.executions, start.elapsed());
    println!("outcomes: {:?}", report.outcomes);
    model.check(&report);
    if lists_sites {
        report.sites.iter().for_each(|site| println!("{}{site}", sites::PRINTED));
    }
}

/// Whether a label is one that the files under test ask for. What is deleted only
/// the instrumented copy knows.
fn is_known(label: &str, weakness: Weakness) -> bool {
    match weakness {
        Weakness::Order(_) => labels().any(|(known, _)| known == label),
        Weakness::Step => TWINS.iter().any(|it| it.label == label && it.weakness == weakness),
        Weakness::Deleted => true,
    }
}

/// From now on, the first panic ends the process. What loom does after one may
/// panic again, and the process would abort.
fn end_at_panic(model: String) {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        eprintln!("model fails: {model}");
        std::process::exit(1);
    }));
}
