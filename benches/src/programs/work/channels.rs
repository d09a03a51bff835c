//! Text over channels: one thread writes Markdown, two render it to HTML, two
//! count its words. Each passes owned text on, and the next thread frees it.

use std::collections::HashMap;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use fastrand::Rng;
use pulldown_cmark::{Options, Parser, html};
use regex::Regex;

use super::parts::{Hasher, push_words, sum, word};
use crate::workloads::parts::scaled;

/// Threads of each kind that renders or counts.
const THREADS: usize = 2;
/// Documents.
const DOCUMENTS: u64 = 30_000;
/// Documents in a queue.
const QUEUE: usize = 256;
/// Different words.
const VOCABULARY: usize = 60_000;

/// Adds some words.
fn some_words(text: &mut String, rng: &mut Rng, most: usize) {
    let count = rng.usize(1..most);
    push_words(text, rng, count, VOCABULARY);
}

/// A document with headings, paragraphs, lists, links, tables and code.
fn document(number: u64) -> String {
    let mut rng = Rng::with_seed(number);
    let rng = &mut rng;
    let mut text = format!("# Document {number}\n\n");
    for section in 0..rng.usize(3..12) {
        text.push_str("## ");
        some_words(&mut text, rng, 6);
        text.push_str("\n\n");
        match rng.u8(..6) {
            0 => {
                for _ in 0..rng.usize(2..8) {
                    text.push_str("- **");
                    some_words(&mut text, rng, 3);
                    text.push_str("**: ");
                    some_words(&mut text, rng, 12);
                    text.push('\n');
                }
            }
            1 => {
                text.push_str("| name | value |\n|---|---|\n");
                for _ in 0..rng.usize(2..8) {
                    let (name, value) = (word(rng.usize(..VOCABULARY)), rng.u16(..));
                    text.push_str(&format!("| {name} | {value} |\n"));
                }
            }
            2 => {
                text.push_str("```\n");
                some_words(&mut text, rng, 40);
                text.push_str("\n```\n");
            }
            _ => {
                some_words(&mut text, rng, 80);
                text.push_str(&format!(" [section {section}](#s{section} \""));
                some_words(&mut text, rng, 4);
                text.push_str("\") *");
                some_words(&mut text, rng, 10);
                text.push_str("*.\n");
            }
        }
        text.push('\n');
    }
    text
}

fn write(documents: &Sender<String>, count: u64) {
    for number in 0..count {
        documents.send(document(number)).expect("the others outlive the writer");
    }
}

fn render(documents: &Receiver<String>, pages: &Sender<String>) {
    for document in documents {
        let mut page = String::new();
        html::push_html(&mut page, Parser::new_ext(&document, Options::ENABLE_TABLES));
        pages.send(page).expect("who counts outlives who renders");
    }
}

/// Where a word was found, on the pages of one thread.
type Places = HashMap<String, Vec<u32>, Hasher>;

/// Finds the words outside of tags, and where they are on their pages.
fn index(pages: &Receiver<String>) -> (Places, u64) {
    let words = Regex::new("<[^>]*>|[A-Za-z]+").expect("an expression");
    let (mut places, mut all) = (Places::default(), 0_u64);
    for page in pages {
        all = all.wrapping_add(sum(page.as_bytes()));
        for found in words.find_iter(&page).filter(|found| !found.as_str().starts_with('<')) {
            let place = u32::try_from(found.start()).expect("a page is small");
            places.entry(found.as_str().to_lowercase()).or_default().push(place);
        }
    }
    (places, all)
}

/// A checksum over words and their places: which thread found them, and in
/// which order, does not matter.
fn weigh(places: &Places) -> u64 {
    let weight = |(word, places): (&String, &Vec<u32>)| {
        let places = places.iter().map(|place| u64::from(*place) + 1).sum::<u64>();
        sum(word.as_bytes()).wrapping_mul(places)
    };
    places.iter().map(weight).fold(0, u64::wrapping_add)
}

/// Runs the program.
pub(super) fn run(scale: f64) -> u64 {
    let count = scaled(DOCUMENTS, scale);
    let (documents, written) = bounded(QUEUE);
    let (pages, rendered) = bounded(QUEUE);
    thread::scope(|scope| {
        let (written, rendered) = (&written, &rendered);
        let indexers: Vec<_> = (0..THREADS).map(|_| scope.spawn(move || index(rendered))).collect();
        for _ in 0..THREADS {
            let pages = pages.clone();
            scope.spawn(move || render(written, &pages));
        }
        drop(pages);
        write(&documents, count);
        drop(documents);
        let indexes = indexers.into_iter().map(|indexer| indexer.join().expect("it ends"));
        indexes.map(|(places, all)| all.wrapping_add(weigh(&places))).fold(0, u64::wrapping_add)
    })
}
