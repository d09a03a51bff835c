//! A full-text index in memory: two threads index documents and merge what
//! they have in the background; then it is searched.

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use tantivy::collector::{Count, TopDocs};
use tantivy::query::QueryParser;
use tantivy::schema::{Field, STORED, Schema, TEXT, Value};
use tantivy::{Index, TantivyDocument, doc};

use super::parts::{push_words, skewed, word};
use crate::workloads::parts::{fold, scaled};

const THREADS: usize = 2;
/// Bytes for documents that are not written yet, of both threads.
const BUFFER: usize = 100 << 20;
/// Documents.
const DOCUMENTS: u64 = 180_000;
/// Times that what was added is made visible.
const COMMITS: u64 = 4;
/// Searches.
const SEARCHES: u64 = 6_000;
/// Different words.
const VOCABULARY: usize = 20_000;

/// The body of a document.
fn body(number: u64) -> String {
    let mut text = String::new();
    push_words(&mut text, &mut Rng::with_seed(number), 60, VOCABULARY);
    text
}

struct Fields {
    number: Field,
    body: Field,
}

fn fill(index: &Index, fields: &Fields, documents: u64) -> Result<()> {
    let mut writer = index.writer_with_num_threads(THREADS, BUFFER)?;
    let between = documents.div_ceil(COMMITS);
    for number in 0..documents {
        let title = number.to_string();
        writer.add_document(doc!(fields.number => title, fields.body => body(number)))?;
        if number % between == between - 1 {
            writer.commit()?;
        }
    }
    writer.commit()?;
    writer.wait_merging_threads()?;
    Ok(())
}

/// Searches documents with at least one of two words. Which of the equally
/// good ones are first depends on how they were merged; how many there
/// are does not.
fn search(index: &Index, fields: &Fields, searches: u64) -> Result<u64> {
    let searcher = index.reader()?.searcher();
    let parser = QueryParser::for_index(index, vec![fields.body]);
    let mut rng = Rng::with_seed(600);
    let mut all = 0;
    for _ in 0..searches {
        let words = [VOCABULARY / 20, VOCABULARY].map(|n| word(skewed(&mut rng, n)));
        let query = parser.parse_query(&words.join(" "))?;
        let best = TopDocs::with_limit(10).order_by_score();
        let (best, count) = searcher.search(&query, &(best, Count))?;
        ensure!(best.len() == count.min(10), "{} of {count} found", best.len());
        all = fold(all, count as u64);
        for (_, address) in best {
            let found: TantivyDocument = searcher.doc(address)?;
            let number = found.get_first(fields.number).context("no number")?;
            let number = number.as_str().context("a number that is not text")?;
            let text = body(number.parse()?);
            let has = text.split(' ').any(|found| words.iter().any(|word| word == found));
            ensure!(has, "document {number} has none of {words:?}");
        }
    }
    Ok(all)
}

fn work(scale: f64) -> Result<u64> {
    let mut schema = Schema::builder();
    let fields = Fields {
        number: schema.add_text_field("number", STORED),
        body: schema.add_text_field("body", TEXT),
    };
    let index = Index::create_in_ram(schema.build());
    fill(&index, &fields, scaled(DOCUMENTS, scale))?;
    search(&index, &fields, scaled(SEARCHES, scale))
}

/// Runs the program.
pub(super) fn run(scale: f64) -> u64 {
    work(scale).expect("the index works")
}
