//! A page with a flame graph, which needs no other file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::snapshot::{Entry, Snapshot};

/// The page, with a mark in the place of the data.
const PAGE: &str = include_str!("flame_graph.html");

/// The mark.
const DATA: &str = "\"DATA\"";

/// A function, with those that it called.
#[derive(Default)]
struct Node {
    /// Bytes and blocks in use, bytes and blocks allocated.
    values: [i64; 4],
    children: BTreeMap<String, Node>,
}

impl Node {
    fn add(&mut self, names: &[String], values: [i64; 4]) {
        self.values.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        if let Some((first, rest)) = names.split_first() {
            self.children.entry(first.clone()).or_default().add(rest, values);
        }
    }

    /// Writes it as JSON: name, values, children.
    fn write(&self, name: &str, text: &mut String) {
        text.push_str("[\"");
        for character in name.chars() {
            match character {
                '"' | '\\' => text.extend(['\\', character]),
                // The data stand in an element of the page, which this would end.
                '<' => text.push_str("\\u003c"),
                character if character.is_control() => text.push(' '),
                character => text.push(character),
            }
        }
        // Writing to a string does not fail.
        let _ = write!(text, "\",{:?},[", self.values);
        for (index, (name, child)) in self.children.iter().enumerate() {
            if index != 0 {
                text.push(',');
            }
            child.write(name, text);
        }
        text.push_str("]]");
    }
}

/// What a flame graph can show: what became more.
fn values(entry: &Entry) -> [i64; 4] {
    let (used, allocated) = (entry.in_use, entry.allocated);
    [used.bytes, used.blocks, allocated.bytes, allocated.blocks].map(|value| value.max(0))
}

impl Snapshot {
    /// A page for a browser, with a flame graph of what is in use and of what was allocated. In a
    /// difference it has what became more. It needs no other file and no network.
    #[must_use]
    pub fn flame_graph(&self) -> String {
        let (mut root, mut symbols) = (Node::default(), self.symbols());
        for entry in &self.entries {
            root.add(&entry.names(&mut symbols), values(entry));
        }
        let mut data = String::new();
        root.write("all", &mut data);
        PAGE.replacen(DATA, &data, 1)
    }
}
