//! Runs one model: `model NAME`, or with a twin: `model NAME LABEL [ORDERING]`,
//! where the ordering is the weaker one; `step`: the step is left out;
//! `deleted`: the function is. Fails if the model does.

use std::sync::atomic::Ordering;
use std::time::Instant;

use loom_tests::Weakness;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(name) = words.first() else {
        for model in loom_tests::MODELS {
            println!("{}", model.name);
        }
        return;
    };
    let model = loom_tests::model(name).expect("a model of this name");
    let twin = words.get(1).map(|label| {
        let weakness = match words.get(2).map(String::as_str) {
            Some("Acquire") => Weakness::Order(Ordering::Acquire),
            Some("Release") => Weakness::Order(Ordering::Release),
            Some("step") => Weakness::Step,
            Some("deleted") => Weakness::Deleted,
            _ => Weakness::Order(Ordering::Relaxed),
        };
        (label.as_str(), weakness)
    });
    let start = Instant::now();
    let report = loom_tests::run(model, twin);
    println!("{name}: {} executions, {:.1?}", report.executions, start.elapsed());
    println!("outcomes: {:?}", report.outcomes);
    model.check(&report);
}
