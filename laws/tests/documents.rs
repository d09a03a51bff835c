//! Laws of documents: what they name exists.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use laws::commands::{Known, keys_set, options};
use laws::documents::documents;
use laws::source::{functions, idents, strings, tokens, words};
use laws::workspace::{library, packages, read, root, shown, tracked, with_extension};
use laws::{is_word, trees};

/// What documents can name.
struct Workspace {
    /// Names of files.
    files: BTreeSet<String>,
    /// Words of the code of each Rust file, by the file's stem; of strings, too.
    words: Vec<(String, BTreeSet<String>)>,
    /// Words of files in C, and of tables for tools.
    others: BTreeSet<String>,
    functions: BTreeSet<String>,
    /// The last names of the modules of libraries.
    modules: BTreeSet<String>,
}

static WORKSPACE: LazyLock<Workspace> = LazyLock::new(Workspace::new);

impl Workspace {
    fn new() -> Self {
        let mut workspace = Workspace {
            files: BTreeSet::new(),
            words: Vec::new(),
            others: BTreeSet::new(),
            functions: BTreeSet::new(),
            modules: BTreeSet::new(),
        };
        for path in tracked() {
            workspace.files.insert(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
        for path in with_extension(&root(), &["rs"]) {
            let tokens = tokens(&read(path));
            let mut known = idents(&tokens);
            known.extend(strings(&tokens).iter().flat_map(|it| words(it)).map(str::to_owned));
            workspace.functions.extend(functions(&tokens));
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            workspace.words.push((stem, known));
        }
        for path in with_extension(&root(), &["c", "cc", "h", "toml", "txt", "pc", "yml"]) {
            workspace.others.extend(words(&read(path)).map(str::to_owned));
        }
        for package in packages() {
            let modules = library(package).map(|target| trees::tree(package, target));
            let names = modules.into_iter().flatten().filter_map(|it| it.path.last().cloned());
            workspace.modules.extend(names);
        }
        workspace
    }

    fn has_word(&self, word: &str) -> bool {
        self.others.contains(word) || self.words.iter().any(|(_, words)| words.contains(word))
    }

    /// Whether a path in a document leads anywhere.
    fn leads_somewhere(&self, document: &Path, path: &str) -> bool {
        let beside = document.parent().unwrap().join(path);
        let below_core = root().join("allocator-core/src").join(path);
        root().join(path).exists()
            || beside.exists()
            || path.contains('/') && below_core.exists()
            || !path.contains('/') && self.files.contains(path)
    }

    /// What is wrong with a piece of code in a document, if it is a path or a
    /// name of ours.
    fn is_wrong(&self, document: &Path, quoted: &str) -> bool {
        let is_path = |c: char| is_word(c) || "./-".contains(c);
        let plain = quoted.strip_suffix("()").unwrap_or(quoted);
        let is_file = [".rs", ".md", ".toml"].iter().any(|end| quoted.ends_with(end));
        if quoted.chars().all(is_path) && !quoted.starts_with('/') {
            let first = quoted.split('/').next().unwrap();
            let ours = quoted.contains('/') && first != "target" && root().join(first).is_dir();
            if is_file || ours {
                return !self.leads_somewhere(document, quoted);
            }
        }
        if plain.contains("::") && plain.chars().all(|c| is_word(c) || c == ':') {
            return self.is_wrong_path(plain);
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
    fn is_wrong_path(&self, path: &str) -> bool {
        let parts: Vec<&str> = words(path).collect();
        let Some(first) = parts.first() else { return false };
        if ["std", "core", "libc", "loom"].contains(first) {
            return false;
        }
        let all = |words: &BTreeSet<String>, parts: &[&str]| {
            parts.iter().all(|part| words.contains(*part))
        };
        !if self.modules.contains(*first) {
            self.words.iter().any(|(stem, words)| stem == first && all(words, &parts[1..]))
        } else {
            self.words.iter().any(|(_, words)| all(words, &parts))
        }
    }
}

#[test]
fn the_paths_and_symbols_that_documents_name_exist() {
    let workspace = &*WORKSPACE;
    let mut wrong = Vec::new();
    for document in documents() {
        for (line, quoted) in &document.quotes {
            if workspace.is_wrong(&document.path, quoted) {
                wrong.push(format!("{}:{line}: `{quoted}`", shown(&document.path)));
            }
        }
        for (line, target) in &document.links {
            if !document.path.parent().unwrap().join(target).exists() {
                wrong.push(format!("{}:{line}: link to {target}", shown(&document.path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_commands_that_documents_show_exist() {
    let known = Known::new();
    let mut wrong = Vec::new();
    for document in documents() {
        for (line, command) in document.commands() {
            for problem in known.problems(&command) {
                wrong.push(format!("{}:{line}: {problem}: {command}", shown(&document.path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_options_that_documents_set_exist() {
    let options = options();
    let mut wrong = Vec::new();
    for path in with_extension(&root(), &["md"]) {
        let text = read(path);
        let strange = keys_set(&text).into_iter().filter(|key| !options.contains(*key));
        wrong.extend(strange.map(|key| format!("{}: STRATA_CONF={key}", shown(path))));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The page of options has all of them.
#[test]
fn every_option_is_documented() {
    let page = documents().into_iter().find(|it| it.path.ends_with("docs/options.md")).unwrap();
    let quotes: BTreeSet<&str> = page.quotes.iter().map(|(_, quote)| quote.as_str()).collect();
    let missing: Vec<_> =
        options().into_iter().filter(|key| !quotes.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "docs/options.md does not have {missing:?}");
}

#[test]
fn names_that_do_not_exist_are_found() {
    let workspace = &*WORKSPACE;
    let document = root().join("docs/testing.md");
    for quoted in [
        "laws/src/lib.rs",
        "testing.md",
        "lib.rs",
        "modules()",
        "Workspace::is_wrong",
        "workspace::tracked",
        "std::fs::read",
        "Workspace",
        "__libc_malloc",
        "a word, or two",
        "target/release/none",
    ] {
        assert!(!workspace.is_wrong(&document, quoted), "{quoted}");
    }
    // Assembled, because a name in a string of this file would count as existing.
    let none = |start: &str| format!("{start}{}", "Nowhere".to_lowercase());
    for quoted in [
        "laws/src/none.rs".to_owned(),
        "docs/none".to_owned(),
        "none.md".to_owned(),
        format!("{}()", none("is_")),
        none("workspace::is_"),
        none("Workspace::is_"),
        none("is_"),
        none("Is"),
    ] {
        assert!(workspace.is_wrong(&document, &quoted), "{quoted}");
    }
}
