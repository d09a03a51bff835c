//! What the laws share: the files of the workspace, and a reader of Rust source
//! that knows comments and strings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file's text.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a directory, but for what is built.
#[must_use]
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !["target", ".git", "shared"].contains(&name) {
                directories.push(path);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// All files below a directory that end so.
#[must_use]
pub fn with_extension(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = files(directory);
    files.retain(|path| path.extension().is_some_and(|it| it == extension));
    files
}

/// A source file of a crate.
pub struct Module {
    /// Its place in the tree of modules: `["span", "granules"]`.
    pub path: Vec<String>,
    /// Its text, without its tests.
    pub text: String,
}

impl Module {
    /// Its name, as `span::granules`.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.join("::")
    }
}

/// The modules of a crate, in the order in which `lib.rs` and each `mod.rs` list
/// them; a folder's `mod.rs` comes before its files.
#[must_use]
pub fn modules(package: &str) -> Vec<Module> {
    let source = root().join(package).join("src");
    let mut found = Vec::new();
    add_modules(&source, &read(&source.join("lib.rs")), &[], &mut found);
    found
}

fn add_modules(folder: &Path, listing: &str, parents: &[String], found: &mut Vec<Module>) {
    for name in listed(listing) {
        let mut path = parents.to_vec();
        path.push(name.to_owned());
        let inner = folder.join(name);
        let file = folder.join(name).with_extension("rs");
        let is_folder = !file.exists();
        let text = read(&if is_folder { inner.join("mod.rs") } else { file });
        let end = text.find("\n#[cfg(test)]").unwrap_or(text.len());
        found.push(Module { path: path.clone(), text: text[..end].to_owned() });
        if is_folder {
            add_modules(&inner, &text, &path, found);
        }
    }
}

/// The names after `mod`, in order.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';')
    })
}

/// Uses of what stands above: `(who, whom)`. Of two modules of a crate, that one
/// stands above which is listed later; within a folder, the same holds for its
/// files.
#[must_use]
pub fn upward(modules: &[Module]) -> Vec<(String, String)> {
    let mut upward = Vec::new();
    for (at, module) in modules.iter().enumerate() {
        for used in uses(module) {
            let place = modules.iter().position(|it| it.path == used);
            if place.is_some_and(|place| place > at) {
                upward.push((module.name(), used.join("::")));
            }
        }
    }
    upward
}

/// The modules that a module names: `crate::a::b` and `super::b`, as far as each
/// path leads through modules.
fn uses(module: &Module) -> Vec<Vec<String>> {
    let code = code(&module.text);
    let mut found = Vec::new();
    let parents = &module.path[..module.path.len() - 1];
    for (prefix, start) in [("crate::", &[][..]), ("super::", parents)] {
        for path in paths_after(&code, prefix) {
            for len in 1..=path.len() {
                found.push(start.iter().cloned().chain(path[..len].iter().cloned()).collect());
            }
        }
    }
    found
}

/// The paths that follow upon a prefix, lists in braces taken apart.
fn paths_after(code: &str, prefix: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if !code[..at].ends_with(|c| is_word(c) || c == ':') {
            add_paths(&code[at + prefix.len()..], &mut Vec::new(), &mut paths);
        }
    }
    paths
}

/// Adds the paths that a text begins with, each after `before`. Returns what
/// follows.
fn add_paths<'a>(text: &'a str, before: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = add_paths(rest, before, paths).trim_start();
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if word.is_empty() {
        return rest;
    }
    before.push(word.to_owned());
    let rest = match rest.strip_prefix("::") {
        Some(rest) => add_paths(rest, before, paths),
        None => {
            paths.push(before.clone());
            rest
        }
    };
    before.pop();
    rest
}

/// The text with comments, strings and characters blanked.
#[must_use]
pub fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if c == '"' {
            string(rest)
        } else if c == '\'' {
            character(rest)
        } else {
            0
        };
        if skipped == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
            out.push(' ');
            rest = &rest[skipped..];
        }
    }
    out
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of a character literal; 0 if it is a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, _))) => {
            text[at + 1..].find('\'').map_or(0, |end| at + 1 + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// Whether a character may stand in a name.
#[must_use]
pub fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The names in a text.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

/// What follows each `prefix`: a word, or the first words of a list in braces.
#[must_use]
pub fn named_after<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        let rest = &text[at + prefix.len()..];
        match rest.strip_prefix('{').and_then(|list| list.split_once('}')) {
            Some((list, _)) => {
                names.extend(list.split(',').filter_map(|name| words(name).next()));
            }
            None => names.extend(words(rest).next()),
        }
    }
    names
}

/// Labels in brackets: `[TWO-WORDS]`, in documentation `\[TWO-WORDS\]`.
#[must_use]
pub fn labels(text: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for (at, _) in text.match_indices('[') {
        let rest = &text[at + 1..];
        let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '-').unwrap_or(rest.len());
        let (label, rest) = rest.split_at(end);
        if is_label(label) && (rest.starts_with(']') || rest.starts_with("\\]")) {
            labels.insert(label.to_owned());
        }
    }
    labels
}

/// Whether a text has the form of a label: `TWO-WORDS`.
#[must_use]
pub fn is_label(text: &str) -> bool {
    text.contains('-')
        && text
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(path: &[&str], text: &str) -> Module {
        Module { path: path.iter().map(|&part| part.to_owned()).collect(), text: text.to_owned() }
    }

    #[test]
    fn an_upward_use_is_found_however_it_is_written() {
        let below = |text| {
            upward(&[
                module(&["low"], "mod first; mod second;"),
                module(&["low", "first"], text),
                module(&["low", "second"], ""),
                module(&["high"], ""),
                module(&["high", "third"], "use crate::low::{first, second::Thing};"),
            ])
        };
        assert!(below("").is_empty());
        assert!(below("// use crate::high;").is_empty());
        let whom = |text| below(text).into_iter().map(|(_, whom)| whom).collect::<Vec<_>>();
        assert_eq!(whom("use super::second;"), ["low::second"]);
        assert_eq!(whom("use crate::low::second::Thing;"), ["low::second"]);
        assert_eq!(
            whom("use crate::{low, high::{third::{self, X}}};").last().unwrap(),
            "high::third"
        );
        assert_eq!(whom("fn f() { crate::high::third::go() }").first().unwrap(), "high");
    }
}
