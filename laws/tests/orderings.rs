//! The laws of memory orderings: one door to atomics, one name for each
//! ordering, and each name tells the truth about both ends of its word.

use std::collections::{BTreeMap, BTreeSet};

use laws::{Module, code, is_word, read, root, words};

/// Sites that may share a label.
const MAX_SITES: usize = 15;

fn modules() -> Vec<Module> {
    laws::modules("allocator-core")
}

#[test]
fn atomics_and_orderings_have_one_door_each() {
    for module in modules() {
        let (name, code) = (module.name(), code(&module.text));
        let door = name == "base::sync";
        let orders = door || name == "base::ordering";
        assert!(door || !code.contains("loom::"), "{name} names loom");
        assert!(orders || !code.contains("core::sync"), "{name} names core::sync");
        assert!(orders || !words(&code).any(|word| word == "Ordering"), "{name}: Ordering");
        assert!(!code.contains("std::"), "{name} names std");
    }
}

/// What `ordering.rs` says of a label.
#[derive(Debug, Default)]
struct Label {
    name: String,
    ordering: String,
    pairs_with: BTreeSet<String>,
    written_by: BTreeSet<String>,
    read_by: BTreeSet<String>,
    other_end: BTreeSet<String>,
    /// Why the ordering may be relaxed.
    relaxed: String,
}

/// The labels in the text of `ordering.rs`.
fn labels(text: &str) -> Vec<Label> {
    let body = text.split_once("orderings! {\n").expect("the list").1;
    let mut labels = Vec::new();
    let mut doc = String::new();
    for line in body.lines().map(str::trim) {
        if let Some(line) = line.strip_prefix("/// ") {
            doc += line;
            doc.push('\n');
        } else if let Some((name, ordering)) =
            line.strip_suffix(';').and_then(|line| line.split_once(" = "))
        {
            let part = |key| part(&doc, key);
            labels.push(Label {
                name: name.into(),
                ordering: ordering.into(),
                pairs_with: quoted(&part("Pairs with: ")),
                written_by: quoted(&part("Written by: ")),
                read_by: quoted(&part("Read by: ")),
                other_end: quoted(&part("Other end: ")),
                relaxed: part("Relaxed: "),
            });
            doc.clear();
        }
    }
    labels
}

/// The text after a key at the start of a line, up to the next key.
fn part(doc: &str, key: &str) -> String {
    const KEYS: [&str; 5] =
        ["Pairs with: ", "Written by: ", "Read by: ", "Other end: ", "Relaxed: "];
    let lines = doc.lines().skip_while(|line| !line.starts_with(key));
    let own = lines
        .enumerate()
        .take_while(|(at, line)| *at == 0 || !KEYS.iter().any(|key| line.starts_with(key)));
    let text = own.map(|(_, line)| line).collect::<Vec<_>>().join(" ");
    text.strip_prefix(key).unwrap_or_default().to_owned()
}

fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Where a label is used.
#[derive(Debug, Default)]
struct Sites {
    count: usize,
    files: BTreeSet<String>,
    written_by: BTreeSet<String>,
    read_by: BTreeSet<String>,
}

/// The sites of all labels in some files: the name of each, and its text.
fn sites<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, Sites> {
    let mut sites = BTreeMap::<String, Sites>::new();
    for (file, text) in files {
        let code = code(text);
        for (at, prefix) in code.match_indices("ordering::") {
            let rest = &code[at + prefix.len()..];
            let label = &rest[..rest.find(|c| !is_word(c)).unwrap()];
            if !rest[label.len()..].starts_with("()") {
                continue;
            }
            let by = format!("{file}::{}", item_around(&code, at));
            let (writes, reads) = access(&code[..at]);
            let sites = sites.entry(label.to_owned()).or_default();
            sites.count += 1;
            sites.files.insert(file.to_owned());
            if writes {
                sites.written_by.insert(by.clone());
            }
            if reads {
                sites.read_by.insert(by);
            }
        }
    }
    sites
}

/// The function, or the constant, that a place in the code is in: the nearest
/// one before it that is indented less.
fn item_around(code: &str, at: usize) -> String {
    const QUALIFIERS: [&str; 8] =
        ["pub", "crate", "super", "const", "static", "unsafe", "extern", "C"];
    let indent = |line: &str| line.len() - line.trim_start().len();
    let start = code[..at].rfind('\n').map_or(0, |end| end + 1);
    let own = indent(code[start..].lines().next().unwrap());
    let item = |line: &str| {
        let mut names = words(line).skip_while(|word| QUALIFIERS.contains(word));
        let name = match names.next()? {
            "fn" => names.next()?,
            name if line.starts_with(char::is_alphabetic)
                && line.contains(&format!("{name}: ")) =>
            {
                name
            }
            _ => return None,
        };
        Some(name.to_owned())
    };
    let lines: Vec<&str> = code[..start].lines().collect();
    let above = lines.iter().rev().filter(|line| !line.trim().is_empty() && indent(line) < own);
    above.filter_map(|line| item(line)).next().expect("an item around")
}

/// Whether the access that an ordering is an argument of writes, and reads.
fn access(before: &str) -> (bool, bool) {
    const METHODS: [(&str, bool, bool); 7] = [
        (".load(", false, true),
        (".store(", true, false),
        (".swap(", true, true),
        (".fetch_", true, true),
        (".compare_exchange", true, true),
        ("peek(", false, true),
        ("peek_mask(", false, true),
    ];
    let last = |method: &'static str| before.rfind(method);
    let (at, writes, reads) = METHODS
        .into_iter()
        .filter_map(|(method, writes, reads)| Some((last(method)?, writes, reads)))
        .max()
        .expect("an access before the ordering");
    // The second ordering is that of a failed attempt, which only reads.
    let failed =
        before[at..].starts_with(".compare_exchange") && before[at..].contains("ordering::");
    (writes && !failed, reads)
}

/// What is wrong with the labels, given their sites.
fn faults(labels: &[Label], sites: &BTreeMap<String, Sites>) -> Vec<String> {
    let mut faults = Vec::new();
    let none = Sites::default();
    let find = |name: &String| labels.iter().find(|label| label.name == *name);
    for label in labels {
        let Label { name, .. } = label;
        let found = sites.get(name).unwrap_or(&none);
        let mut fault = |is: bool, what: &str| {
            if is {
                faults.push(format!("{name}: {what}"));
            }
        };
        fault(found.count == 0, "it is not used");
        fault(found.count > MAX_SITES, &format!("{} sites share it", found.count));
        let others = || label.pairs_with.iter().chain(&label.other_end);
        fault(others().any(|other| find(other).is_none()), "no such label at its end");
        // Words of several labels are private to their modules: both ends are in one.
        let there = |other: &String| &sites.get(other).unwrap_or(&none).files;
        let apart = |other| found.files.is_disjoint(there(other));
        fault(others().any(apart), "it shares no file with a label at its end");
        let alone = |module: &String| !others().any(|other| there(other).contains(module));
        let any_alone = others().next().is_some() && found.files.iter().any(alone);
        fault(any_alone, "a file has one end of it only");
        if label.ordering == "Relaxed" {
            fault(label.relaxed.is_empty(), "it does not say why it may be relaxed");
            fault(!label.pairs_with.is_empty(), "a relaxed ordering pairs with nothing");
            let ends = [(&label.written_by, &found.written_by), (&label.read_by, &found.read_by)];
            for (said, is) in ends {
                fault(said != is, &format!("it names {said:?}, but it is {is:?}"));
            }
            let is_mutual = |other: &String| {
                find(other).is_none_or(|it| it.ordering != "Relaxed" || it.other_end.contains(name))
            };
            fault(!label.other_end.iter().all(is_mutual), "its other end does not name it");
        } else {
            fault(!label.relaxed.is_empty(), "it says why it is relaxed, which it is not");
            fault(label.pairs_with.is_empty(), "it does not say what it pairs with");
            let is_mutual =
                |other: &String| find(other).is_some_and(|other| other.pairs_with.contains(name));
            fault(!label.pairs_with.iter().all(is_mutual), "its pair does not name it");
        }
    }
    for name in sites.keys().filter(|name| find(name).is_none()) {
        faults.push(format!("{name}: there is no such label"));
    }
    faults
}

#[test]
fn every_label_tells_both_ends_of_its_word() {
    let (ordering, others): (Vec<_>, Vec<_>) =
        modules().into_iter().partition(|module| module.name() == "base::ordering");
    let labels = labels(&ordering[0].text);
    assert!(labels.len() > 60, "{} labels", labels.len());
    let files = others.iter().filter_map(|it| Some((it.path.last()?.as_str(), it.text.as_str())));
    let faults = faults(&labels, &sites(files));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The reason of most numbers, whose labels have a table of their own.
const NUMBER: &str = "the number alone is wanted, and no other data is read on its word";

/// Whether a row of the document's tables gives the reason of a relaxed label.
fn is_row_of(label: &Label, row: &str) -> bool {
    let cells: Vec<&str> = row.trim_matches([' ', '|']).split(" | ").collect();
    let reason = label.relaxed.trim_end_matches('.');
    cells[0] == format!("`{}`", label.name)
        && if reason == NUMBER { cells.len() == 2 } else { cells.len() == 3 && cells[2] == reason }
}

#[test]
fn the_document_gives_the_reason_of_every_relaxed_label() {
    let labels = labels(&read(&root().join("allocator-core/src/base/ordering.rs")));
    let document = read(&root().join("docs/orderings.md"));
    for label in labels.iter().filter(|label| label.ordering == "Relaxed") {
        let rows = document.lines().filter(|row| is_row_of(label, row)).count();
        assert_eq!(rows, 1, "rows of {} with: {}", label.name, label.relaxed);
    }
}

/// A module in which `a` writes a word and `b` reads it.
const EXAMPLE: &str = "
static WORD: AtomicU32 = AtomicU32::new(0);
fn a() {
    WORD.store(1, ordering::word());
}
fn b() -> u32 {
    WORD.load(ordering::word())
}
";

/// The faults of the example with these lines of documentation.
fn faults_with(doc: &str, text: &str) -> Vec<String> {
    let labels = labels(&format!("orderings! {{\n{doc}    word = Relaxed;\n}}\n"));
    faults(&labels, &sites([("file", text)]))
}

#[test]
fn a_label_that_does_not_tell_the_truth_is_found() {
    const WRITTEN: &str = "    /// Written by: `file::a`.\n";
    const READ: &str = "    /// Read by: `file::b`.\n";
    const WHY: &str = "    /// Relaxed: a number.\n";
    let whole = format!("{WRITTEN}{READ}{WHY}");
    assert_eq!(faults_with(&whole, EXAMPLE), [""; 0]);
    for missing in [WRITTEN, READ, WHY] {
        assert_eq!(faults_with(&whole.replace(missing, ""), EXAMPLE).len(), 1, "{missing}");
    }
    assert_eq!(faults_with(&whole.replace("file::b", "file::c"), EXAMPLE).len(), 1);
    let many =
        format!("{EXAMPLE}fn a() {{\n{}}}\n", "    x.store(0, ordering::word());\n".repeat(14));
    assert_eq!(faults_with(&whole, &many), ["word: 16 sites share it"]);
    assert_eq!(faults_with(&whole, &EXAMPLE.replace("word()", "other()")).len(), 4);
}

/// A module that takes and gives a flag, and looks at it.
const FLAG: &str = "
fn take() -> bool {
    !WORD.load(ordering::peek()) && !WORD.swap(true, ordering::take())
}
fn give() {
    WORD.store(false, ordering::give());
}
";

#[test]
fn ends_that_do_not_meet_are_found() {
    const LABELS: &str = "orderings! {
        /// Pairs with: `give`.
        take = Acquire;
        /// Pairs with: `take`.
        give = Release;
        /// Read by: `file::take`.
        /// Other end: `take`, `give`.
        /// Relaxed: the swap decides.
        peek = Relaxed;
    }";
    let faults_of = |text: &str, second: &str| {
        let sites = sites([("file", FLAG), ("second", second)]);
        faults(&labels(text), &sites)
    };
    assert_eq!(faults_of(LABELS, ""), [""; 0]);
    let wrong = faults_of(&LABELS.replace("with: `give`", "with: `gives`"), "");
    assert!(wrong.contains(&"take: no such label at its end".into()), "{wrong:?}");
    assert!(wrong.contains(&"give: its pair does not name it".into()), "{wrong:?}");
    assert_eq!(
        faults_of(&LABELS.replace("/// Pairs with: `take`.", ""), ""),
        ["take: its pair does not name it", "give: it does not say what it pairs with"]
    );
    let second = "fn f() {\n    OTHER.store(0, ordering::give());\n}\n";
    assert_eq!(faults_of(LABELS, second), ["give: a file has one end of it only"]);
}
