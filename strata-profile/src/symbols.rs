//! The functions of addresses, with those that were inlined there.

use std::collections::HashMap;

use crate::process::{Function, Process};

/// The functions of addresses that were looked up.
pub(crate) struct Symbols<'a> {
    process: &'a dyn Process,
    known: HashMap<usize, Vec<Function>>,
}

impl Drop for Symbols<'_> {
    /// Debug information takes many times the memory of a profile.
    fn drop(&mut self) {
        backtrace::clear_symbol_cache();
    }
}

impl<'a> Symbols<'a> {
    pub(crate) fn of(process: &'a dyn Process) -> Self {
        Symbols { process, known: HashMap::new() }
    }

    /// The functions at an address behind a call, the innermost first; its number if nothing is
    /// known.
    pub(crate) fn at(&mut self, address: usize) -> &[Function] {
        self.known.entry(address).or_insert_with(|| {
            let mut found = self.process.functions(address);
            if found.is_empty() {
                let name = format!("{address:#x}");
                found.push(Function { name, file: String::new(), line: 0 });
            }
            found
        })
    }

    /// The frames of a stack without those of the allocator itself, and the interface to it.
    pub(crate) fn of_program<'b>(&mut self, frames: &'b [usize]) -> &'b [usize] {
        let own = |frame: &&usize| self.at(**frame).iter().all(is_allocator);
        let own = frames.iter().take_while(own).count();
        &frames[own..]
    }

    /// The functions at an address behind a call, without those of the allocator: where it is
    /// inlined into the program, they come first. If all are, they stay.
    pub(crate) fn of_program_at(&mut self, address: usize) -> &[Function] {
        let functions = self.at(address);
        let own = functions.iter().take_while(|function| is_allocator(function)).count();
        &functions[own % functions.len().max(1)..]
    }

    /// The names of a stack, the outermost function first.
    pub(crate) fn names(&mut self, frames: &[usize]) -> Vec<String> {
        let mut names = Vec::new();
        for frame in self.of_program(frames) {
            names.extend(self.of_program_at(*frame).iter().map(|function| function.name.clone()));
        }
        if names.is_empty() {
            names.push("(other stacks)".to_owned());
        }
        names.reverse();
        names
    }
}

/// Whether a function is the allocator's, or one through which Rust calls it. With line tables
/// alone, names have no paths; then there are files.
fn is_allocator(function: &Function) -> bool {
    const NAMES: &[&str] =
        &["allocator_core::", "allocator_sys::", "alloc::alloc::", "__rust_", "__rustc::__rust_"];
    const FILES: &[&str] = &["/allocator-core", "/allocator-sys"];
    let name = function.name.trim_start_matches('<');
    let is_source = |part: &str| {
        let rest = function.file.rsplit_once(part).map_or("", |(_, rest)| rest);
        rest.split_once('/').is_some_and(|(_, path)| path.starts_with("src/"))
    };
    NAMES.iter().any(|start| name.starts_with(start))
        || FILES.iter().any(|part| is_source(part))
        || function.file.ends_with("/alloc/src/alloc.rs")
}
