//! Safety comments: where they are missing, and the labels of invariants in them.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenTree};

use crate::source::{group, inner, is_ident, is_punct, tokens};

/// The lines of `unsafe` blocks and implementations that have no SAFETY comment
/// directly above, or above the statement in which they are.
///
/// Clippy finds the same, but only in the configuration that it compiles.
#[must_use]
pub fn undocumented(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    find(&tokens(text), None, &mut |from, line| {
        if !(from..=line).any(|line| is_documented(&lines, line)) {
            found.push(line);
        }
    });
    found
}

/// Calls `visit` for each such block or implementation, with the line on which its
/// statement begins, and its own line. `within` is the line on which the statement
/// begins of which these tokens are a part.
fn find(trees: &[TokenTree], within: Option<usize>, visit: &mut impl FnMut(usize, usize)) {
    let mut from = within;
    for (at, tree) in trees.iter().enumerate() {
        let line = tree.span().start().line;
        let start = *from.get_or_insert(line);
        let next = trees.get(at + 1);
        let is_block = group(next, Delimiter::Brace).is_some();
        if is_ident(Some(tree), "unsafe") && (is_block || is_ident(next, "impl")) {
            visit(start, line);
        }
        let mut ends = is_punct(Some(tree), ';') || is_punct(Some(tree), ',');
        if let TokenTree::Group(group) = tree {
            let is_body = group.delimiter() == Delimiter::Brace;
            find(&inner(group), (!is_body).then_some(start), visit);
            ends = is_body;
        }
        if ends && within.is_none() {
            from = None;
        }
    }
}

/// Whether a SAFETY comment ends above a line, or above the attributes there.
fn is_documented(lines: &[&str], line: usize) -> bool {
    let above = lines[..line - 1].iter().rev().skip_while(|line| line.starts_with("#["));
    let mut comment = above.take_while(|line| line.starts_with("//"));
    comment.any(|line| line.contains("SAFETY:"))
}

/// Labels of invariants in brackets: words in capitals, with hyphens between. In
/// documentation the brackets are escaped.
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

/// Whether a text has the form of a label. `A-Z` does not: a word has two letters.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let is_word = |part: &str| part.len() > 1 && part.bytes().all(|b| b.is_ascii_uppercase());
    text.contains('-') && text.split('-').all(is_word)
}

/// The labels that the document of invariants defines: its headings of this form.
pub fn defined_labels(document: &str) -> impl Iterator<Item = &str> {
    document.lines().filter_map(|line| line.strip_prefix("### ")).filter(|it| is_label(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_stand_above_the_block_or_its_statement() {
        for text in [
            "// SAFETY: a\nunsafe impl Send for A {}",
            "// SAFETY: a\n// b\n#[cfg(c)]\nunsafe impl Send for A {}",
            "fn f() {\n    // SAFETY: a\n    let b = unsafe { c() };\n}",
            "fn f() {\n    let b =\n        // SAFETY: a\n        unsafe { c() };\n}",
            "fn f() {\n    // SAFETY: a\n    g(\n        h,\n        |i| i,\n        unsafe { c() },\n    );\n}",
            "fn f(a: A) {\n    g();\n    match a {\n        // SAFETY: a\n        A => unsafe { c() },\n    }\n}",
            "macro_rules! m { () => {\n    // SAFETY: a\n    unsafe { c() }\n} }",
            "unsafe fn f() {}\n#[unsafe(no_mangle)]\nextern \"C\" fn g() {}",
        ] {
            assert_eq!(undocumented(text), [0; 0], "{text}");
        }
    }

    #[test]
    fn blocks_without_a_comment_are_found() {
        for (text, line) in [
            ("unsafe impl Send for A {}", 1),
            ("// SAFETY: a\n\nunsafe impl Send for A {}", 3),
            ("// SAFETY: a\nfn f() {\n    unsafe { c() }\n}", 3),
            ("fn f() {\n    // SAFETY: a\n    g();\n    unsafe { c() }\n}", 4),
            ("fn f() {\n    // safe\n    unsafe { c() }\n}", 3),
            ("macro_rules! m { () => {\n    unsafe { c() }\n} }", 2),
        ] {
            assert_eq!(undocumented(text), [line], "{text}");
        }
    }

    #[test]
    fn labels_are_words_in_brackets() {
        let cited = labels("[HEAP-LOCKED] \\[OWNER-ONLY\\] [A-Z] [HEAP] [heap-locked] BIN-BOTTOM");
        assert_eq!(cited.into_iter().collect::<Vec<_>>(), ["HEAP-LOCKED", "OWNER-ONLY"]);
        let document = "# A-B\n### HEAP-LOCKED\n### heaps\n## OWNER-ONLY\n";
        assert_eq!(defined_labels(document).collect::<Vec<_>>(), ["HEAP-LOCKED"]);
    }
}
