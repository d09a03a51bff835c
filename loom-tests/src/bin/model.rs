//! Runs one model: `model NAME [LABEL [ORDERING]]`, with the arguments of
//! [`loom_tests::run_named`]. Without arguments, lists the models. `model sites` runs all of
//! them, and writes `sites.tsv`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::process::CommandExt;
use std::process::Command;

use loom_tests::Site;

/// loom ends the threads of a model by unwinding.
const UNWINDS: bool = cfg!(panic = "unwind");

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.is_empty() {
        loom_tests::MODELS.iter().for_each(|model| println!("{}", model.name));
    } else if UNWINDS && words == ["sites"] {
        write_sites();
    } else if UNWINDS {
        loom_tests::run_named(&words);
    } else {
        run_unwinding(&words);
    }
}

/// Writes which models reach each site.
fn write_sites() {
    let mut models = BTreeMap::<Site, Vec<&str>>::new();
    for model in loom_tests::MODELS {
        let this = std::env::current_exe().expect("this program");
        let output = Command::new(this).args([model.name, "sites"]).output().expect("a process");
        assert!(output.status.success(), "{} fails", model.name);
        for site in loom_tests::printed_sites(&output.stdout) {
            models.entry(site).or_default().push(model.name);
        }
    }
    let mut table = String::from(loom_tests::SITES_HEAD);
    for (site, models) in models {
        writeln!(table, "{}\t{}\t{}\t{}", site.function, site.label, site.nth, models.join(" "))
            .expect("a string");
    }
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/sites.tsv"), table).expect("sites.tsv");
}

/// Becomes this program as the profile `models` builds it.
fn run_unwinding(words: &[&str]) -> ! {
    let error = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--profile", "models", "--bin", "model", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--")
        .args(words)
        .exec();
    panic!("models need the profile `models`, and cargo does not start: {error}")
}
