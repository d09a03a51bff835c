//! Folded stacks: a line for each, its functions from the outermost on, and a number. Many tools
//! draw flame graphs of that.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::snapshot::Snapshot;

impl Snapshot {
    /// Folded stacks with the bytes in use; in a difference, by how many they grew or shrank. What
    /// belongs to a scope has that as its outermost frame, such as `tenant:42`.
    #[must_use]
    pub fn folded(&self) -> String {
        let (mut symbols, mut lines) = (self.symbols(), BTreeMap::new());
        for entry in self.entries.iter().filter(|entry| entry.in_use.bytes != 0) {
            // Addresses in one function are one line.
            let names = entry.names(&mut symbols).into_iter().map(|name| name.replace(';', ":"));
            *lines.entry(names.collect::<Vec<_>>().join(";")).or_insert(0) += entry.in_use.bytes;
        }
        lines.iter().fold(String::new(), |mut text, (stack, bytes)| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{stack} {bytes}");
            text
        })
    }
}
