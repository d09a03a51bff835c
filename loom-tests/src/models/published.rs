//! Tables: a record is published while two threads look it up, in its slot or by the count.

use loom::sync::Arc;

use crate::base::published::{Published, PublishedCount};
use crate::base::sync::Guarded;
use crate::model::{Model, outcome};
use crate::world::spawn;

/// Each of two threads looks once, meanwhile.
pub(super) static PUBLISHED: Model = Model {
    name: "published",
    preemptions: None,
    executions: 300,
    outcomes: &["[false, false]", "[false, true]", "[true, false]", "[true, true]"],
    body: table,
};

/// Two records are published one after the other, while a thread looks how many there are.
pub(super) static PUBLISHED_COUNT: Model = Model {
    name: "published_count",
    preemptions: None,
    executions: 10,
    outcomes: &["0", "1", "2"],
    body: count,
};

fn count() {
    let table = Arc::new(([Guarded::new(0), Guarded::new(0)], PublishedCount::new()));
    let reader = spawn({
        let table = table.clone();
        move || {
            let (records, count) = &*table;
            let count = count.get();
            for record in &records[..count] {
                // SAFETY: it is published, and nobody writes it any more.
                record.with(|record| assert_eq!(unsafe { *record }, 7));
            }
            count
        }
    });
    let (records, count) = &*table;
    for (i, record) in records.iter().enumerate() {
        // SAFETY: the record is not published yet.
        record.with(|record| unsafe { *record = 7 });
        count.publish(i + 1);
    }
    outcome(reader.join().unwrap().to_string());
}

struct Record {
    /// One part for each reader.
    parts: [Guarded<u32>; 2],
}

// SAFETY: loom reports every access that is not synchronised.
unsafe impl Sync for Record {}
// SAFETY: as above.
unsafe impl Send for Record {}

fn table() {
    let slot = Arc::new(Published::<Record>::new());
    let readers: Vec<_> = (0..2)
        .map(|i| {
            let slot = slot.clone();
            spawn(move || {
                let record = slot.get();
                if let Some(record) = record {
                    // SAFETY: each reader has a part of its own.
                    record.parts[i].with(|part| assert_eq!(unsafe { *part }, 7));
                }
                record.is_some()
            })
        })
        .collect();
    let record = Record { parts: core::array::from_fn(|_| Guarded::new(0)) };
    for part in &record.parts {
        // SAFETY: the record is not published yet.
        part.with(|part| unsafe { *part = 7 });
    }
    // SAFETY: the record lives until the readers are joined.
    slot.publish(unsafe { &*core::ptr::from_ref(&record) });
    let seen: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    assert!(slot.get().is_some());
    outcome(format!("{seen:?}"));
}
