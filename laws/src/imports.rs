//! What a file names: paths, imports, and the items that are defined there.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenTree};

use crate::source::{group, inner, is_ident, is_path_separator, is_punct};

/// A path as it is written: its first name may be `crate`, `self` or `super`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Written {
    /// The module that contains it, relative to the module of the file.
    pub within: Vec<String>,
    /// Its names; the last may be `*`.
    pub parts: Vec<String>,
}

/// What a file names.
#[derive(Default)]
pub struct Names {
    /// All paths, those of imports among them.
    pub paths: BTreeSet<Written>,
    /// Imports, by the module that contains them and the name there; `*` for globs.
    pub imports: BTreeMap<(Vec<String>, String), Vec<Vec<String>>>,
    /// Items that are defined there.
    pub defined: BTreeSet<String>,
}

impl Names {
    /// Reads a file's tokens.
    #[must_use]
    pub fn new(trees: &[TokenTree]) -> Self {
        let mut names = Names::default();
        names.read(trees, &[]);
        names
    }

    fn read(&mut self, trees: &[TokenTree], within: &[String]) {
        let mut at = 0;
        let mut import = false;
        while at < trees.len() {
            let rest = &trees[at..];
            if is_ident(rest.first(), "mod")
                && let Some(TokenTree::Ident(name)) = rest.get(1)
                && let Some(body) = group(rest.get(2), Delimiter::Brace)
            {
                let within = [within, &[name.to_string()]].concat();
                self.defined.insert(name.to_string());
                self.read(&inner(body), &within);
                at += 3;
                continue;
            }
            self.define(rest);
            import &= !is_punct(rest.first(), ';');
            import |= is_ident(rest.first(), "use") && !is_punct(rest.get(1), '<');
            let follows = at > 0 && (is_punct(trees.get(at - 1), '.') || is_separator(trees, at));
            let len = match rest.first() {
                Some(TokenTree::Ident(_))
                    if !follows && (import || is_path_separator(&rest[1..])) =>
                {
                    self.add(rest, within, &mut Vec::new(), import)
                }
                Some(TokenTree::Group(group)) if import && !follows => {
                    self.add_list(&inner(group), within, &mut Vec::new(), import);
                    1
                }
                Some(TokenTree::Group(group)) => {
                    self.read(&inner(group), within);
                    1
                }
                _ => 1,
            };
            at += len.max(1);
        }
    }

    /// Notes the item that begins here, if one does.
    fn define(&mut self, trees: &[TokenTree]) {
        let keywords = ["fn", "struct", "enum", "union", "trait", "type", "const", "static"];
        let is_macro = is_ident(trees.first(), "macro_rules") && is_punct(trees.get(1), '!');
        if let Some(TokenTree::Ident(keyword)) = trees.first() {
            let mutable = is_ident(trees.get(1), "mut");
            let name = trees.get(1 + usize::from(is_macro || mutable));
            if let Some(TokenTree::Ident(name)) = name
                && (is_macro || keywords.iter().any(|it| keyword == it))
            {
                self.defined.insert(name.to_string());
            }
        }
    }

    /// Adds the paths that begin here, each after `before`. Returns their number of
    /// tokens.
    fn add(
        &mut self,
        trees: &[TokenTree],
        within: &[String],
        before: &mut Vec<String>,
        import: bool,
    ) -> usize {
        let Some(TokenTree::Ident(name)) = trees.first() else { return 0 };
        if import && (name == "use" || name == "pub" || name == "as") {
            return 1;
        }
        let is_self = !before.is_empty() && name == "self";
        if !is_self {
            before.push(name.to_string());
        }
        let mut len = 1;
        if is_path_separator(&trees[1..]) {
            len = 3;
            match trees.get(3) {
                Some(TokenTree::Ident(_)) => len += self.add(&trees[3..], within, before, import),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    self.add_list(&inner(group), within, before, import);
                    len += 1;
                }
                Some(TokenTree::Punct(star)) if star.as_char() == '*' => {
                    before.push("*".to_owned());
                    self.push(within, before, import.then(|| "*".to_owned()));
                    before.pop();
                    len += 1;
                }
                _ => self.push(within, before, None),
            }
        } else if import && is_ident(trees.get(1), "as") {
            self.push(within, before, trees.get(2).map(ToString::to_string));
            len = 3;
        } else {
            let name = import.then(|| before.last().unwrap().clone());
            self.push(within, before, name);
        }
        if !is_self {
            before.pop();
        }
        len
    }

    fn add_list(
        &mut self,
        trees: &[TokenTree],
        within: &[String],
        before: &mut Vec<String>,
        import: bool,
    ) {
        for part in trees.split(|tree| is_punct(Some(tree), ',')) {
            self.add(part, within, before, import);
        }
    }

    fn push(&mut self, within: &[String], parts: &[String], import: Option<String>) {
        self.paths.insert(Written { within: within.to_vec(), parts: parts.to_vec() });
        if let Some(name) = import {
            self.imports.entry((within.to_vec(), name)).or_default().push(parts.to_vec());
        }
    }
}

/// Whether `::` ends before this token.
fn is_separator(trees: &[TokenTree], at: usize) -> bool {
    at >= 2 && is_path_separator(&trees[at - 2..at])
}
