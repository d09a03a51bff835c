//! Which module uses which. Of two modules, the one that is listed later is above the
//! other. The same holds for the files of a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::imports::Written;
use crate::trees::Module;

/// The uses between the modules of a target.
pub struct Graph<'a> {
    modules: &'a [Module],
    /// The modules of a path; there can be several, for several configurations.
    places: BTreeMap<&'a [String], Vec<usize>>,
}

impl<'a> Graph<'a> {
    /// Reads the modules.
    #[must_use]
    pub fn new(modules: &'a [Module]) -> Self {
        let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (at, module) in modules.iter().enumerate() {
            places.entry(&module.path[..]).or_default().push(at);
        }
        Graph { modules, places }
    }

    /// The modules that a module uses, itself left out, by their places.
    #[must_use]
    pub fn used_by(&self, at: usize) -> BTreeSet<usize> {
        let module = &self.modules[at];
        let mut used = BTreeSet::new();
        for path in &module.names.paths {
            let within = [&module.path[..], &path.within].concat();
            let path = Written { within, parts: path.parts.clone() };
            self.follow(&path, &mut BTreeSet::new(), &mut used);
        }
        // Files that are included have the path of the module that includes them.
        used.retain(|it| self.modules[*it].path != module.path);
        used
    }

    fn at(&self, path: &[String]) -> &[usize] {
        self.places.get(path).map_or(&[], Vec::as_slice)
    }

    fn is_module(&self, path: &[String]) -> bool {
        self.places.contains_key(path)
    }

    /// Adds the modules to which a path leads, if they are in this target. A path that
    /// was seen before adds nothing: imports can form circles.
    fn follow(&self, path: &Written, seen: &mut BTreeSet<Written>, found: &mut BTreeSet<usize>) {
        if !seen.insert(path.clone()) {
            return;
        }
        let mut start = path.within.clone();
        let mut parts = &path.parts[..];
        match parts[0].as_str() {
            "crate" => {
                start.clear();
                parts = &parts[1..];
            }
            "self" => parts = &parts[1..],
            "super" => {
                while parts.first().is_some_and(|part| part == "super") {
                    start.pop();
                    parts = &parts[1..];
                }
            }
            first => {
                let is_known = self.is_module(&[&start[..], &parts[..1]].concat())
                    || !self.imports(&start, first).is_empty();
                if !is_known {
                    return;
                }
            }
        }
        self.resolve(start, parts, seen, found);
    }

    /// The imports of a module under a name. An import that begins with the same name,
    /// as in `use a::a`, is from another crate.
    fn imports(&self, module: &[String], name: &str) -> Vec<&Vec<String>> {
        // In the file's own module.
        let key = (Vec::new(), name.to_owned());
        let all = self.at(module).iter().filter_map(|at| self.modules[*at].names.imports.get(&key));
        all.flatten().filter(|import| import[0] != name).collect()
    }

    fn resolve(
        &self,
        mut at: Vec<String>,
        mut parts: &[String],
        seen: &mut BTreeSet<Written>,
        found: &mut BTreeSet<usize>,
    ) {
        while !self.is_module(&at) {
            // A module with a body, inside a file.
            at.pop();
            parts = &[];
        }
        let longest = (0..=parts.len()).rev().map(|len| [&at[..], &parts[..len]].concat());
        let inner = longest.into_iter().find(|path| self.is_module(path)).unwrap();
        parts = &parts[inner.len() - at.len()..];
        at = inner;
        let here = self.at(&at);
        let Some((name, rest)) = parts.split_first() else { return found.extend(here) };
        let is_defined = |at: &usize| self.modules[*at].names.defined.contains(name);
        if name == "*" || here.iter().any(is_defined) {
            return found.extend(here);
        }
        let mut is_imported = false;
        for import in self.imports(&at, name) {
            is_imported = true;
            let parts = [import, rest].concat();
            self.follow(&Written { within: at.clone(), parts }, seen, found);
        }
        if is_imported {
            return;
        }
        let mut imported = BTreeSet::new();
        for all in self.imports(&at, "*") {
            let parts = [&all[..all.len() - 1], parts].concat();
            self.follow(&Written { within: at.clone(), parts }, seen, &mut imported);
        }
        // An unknown name in the root exists in another configuration only.
        if imported.is_empty() && !at.is_empty() {
            imported.extend(here);
        }
        found.extend(imported);
    }
}

/// Uses of modules above: `(who, whom)`. The root is above all others. A `mod.rs` may
/// use the files of its folder, or they may use it; [`circles`] finds folders with both.
#[must_use]
pub fn upward(modules: &[Module]) -> Vec<(String, String)> {
    let graph = Graph::new(modules);
    let mut upward = Vec::new();
    for (at, module) in modules.iter().enumerate() {
        for place in graph.used_by(at) {
            let used = &modules[place];
            let is_folder = |one: &Module, other: &Module| other.path.starts_with(&one.path);
            let is_root = used.path.is_empty();
            let is_family = is_folder(module, used) || is_folder(used, module);
            if is_root || place > at && !is_family {
                upward.push((module.name(), used.name()));
            }
        }
    }
    upward
}

/// The files that each file uses, over several trees that share files.
pub type Files = BTreeMap<&'static Path, BTreeSet<&'static Path>>;

/// Adds the uses of a tree.
pub fn add_uses(modules: &[Module], files: &mut Files) {
    let graph = Graph::new(modules);
    for (at, module) in modules.iter().enumerate() {
        let used = graph.used_by(at).into_iter().map(|it| modules[it].file);
        files.entry(module.file).or_default().extend(used.filter(|file| *file != module.file));
    }
}

/// Circles: sets of files each of which uses all others, directly or indirectly.
#[must_use]
pub fn circles(files: &Files) -> BTreeSet<BTreeSet<&'static Path>> {
    let reached: BTreeMap<_, _> = files.keys().map(|file| (*file, reached(files, file))).collect();
    let mut circles = BTreeSet::new();
    for (file, others) in &reached {
        let together = others.iter().filter(|other| reached[*other].contains(file));
        let circle: BTreeSet<_> = together.copied().collect();
        if !circle.is_empty() {
            circles.insert(circle);
        }
    }
    circles
}

fn reached(files: &Files, file: &Path) -> BTreeSet<&'static Path> {
    let mut found = BTreeSet::new();
    let mut next: Vec<_> = files[file].iter().copied().collect();
    while let Some(file) = next.pop() {
        if found.insert(file) {
            next.extend(&files[file]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::Names;
    use crate::source::tokens;

    /// A module whose file is called as the module.
    fn module(name: &'static str, text: &'static str) -> Module {
        let path = name.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let names = Box::leak(Box::new(Names::new(&tokens(text))));
        Module { path, file: Path::new(name), text: text.to_owned(), names }
    }

    fn tree(first: &'static str) -> Vec<Module> {
        let root = "mod low; mod high; use extern_crate as system; pub use high::third::Thing;
            pub struct Item;";
        vec![
            module("", root),
            module("low", "mod first; mod second; pub use second::Deep;"),
            module("low::first", first),
            module("low::second", "pub struct Deep;"),
            module("high", "pub(crate) mod third; pub fn item() {} fn f() { third::f() }"),
            module("high::third", "use crate::low::first; pub struct Thing;"),
        ]
    }

    fn whom(text: &'static str) -> Vec<String> {
        upward(&tree(text)).into_iter().map(|(_, whom)| whom).collect()
    }

    #[test]
    fn an_upward_use_is_found_however_it_is_written() {
        assert_eq!(whom("use super::second;"), ["low::second"]);
        assert_eq!(whom("use crate::low::second::Thing;"), ["low::second"]);
        assert_eq!(whom("use crate::{low, high::{third::{self as x, X}}};"), ["high::third"]);
        assert_eq!(whom("use {crate::low::second as s, crate::high};"), ["low::second", "high"]);
        assert_eq!(whom("fn f() { crate::high::item() }"), ["high"]);
        assert_eq!(whom("fn f() { m!(g(crate::high::third::go)) }"), ["high::third"]);
        assert_eq!(whom("macro_rules! m { () => { $crate::high::item() } }"), ["high"]);
        assert_eq!(whom("mod inner { fn f() { super::super::second::go() } }"), ["low::second"]);
        assert_eq!(whom("use crate::high::*;"), ["high"]);
    }

    #[test]
    fn an_upward_use_is_found_through_imports_of_others() {
        assert_eq!(whom("use super::Deep;"), ["low::second"]);
        assert_eq!(whom("use crate::Thing;"), ["high::third"]);
        assert_eq!(whom("use crate::Item;"), ["crate"]);
    }

    #[test]
    fn what_is_below_or_outside_may_be_used() {
        for text in [
            "",
            "// use crate::high;",
            "/// [crate::high]\nconst A: &str = \"crate::high\";",
            "use crate::system::call;",
            "use std::high; fn f(a: A) { a.high::<third::A>(); other::high::f() }",
            "mod inner { use super::*; } use self::inner::f;",
            "fn f() -> impl A + use<B> { high::f() }",
            "#[cfg(elsewhere)] use crate::unknown;",
        ] {
            assert_eq!(whom(text), [""; 0], "{text}");
        }
    }

    fn circles_of(tree: &[Module]) -> Vec<&'static str> {
        let mut files = Files::new();
        add_uses(tree, &mut files);
        circles(&files).iter().flatten().map(|file| file.to_str().unwrap()).collect()
    }

    #[test]
    fn a_circle_is_found() {
        let with = |text| circles_of(&tree(text));
        assert_eq!(with(""), [""; 0]);
        assert_eq!(with("use super::second;"), [""; 0]);
        assert_eq!(with("use crate::Item;"), ["", "high::third", "low::first"]);
        assert_eq!(with("use crate::Thing;"), ["high::third", "low::first"]);
        assert_eq!(with("use crate::high::item;"), ["high", "high::third", "low::first"]);
    }

    #[test]
    fn a_folder_and_its_file_can_be_a_circle() {
        let with = |text| {
            circles_of(&[
                module("", "mod a;"),
                module("a", "mod b; pub use b::B; pub struct A;"),
                module("a::b", text),
            ])
        };
        assert_eq!(with("pub struct B;"), [""; 0]);
        assert_eq!(with("pub struct B; use super::B as C;"), [""; 0]);
        assert_eq!(with("pub struct B; use super::A;"), ["a", "a::b"]);
    }
}
