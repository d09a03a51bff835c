//! Trees of modules: the files that a target compiles, each with its place in the
//! tree.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use proc_macro2::{Delimiter, TokenTree};

use crate::imports::Names;
use crate::source::{
    attribute, before_item, group, inner, is_ident, is_punct, string, tokens, without_tests,
};
use crate::workspace::{Package, Target, folder, library, package, read};

/// A source file of a target.
pub struct Module {
    /// Its place in the tree of modules: `["span", "granules"]`; empty for the root.
    pub path: Vec<String>,
    /// Where it is.
    pub file: &'static Path,
    /// Its text, without its tests.
    pub text: String,
    /// What it names, its tests left out.
    pub names: &'static Names,
}

impl Module {
    /// Its name, as `span::granules`.
    #[must_use]
    pub fn name(&self) -> String {
        if self.path.is_empty() { "crate".to_owned() } else { self.path.join("::") }
    }
}

/// The modules of a package's library, in the order in which they are listed; a
/// folder's `mod.rs` comes before its files. The root is left out.
///
/// # Panics
/// If there is no such library.
#[must_use]
pub fn modules(name: &str) -> Vec<Module> {
    let package = package(name).unwrap_or_else(|| panic!("no package {name}"));
    let library = library(package).unwrap_or_else(|| panic!("{name} has no library"));
    tree(package, library).split_off(1)
}

/// The modules of a target, as they are listed, after its root.
#[must_use]
pub fn tree(package: &Package, target: &Target) -> Vec<Module> {
    let root = target.src_path.as_std_path();
    let mut found = Vec::new();
    add(package, Vec::new(), root, root.parent().unwrap(), &mut found);
    found
}

/// Adds a file and what it lists. The files of its modules are in `children`.
fn add(
    package: &Package,
    path: Vec<String>,
    file: &Path,
    children: &Path,
    found: &mut Vec<Module>,
) {
    let File { path: file, text, names, listed } = File::read(file);
    found.push(Module { path: path.clone(), file, text: text.clone(), names });
    let beside = file.parent().unwrap();
    for (within, listed) in listed {
        let mut path = [&path[..], within].concat();
        match listed {
            Listed::Module(name) => {
                let inner = within.iter().fold(children.to_owned(), |it, part| it.join(part));
                let inner = inner.join(name);
                path.push(name.clone());
                let file = inner.with_extension("rs");
                let file = if file.exists() { file } else { inner.join("mod.rs") };
                add(package, path, &file, &inner, found);
            }
            Listed::ModuleAt(name, place) => {
                let file = clean(&beside.join(place));
                path.push(name.clone());
                add(package, path, &file, file.parent().unwrap(), found);
            }
            // An included file is a part of the module.
            Listed::Included(place) => {
                let file = clean(&beside.join(place));
                add(package, path, &file, file.parent().unwrap(), found);
            }
            Listed::Generated => {
                for (path, file) in generated(&folder(package).join("build.rs")) {
                    add(package, path, &file, file.parent().unwrap(), found);
                }
            }
        }
    }
}

/// A file; each is read once, for all trees.
struct File {
    path: PathBuf,
    text: String,
    names: Names,
    /// What it lists, each with the path of the modules with bodies around it.
    listed: Vec<(Vec<String>, Listed)>,
}

enum Listed {
    /// `mod name;`
    Module(String),
    /// `#[path = "…"] mod name;`
    ModuleAt(String, String),
    /// `include!("…")`
    Included(String),
    /// `include!` of what the build script wrote.
    Generated,
}

impl File {
    fn read(path: &Path) -> &'static Self {
        static FILES: LazyLock<Mutex<HashMap<PathBuf, &'static File>>> =
            LazyLock::new(Mutex::default);
        let mut files = FILES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        files.entry(path.to_owned()).or_insert_with(|| {
            let whole = read(path);
            let text = without_tests(&whole);
            let names = Names::new(&tokens(&text));
            let mut listed = Vec::new();
            list(&tokens(&whole), &[], &mut listed);
            Box::leak(Box::new(File { path: path.to_owned(), text, names, listed }))
        })
    }
}

/// Finds `mod` and `include!`.
fn list(trees: &[TokenTree], within: &[String], found: &mut Vec<(Vec<String>, Listed)>) {
    let mut at = 0;
    while at < trees.len() {
        let attributes = &trees[at..];
        let len = before_item(attributes);
        let item = &attributes[len..];
        at += len + 1;
        if is_ident(item.first(), "mod") && item.len() > 2 {
            let name = item[1].to_string();
            if let Some(body) = group(item.get(2), Delimiter::Brace) {
                list(&inner(body), &[within, &[name]].concat(), found);
            } else if is_punct(item.get(2), ';') {
                let module = match path_attribute(&attributes[..len]) {
                    Some(place) => Listed::ModuleAt(name, place),
                    None => Listed::Module(name),
                };
                found.push((within.to_owned(), module));
            }
        } else if is_ident(item.first(), "include") && is_punct(item.get(1), '!') {
            let Some(TokenTree::Group(argument)) = item.get(2) else { continue };
            let place = string(inner(argument).first());
            found.push((within.to_owned(), place.map_or(Listed::Generated, Listed::Included)));
        }
    }
}

/// What `#[path = "…"]` says.
fn path_attribute(mut attributes: &[TokenTree]) -> Option<String> {
    while let Some((group, len)) = attribute(attributes) {
        let inner = inner(group);
        if is_ident(inner.first(), "path") {
            return string(inner.get(2));
        }
        attributes = &attributes[len..];
    }
    None
}

/// The path without `..`.
fn clean(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The modules that the build script of `loom-tests` lists in `FOLDERS`: a folder, its
/// files that are compiled as they ship, between two lists of those that are replaced.
fn generated(script: &Path) -> Vec<(Vec<String>, PathBuf)> {
    let trees = tokens(&read(script));
    let at = trees.iter().position(|tree| is_ident(Some(tree), "FOLDERS"));
    let at = at.unwrap_or_else(|| panic!("{}: no FOLDERS", script.display()));
    let equals = trees[at..].iter().position(|tree| is_punct(Some(tree), '='));
    let list = group(trees.get(at + equals.unwrap() + 1), Delimiter::Bracket).expect("a list");
    let package = script.parent().unwrap();
    let core = package.join("../allocator-core/src");
    let mut found = Vec::new();
    for row in inner(list).iter().filter_map(|tree| group(Some(tree), Delimiter::Parenthesis)) {
        let row = inner(row);
        let folder = string(row.first()).expect("a folder");
        let lists = inner(group(row.get(2), Delimiter::Bracket).expect("three lists"));
        let lists = lists.iter().filter_map(|tree| group(Some(tree), Delimiter::Bracket));
        for (list, is_shipped) in lists.zip([false, true, false]) {
            let place = if is_shipped { core.join(&folder) } else { package.join("src/around") };
            for name in inner(list).iter().filter_map(|tree| string(Some(tree))) {
                let file = clean(&place.join(&name).with_extension("rs"));
                found.push((vec![folder.clone(), name], file));
            }
        }
    }
    assert!(!found.is_empty(), "{}: FOLDERS is empty", script.display());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_say_where_a_module_is() {
        let of = |text| path_attribute(&tokens(text));
        assert_eq!(of("#[cfg(a)] #[path = \"b/c.rs\"] mod d;").as_deref(), Some("b/c.rs"));
        assert_eq!(of("#[cfg(a)] mod d;"), None);
    }
}
