//! Every model passes with all its outcomes. Every twin makes the model that is listed
//! with it fail.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use loom_tests::{MODELS, Site, TWINS, in_table, printed_sites};

macro_rules! models {
    ($($name:ident)*) => {
        /// The tests below: one for each model, so that they run in parallel.
        const TESTED: &[&str] = &[$(stringify!($name)),*];

        mod passes {
            $(#[test]
            fn $name() {
                super::passes(stringify!($name));
            })*
        }

        mod fails_with_its_twins {
            $(#[test]
            fn $name() {
                super::fails(stringify!($name));
            })*
        }
    };
}

models! {
    lock handlers init later published published_count remote_take_all remote_close
    moving stealing transfer abandoning draining
    granules release index_claim index_find index_find_in_word whole_chunk empties receiving
    span_purge span_purge_abandoning evicting evicting_stolen tail standby standby_any samples helper limit limit_told
    purge purge_limit purge_chunk limit_enforced registry registry_purge registry_lost
}

#[test]
fn every_model_is_tested() {
    let mut names: Vec<_> = MODELS.iter().map(|model| model.name).collect();
    let mut tested = TESTED.to_vec();
    names.sort_unstable();
    tested.sort_unstable();
    assert_eq!(names, tested);
    for twin in TWINS {
        assert!(names.contains(&twin.model), "{twin:?}");
    }
}

/// The variable that tells a child process which model to run.
const MODEL: &str = "STRATA_MODEL";

/// Runs a model in a process of its own, which a failure ends. The process is this
/// program again: loom needs panics that unwind, as tests have them.
fn run(arguments: &[&str]) -> Output {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command.args(["--exact", "child", "--nocapture"]).env(MODEL, arguments.join(" "));
    command.output().unwrap()
}

#[test]
fn child() {
    if let Ok(words) = std::env::var(MODEL) {
        loom_tests::run_named(&words.split(' ').collect::<Vec<_>>());
    }
}

fn passes(name: &str) {
    let output = run(&[name, "sites"]);
    print!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = in_table().into_iter().filter(|(_, models)| models.contains(name));
    let table: BTreeSet<Site> = table.map(|(site, _)| site).collect();
    let reached = printed_sites(&output.stdout);
    assert_eq!(reached, table, "what it reaches: `model sites` writes the table");
}

fn fails(name: &str) {
    for twin in TWINS.iter().filter(|twin| twin.model == name) {
        let words = twin.words();
        let output = run(&words.each_ref().map(String::as_str));
        let errors = String::from_utf8_lossy(&output.stderr);
        let reason = errors.lines().skip_while(|line| !line.contains("panicked")).nth(1);
        println!("{}: {}", words.join(" "), reason.unwrap_or("passed"));
        // Any other status: there is no such twin, or it did not get to run.
        assert_eq!(output.status.code(), Some(1), "{name} with {twin:?}: {errors}");
        assert!(reason.is_some(), "{name} fails with {twin:?}, but why? {errors}");
    }
}
