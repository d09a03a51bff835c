//! The laws of the source, read by a machine: layers, labels, orderings,
//! sizes, and that what the documents name exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Uses of a module that stands below: `(who, whom)`. None is allowed.
const UPWARD: &[(&str, &str)] = &[];

/// Most lines of code in a file, comments and tests left out.
const MOST_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a directory, but for what is built.
fn files(directory: &Path) -> Vec<PathBuf> {
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

fn with_extension(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = files(directory);
    files.retain(|path| path.extension().is_some_and(|it| it == extension));
    files
}

/// The modules in the order of `lib.rs`, and the text of each without its tests.
fn modules() -> Vec<(String, String)> {
    let source = root().join("allocator-core/src");
    let names = read(&source.join("lib.rs"));
    let names = names.lines().map(|line| line.strip_prefix("pub ").unwrap_or(line));
    let names = names.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let text = |name: &str| {
        let text = read(&source.join(name).with_extension("rs"));
        let end = text.find("\n#[cfg(test)]").unwrap_or(text.len());
        text[..end].to_owned()
    };
    names.map(|name| (name.to_owned(), text(name))).collect()
}

/// The text with comments, strings and characters blanked.
fn code(text: &str) -> String {
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

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

/// What follows each `prefix`: a word, or the first words of a list in braces.
fn named_after<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
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
fn labels(text: &str) -> BTreeSet<String> {
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

fn is_label(text: &str) -> bool {
    text.contains('-')
        && text
            .split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_uppercase()))
}

#[test]
fn lib_lists_every_file() {
    let listed: BTreeSet<String> = modules().into_iter().map(|(name, _)| name).collect();
    let here: BTreeSet<String> = with_extension(&root().join("allocator-core/src"), "rs")
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "lib")
        .collect();
    assert_eq!(listed, here);
}

#[test]
fn a_file_uses_only_what_stands_above_it() {
    let modules = modules();
    let place: BTreeMap<&str, usize> =
        modules.iter().enumerate().map(|(i, (name, _))| (name.as_str(), i)).collect();
    let mut upward = BTreeSet::new();
    for (i, (name, text)) in modules.iter().enumerate() {
        let code = code(text);
        for used in named_after(&code, "crate::") {
            if place.get(used).is_some_and(|&it| it > i) {
                upward.insert((name.clone(), used.to_owned()));
            }
        }
    }
    let known = UPWARD.iter().map(|&(who, whom)| (who.to_owned(), whom.to_owned()));
    assert_eq!(upward, known.collect());
}

#[test]
fn every_label_is_an_invariant_and_every_invariant_is_cited() {
    let mut cited = BTreeSet::new();
    for (_, text) in modules() {
        cited.extend(labels(&text));
    }
    let document = read(&root().join("docs/invariants.md"));
    let defined: BTreeSet<String> = document
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .filter(|label| is_label(label))
        .map(str::to_owned)
        .collect();
    assert_eq!(cited, defined, "cited in allocator-core/src, defined in docs/invariants.md");
    for part in ["docs", "allocator-sys/src", "loom-tests/src", "allocator-core/tests"] {
        for path in files(&root().join(part)) {
            if path.ends_with("laws.rs") {
                continue;
            }
            let strange: Vec<String> = labels(&read(&path)).difference(&defined).cloned().collect();
            assert!(strange.is_empty(), "{}: {strange:?}", path.display());
        }
    }
}

#[test]
fn atomics_and_orderings_have_one_door_each() {
    for (name, text) in modules() {
        let code = code(&text);
        let door = name == "sync";
        let orders = door || name == "order";
        assert!(door || !code.contains("loom::"), "{name} names loom");
        assert!(orders || !code.contains("core::sync"), "{name} names core::sync");
        assert!(orders || !words(&code).any(|word| word == "Ordering"), "{name}: Ordering");
        assert!(!code.contains("std::"), "{name} names std");
    }
}

#[test]
fn every_ordering_is_used() {
    let modules = modules();
    let (_, orders) = modules.iter().find(|(name, _)| name == "order").unwrap();
    let orders = code(orders);
    let names: Vec<&str> = orders
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.strip_suffix(';')?.split_once(" = "))
        .filter(|(name, _)| name.chars().all(is_word))
        .map(|(name, _)| name)
        .collect();
    assert!(names.len() > 10, "{names:?}");
    let used: BTreeSet<String> = modules
        .iter()
        .flat_map(|(_, text)| {
            let code = code(text);
            named_after(&code, "order::").into_iter().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    for name in names {
        assert!(used.contains(name), "order::{name} is not used");
    }
}

#[test]
fn files_are_short() {
    for (name, text) in modules() {
        let lines = code(&text).lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= MOST_LINES, "{name} has {lines} lines of code");
    }
}

#[test]
fn functions_are_the_same_in_every_configuration() {
    for (name, text) in modules() {
        let code = code(&text);
        // For each open brace: whether it opened a function.
        let mut open = Vec::new();
        let mut since = 0;
        for (at, c) in code.char_indices() {
            let within = open.contains(&true);
            let asks = code[at..].starts_with("#[cfg") || code[at..].starts_with("cfg!(");
            assert!(!(within && asks), "{name}: cfg in a function: {:.60}", &code[at..]);
            match c {
                '{' => {
                    open.push(words(&code[since..at]).any(|word| word == "fn"));
                    since = at + 1;
                }
                '}' => {
                    open.pop().unwrap_or_else(|| panic!("{name}: braces"));
                    since = at + 1;
                }
                ';' => since = at + 1,
                _ => {}
            }
        }
        assert!(open.is_empty(), "{name}: braces");
    }
}

/// Memory comes from mappings: whoever moves the break is alone with it.
#[test]
fn nobody_moves_the_break() {
    for part in ["allocator-core/src", "allocator-sys/src"] {
        for path in with_extension(&root().join(part), "rs") {
            let text = read(&path);
            let named = words(&text).find(|word| ["brk", "sbrk", "SYS_brk"].contains(word));
            assert_eq!(named, None, "{}", path.display());
        }
    }
}

/// What is known of the workspace when documents are checked.
struct Workspace {
    root: PathBuf,
    names: BTreeSet<String>,
    /// Words of each Rust file, by the file's stem.
    words: Vec<(String, BTreeSet<String>)>,
    functions: BTreeSet<String>,
}

impl Workspace {
    fn new() -> Self {
        let root = root();
        let all = files(&root);
        let names = all.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
        let names = names.collect();
        let (mut text_words, mut functions) = (Vec::new(), BTreeSet::new());
        for path in all.iter().filter(|path| path.extension().is_some_and(|it| it == "rs")) {
            let text = read(path);
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            text_words.push((stem, words(&text).map(str::to_owned).collect()));
            functions.extend(named_after(&text, "fn ").into_iter().map(str::to_owned));
        }
        Workspace { root, names, words: text_words, functions }
    }

    fn has_word(&self, word: &str) -> bool {
        self.words.iter().any(|(_, words)| words.contains(word))
    }

    /// Whether a path in a document leads anywhere.
    fn leads_somewhere(&self, document: &Path, path: &str) -> bool {
        let beside = document.parent().unwrap().join(path);
        self.root.join(path).exists()
            || beside.exists()
            || !path.contains('/') && self.names.contains(path)
    }

    /// What is wrong with a piece of code in a document, if it is a path or a
    /// name of ours.
    fn wrong(&self, document: &Path, quoted: &str) -> bool {
        let is_path = |c: char| is_word(c) || "./-".contains(c);
        let plain = quoted.strip_suffix("()").unwrap_or(quoted);
        let is_file = [".rs", ".md", ".toml"].iter().any(|end| quoted.ends_with(end));
        if quoted.chars().all(is_path) && !quoted.starts_with('/') {
            let first = quoted.split('/').next().unwrap();
            let ours = quoted.contains('/') && first != "target" && self.root.join(first).is_dir();
            if is_file || ours {
                return !self.leads_somewhere(document, quoted);
            }
        }
        if plain.contains("::") && plain.chars().all(|c| is_word(c) || c == ':') {
            return self.wrong_path(plain);
        }
        // Names that begin with two underscores are the system's.
        if !plain.chars().all(is_word) || plain.is_empty() || plain.starts_with("__") {
            return false;
        }
        if plain != quoted {
            return !self.functions.contains(plain);
        }
        let first = plain.chars().next().unwrap();
        let ours = first.is_ascii_uppercase() || plain.contains('_');
        ours && plain.len() > 2 && !self.has_word(plain)
    }

    /// `module::name`, `Type::name`.
    fn wrong_path(&self, path: &str) -> bool {
        let parts: Vec<&str> = words(path).collect();
        if ["std", "core", "libc", "loom"].contains(&parts[0]) {
            return false;
        }
        let module = self.root.join("allocator-core/src").join(parts[0]).with_extension("rs");
        let all = |words: &BTreeSet<String>, parts: &[&str]| {
            parts.iter().all(|part| words.contains(*part))
        };
        !if module.exists() {
            self.words.iter().any(|(stem, words)| stem == parts[0] && all(words, &parts[1..]))
        } else {
            self.words.iter().any(|(_, words)| all(words, &parts))
        }
    }
}

/// Code in backticks, outside of fenced blocks.
fn quotes(text: &str) -> Vec<&str> {
    let fenced = text.split("\n```").step_by(2);
    fenced.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn what_the_documents_name_exists() {
    let workspace = Workspace::new();
    let mut documents = with_extension(&workspace.root.join("docs"), "md");
    documents.extend(["README.md", "CHANGELOG.md"].map(|name| workspace.root.join(name)));
    let mut wrong = Vec::new();
    for document in &documents {
        let text = read(document);
        for quoted in quotes(&text) {
            if workspace.wrong(document, quoted) {
                wrong.push(format!("{}: `{quoted}`", document.display()));
            }
        }
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', '#']).next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                let path = document.parent().unwrap().join(target);
                if !path.exists() {
                    wrong.push(format!("{}: link to {target}", document.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
