//! Documents of many records are parsed as values, changed, and printed; the
//! last ones are held.

use std::collections::VecDeque;

use fastrand::Rng;
use serde_json::{Value, json};

use super::parts::{push_words, sum, word};
use crate::workloads::parts::{fold, scaled};

/// Documents.
const DOCUMENTS: u64 = 8;
/// Records of a document.
const RECORDS: u64 = 40_000;
/// Changed documents that stay.
const HELD: usize = 2;

/// The text of a document.
fn text(seed: u64, records: u64) -> String {
    let mut rng = Rng::with_seed(seed);
    let record = |n| {
        let mut about = String::new();
        let length = rng.usize(3..20);
        push_words(&mut about, &mut rng, length, 3_000);
        let tags: Vec<String> = (0..rng.usize(..5)).map(|_| word(rng.usize(..200))).collect();
        json!({
            "id": n,
            "name": word(rng.usize(..100_000)),
            "about": about,
            "tags": tags,
            "place": { "x": rng.i32(..), "y": rng.i32(..), "path": [rng.u8(..), rng.u8(..)] },
            "active": rng.bool(),
        })
    };
    Value::Array((0..records).map(record).collect()).to_string()
}

/// Changes every record, and drops one in eight.
fn change(document: &mut Value, rng: &mut Rng) {
    let records = document.as_array_mut().expect("a document is an array");
    records.retain(|_| rng.u8(..8) != 0);
    for record in records {
        let fields = record.as_object_mut().expect("a record is an object");
        let about = fields.remove("about").expect("it has a text");
        let about = about.as_str().expect("a text is a string").to_uppercase();
        fields.insert(String::from("summary"), json!({ "length": about.len(), "text": about }));
        let tags = fields.get_mut("tags").and_then(Value::as_array_mut).expect("it has tags");
        tags.push(Value::from(word(rng.usize(..200))));
    }
}

/// Runs the program.
pub(super) fn run(scale: f64) -> u64 {
    let records = scaled(RECORDS, scale);
    let mut held = VecDeque::new();
    let mut printed = 0;
    for n in 0..DOCUMENTS {
        let text = text(n, records);
        let mut document: Value = serde_json::from_str(&text).expect("it is JSON");
        drop(text);
        change(&mut document, &mut Rng::with_seed(100 + n));
        let text = serde_json::to_string_pretty(&document).expect("a value can be printed");
        printed = fold(printed, sum(text.as_bytes()));
        held.push_back(document);
        if held.len() > HELD {
            held.pop_front();
        }
    }
    held.iter().fold(printed, |all, document| fold(all, sum(document.to_string().as_bytes())))
}
