//! The functions of addresses, with those that were inlined there.

use std::collections::HashMap;
use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;

use backtrace::SymbolName;

/// A function, and the line of it that made a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Function {
    /// As Rust or C++ write it, without the hash that Rust appends.
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

/// The functions of addresses that were looked up.
#[derive(Default)]
pub(crate) struct Symbols {
    known: HashMap<usize, Vec<Function>>,
}

impl Drop for Symbols {
    /// Debug information takes many times the memory of a profile.
    fn drop(&mut self) {
        backtrace::clear_symbol_cache();
    }
}

impl Symbols {
    /// The functions at an address behind a call, the innermost first; its number if nothing is
    /// known.
    pub(crate) fn at(&mut self, address: usize) -> &[Function] {
        self.known.entry(address).or_insert_with(|| {
            let mut found = Vec::new();
            backtrace::resolve(address as *mut c_void, |symbol| {
                let name = symbol.name().map(|name| format!("{name:#}"));
                found.extend(name.map(|name| Function {
                    name,
                    file: symbol.filename().map(|it| it.display().to_string()).unwrap_or_default(),
                    line: symbol.lineno().unwrap_or(0),
                }));
            });
            if found.is_empty() {
                let name = exported(address).unwrap_or_else(|| format!("{address:#x}"));
                found.push(Function { name, file: String::new(), line: 0 });
            }
            found
        })
    }

    /// The frames of a stack without those of the allocator itself, and the interface to it.
    pub(crate) fn of_program<'a>(&mut self, frames: &'a [usize]) -> &'a [usize] {
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

/// The function at an address behind a call, by the names that its object exports: of libraries
/// that were loaded after the first address was looked up, nothing else is known.
fn exported(address: usize) -> Option<String> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the loader fills the place, and the name is its object's.
    unsafe {
        if libc::dladdr((address - 1) as *const c_void, info.as_mut_ptr()) == 0 {
            return None;
        }
        let name = info.assume_init().dli_sname;
        let name = (!name.is_null()).then(|| CStr::from_ptr(name).to_bytes())?;
        Some(format!("{:#}", SymbolName::new(name)))
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
