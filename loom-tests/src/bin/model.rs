//! Runs one model: `model NAME [LABEL [ORDERING]]`, with the arguments of
//! [`loom_tests::run_named`]. Without arguments, lists the models.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// loom ends the threads of a model by unwinding.
const UNWINDS: bool = cfg!(panic = "unwind");

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.is_empty() {
        loom_tests::MODELS.iter().for_each(|model| println!("{}", model.name));
    } else if UNWINDS {
        loom_tests::run_named(&words);
    } else {
        run_unwinding(&words);
    }
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
