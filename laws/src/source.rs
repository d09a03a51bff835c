//! Rust source as tokens of `proc-macro2`, which leave out comments and keep strings
//! apart from code.

use std::collections::BTreeSet;
use std::ops::Range;

use proc_macro2::{Delimiter, Group, Spacing, Span, TokenStream, TokenTree};

/// The tokens of a file.
///
/// # Panics
/// If it is not Rust.
#[must_use]
pub fn tokens(text: &str) -> Vec<TokenTree> {
    let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{error}: {text:.200}"));
    trees(stream)
}

/// The tokens between a group's delimiters.
#[must_use]
pub fn inner(group: &Group) -> Vec<TokenTree> {
    trees(group.stream())
}

/// Drops documentation. `proc-macro2` turns it into attributes; the span of each of
/// their tokens is the whole comment.
fn trees(stream: TokenStream) -> Vec<TokenTree> {
    let mut trees = Vec::new();
    let mut comment = None;
    for tree in stream {
        if comment.as_ref().is_some_and(|place| *place == tree.span().byte_range()) {
            continue;
        }
        comment = None;
        if is_punct(Some(&tree), '#') {
            comment = Some(tree.span().byte_range()).filter(|place| place.len() > 1);
        }
        if comment.is_none() {
            trees.push(tree);
        }
    }
    trees
}

/// Whether a token is this punctuation.
#[must_use]
pub fn is_punct(tree: Option<&TokenTree>, c: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == c)
}

/// Whether a token is this name or keyword.
#[must_use]
pub fn is_ident(tree: Option<&TokenTree>, name: &str) -> bool {
    matches!(tree, Some(TokenTree::Ident(ident)) if *ident == name)
}

/// The group that a token is.
#[must_use]
pub fn group(tree: Option<&TokenTree>, delimiter: Delimiter) -> Option<&Group> {
    match tree {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => Some(group),
        _ => None,
    }
}

/// Whether `::` begins here.
#[must_use]
pub fn is_path_separator(trees: &[TokenTree]) -> bool {
    matches!(trees, [TokenTree::Punct(one), TokenTree::Punct(two), ..]
        if one.as_char() == ':' && one.spacing() == Spacing::Joint && two.as_char() == ':')
}

/// What is in the string literal that a token is.
#[must_use]
pub fn string(tree: Option<&TokenTree>) -> Option<String> {
    let Some(TokenTree::Literal(literal)) = tree else { return None };
    let text = literal.to_string();
    Some(text.strip_prefix('"')?.strip_suffix('"')?.to_owned())
}

/// The attribute that begins here, `#[…]` or `#![…]`: what is in its brackets, and
/// how many tokens it has.
#[must_use]
pub fn attribute(trees: &[TokenTree]) -> Option<(&Group, usize)> {
    if !is_punct(trees.first(), '#') {
        return None;
    }
    let at = 1 + usize::from(is_punct(trees.get(1), '!'));
    group(trees.get(at), Delimiter::Bracket).map(|group| (group, at + 1))
}

/// The number of tokens before the item that begins here: attributes, visibility.
#[must_use]
pub fn before_item(trees: &[TokenTree]) -> usize {
    let mut at = 0;
    while let Some((_, len)) = attribute(&trees[at..]) {
        at += len;
    }
    if is_ident(trees.get(at), "pub") {
        at += 1 + usize::from(group(trees.get(at + 1), Delimiter::Parenthesis).is_some());
    }
    at
}

/// The number of tokens of the module of tests that begins here, if one does.
fn module_of_tests(trees: &[TokenTree]) -> Option<usize> {
    let (mut at, mut tests) = (0, false);
    while let Some((attribute, len)) = attribute(&trees[at..]) {
        tests |= attribute.stream().to_string().replace(' ', "") == "cfg(test)";
        at += len;
    }
    at += before_item(&trees[at..]);
    (tests && is_ident(trees.get(at), "mod")).then_some(at + 3)
}

/// Where the modules of tests stand in a file: `#[cfg(test)] mod …`.
fn tests(trees: &[TokenTree]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < trees.len() {
        match module_of_tests(&trees[at..]) {
            Some(len) => {
                let last = &trees[(at + len).min(trees.len()) - 1];
                found.push(start(&trees[at]).start..end(last).end);
                at += len;
            }
            None => at += 1,
        }
    }
    found
}

fn start(tree: &TokenTree) -> Range<usize> {
    match tree {
        TokenTree::Group(group) => group.span_open().byte_range(),
        _ => tree.span().byte_range(),
    }
}

fn end(tree: &TokenTree) -> Range<usize> {
    match tree {
        TokenTree::Group(group) => group.span_close().byte_range(),
        _ => tree.span().byte_range(),
    }
}

/// The text without its modules of tests, whose lines are left empty.
#[must_use]
pub fn without_tests(text: &str) -> String {
    let mut out = text.to_owned();
    for place in tests(&tokens(text)).into_iter().rev() {
        let lines = "\n".repeat(text[place.clone()].matches('\n').count());
        out.replace_range(place, &lines);
    }
    out
}

/// Calls a function with each token, delimiters among them, and its place.
fn each(trees: &[TokenTree], visit: &mut impl FnMut(Option<&TokenTree>, Span)) {
    for tree in trees {
        match tree {
            TokenTree::Group(group) => {
                let has_delimiters = group.delimiter() != Delimiter::None;
                if has_delimiters {
                    visit(None, group.span_open());
                }
                each(&inner(group), visit);
                if has_delimiters {
                    visit(None, group.span_close());
                }
            }
            _ => visit(Some(tree), tree.span()),
        }
    }
}

/// The text with comments, strings and characters blanked.
#[must_use]
pub fn code(text: &str) -> String {
    let mut out: Vec<u8> =
        text.bytes().map(|byte| if byte == b'\n' { b'\n' } else { b' ' }).collect();
    each(&tokens(text), &mut |tree, span| {
        let place = span.byte_range();
        let source = &text[place.clone()];
        let is_number = source.starts_with(|c: char| c.is_ascii_digit());
        if is_number || !matches!(tree, Some(TokenTree::Literal(_))) {
            out[place].copy_from_slice(source.as_bytes());
        }
    });
    String::from_utf8(out).unwrap()
}

/// The number of lines with code, without comments, empty lines and modules of tests.
#[must_use]
pub fn lines_of_code(text: &str) -> usize {
    let mut lines = BTreeSet::new();
    each(&tokens(&without_tests(text)), &mut |_, span| {
        lines.extend(span.start().line..=span.end().line);
    });
    lines.len()
}

/// The names and keywords of the code.
#[must_use]
pub fn idents(trees: &[TokenTree]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each(trees, &mut |tree, _| {
        if let Some(TokenTree::Ident(ident)) = tree {
            found.insert(ident.to_string());
        }
    });
    found
}

/// What is in the string literals of the code.
#[must_use]
pub fn strings(trees: &[TokenTree]) -> Vec<String> {
    let mut found = Vec::new();
    each(trees, &mut |tree, _| found.extend(string(tree)));
    found
}

/// The names of the functions that are defined.
#[must_use]
pub fn functions(trees: &[TokenTree]) -> Vec<String> {
    let mut found = Vec::new();
    runs(trees, &mut |run| {
        let pairs = run.windows(2).filter(|pair| is_ident(pair.first(), "fn"));
        found.extend(pairs.map(|pair| pair[1].to_string()));
    });
    found
}

/// Each run of tokens: those of the file, and those of every group in it.
pub fn runs(trees: &[TokenTree], visit: &mut impl FnMut(&[TokenTree])) {
    visit(trees);
    for tree in trees {
        if let TokenTree::Group(group) = tree {
            runs(&inner(group), visit);
        }
    }
}

/// The lines on which a macro of this name is called.
#[must_use]
pub fn calls_of_macro(trees: &[TokenTree], name: &str) -> Vec<usize> {
    let mut lines = Vec::new();
    runs(trees, &mut |run| {
        for (at, tree) in run.iter().enumerate() {
            if is_ident(Some(tree), name) && is_punct(run.get(at + 1), '!') {
                lines.push(tree.span().start().line);
            }
        }
    });
    lines
}

/// The attributes of a file: the first name of each, its tokens, and its line.
#[must_use]
pub fn attributes(trees: &[TokenTree]) -> Vec<(String, Vec<TokenTree>, usize)> {
    let mut found = Vec::new();
    runs(trees, &mut |run| {
        for at in 0..run.len() {
            if let Some((group, _)) = attribute(&run[at..]) {
                let inner = inner(group);
                let name = inner.first().map(ToString::to_string).unwrap_or_default();
                found.push((name, inner, group.span().start().line));
            }
        }
    });
    found
}

/// The lines in bodies of functions that depend on the configuration: `#[cfg(…)]`,
/// `#[cfg_attr(…)]`, `cfg!(…)`.
#[must_use]
pub fn cfg_in_functions(trees: &[TokenTree]) -> Vec<usize> {
    let mut lines = Vec::new();
    runs(trees, &mut |run| {
        for (at, tree) in run.iter().enumerate() {
            // `fn` without a name is a type.
            let names = matches!(run.get(at + 1), Some(TokenTree::Ident(_)))
                || is_punct(run.get(at + 1), '$');
            if !is_ident(Some(tree), "fn") || !names {
                continue;
            }
            let rest = run[at..].iter().take_while(|tree| !is_punct(Some(tree), ';'));
            let body = rest.filter_map(|tree| group(Some(tree), Delimiter::Brace)).next();
            if let Some(body) = body.map(inner) {
                lines.extend(calls_of_macro(&body, "cfg"));
                let asks = |name: &str| name == "cfg" || name == "cfg_attr";
                let attributes = attributes(&body);
                lines.extend(attributes.iter().filter(|it| asks(&it.0)).map(|it| it.2));
            }
        }
    });
    lines.sort_unstable();
    lines.dedup();
    lines
}

/// The number of lines of a C or C++ file that are neither empty nor comments.
#[must_use]
pub fn lines_of_c(text: &str) -> usize {
    let mut within = false;
    let mut count = 0;
    for line in text.lines().map(str::trim) {
        let begins = line.starts_with("/*");
        count += usize::from(!within && !begins && !line.is_empty() && !line.starts_with("//"));
        within = (within || begins) && !line.ends_with("*/");
    }
    count
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let text =
            "//! a\n/// b\nfn f<'c>(d: &'c str) { /* e { */ g(\"h\", 'i', 10, r#\"}\"#); }\n";
        let code = code(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(words(&code).collect::<Vec<_>>(), ["fn", "f", "c", "d", "c", "str", "g", "10"]);
        assert_eq!(code.matches('{').count(), 1);
    }

    #[test]
    fn lines_count_that_have_code() {
        assert_eq!(lines_of_code("//! a\n\n/// b\nfn f() {\n    // c\n    g();\n}\n"), 3);
        assert_eq!(lines_of_code("const A: &str = \"\n\n\";\n"), 3);
        assert_eq!(
            lines_of_code("fn f() {}\n#[cfg(test)]\npub(crate) mod tests {\n fn g() {}\n}\n"),
            1
        );
        assert_eq!(lines_of_code("#[cfg(not(test))]\nmod a {\n fn g() {}\n}\n"), 4);
        assert_eq!(lines_of_c("/* a\n * b\n */\nint c; // d\n\n// e\nint f; /* g */\n"), 2);
    }

    #[test]
    fn what_follows_tests_stays() {
        let text = "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\nfn h() {}\n";
        assert_eq!(without_tests(text), "fn f() {}\n\n\n\n\nfn h() {}\n");
        assert_eq!(
            without_tests("#[cfg(test)]\nuse a::b;\nfn f() {}"),
            "#[cfg(test)]\nuse a::b;\nfn f() {}"
        );
    }

    #[test]
    fn a_cfg_in_a_function_is_found() {
        let lines = |text| cfg_in_functions(&tokens(text));
        assert_eq!(
            lines("#[cfg(a)]\nfn f() {}\nstruct S { f: fn(u8) }\nmod m { #[cfg(a)] mod n; }"),
            [0; 0]
        );
        assert_eq!(lines("fn f() {\n#[cfg(a)]\ng();\n}"), [2]);
        assert_eq!(lines("impl S { fn f() -> bool {\n h(|| cfg!(a)) } }"), [2]);
        assert_eq!(lines("fn f() {\n#[cfg_attr(a, inline)]\nfn g() {} }"), [2]);
        assert_eq!(lines("macro_rules! m { ($n:ident) => { fn $n() {\n#[cfg(a)]\ng() } } }"), [2]);
    }
}
