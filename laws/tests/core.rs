//! The laws of the source, read by a machine: layers, labels, orderings,
//! sizes, and that what the documents name exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use laws::{
    Module, code, files, is_label, is_word, labels, named_after, read, root, upward,
    with_extension, words,
};

/// The modules of the allocator.
fn modules() -> Vec<Module> {
    laws::modules("allocator-core")
}

/// Most lines of code in a file, comments and tests left out.
const MOST_LINES: usize = 600;

#[test]
fn every_file_is_listed() {
    let source = root().join("allocator-core/src");
    let listed: BTreeSet<PathBuf> = modules()
        .iter()
        .map(|module| {
            let path = source.join(module.path.join("/"));
            if path.is_dir() { path.join("mod.rs") } else { path.with_extension("rs") }
        })
        .chain([source.join("lib.rs")])
        .collect();
    let here: BTreeSet<PathBuf> = with_extension(&source, "rs").into_iter().collect();
    assert_eq!(listed, here);
}

#[test]
fn nothing_uses_what_is_listed_after_it() {
    assert_eq!(upward(&modules()), []);
}

#[test]
fn every_label_is_an_invariant_and_every_invariant_is_cited() {
    let mut cited = BTreeSet::new();
    for module in modules() {
        cited.extend(labels(&module.text));
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
            let strange: Vec<String> = labels(&read(&path)).difference(&defined).cloned().collect();
            assert!(strange.is_empty(), "{}: {strange:?}", path.display());
        }
    }
}

#[test]
fn files_are_short() {
    for module in modules() {
        let name = module.name();
        let lines = code(&module.text).lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= MOST_LINES, "{name} has {lines} lines of code");
    }
}

#[test]
fn functions_are_the_same_in_every_configuration() {
    for module in modules() {
        let (name, code) = (module.name(), code(&module.text));
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
    /// The last names of the allocator's modules.
    modules: BTreeSet<String>,
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
        let modules = modules().iter().filter_map(|module| module.path.last().cloned()).collect();
        Workspace { root, names, words: text_words, functions, modules }
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
        let is_module = self.modules.contains(parts[0]);
        let all = |words: &BTreeSet<String>, parts: &[&str]| {
            parts.iter().all(|part| words.contains(*part))
        };
        !if is_module {
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
    documents.extend(
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
            .map(|name| workspace.root.join(name)),
    );
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
