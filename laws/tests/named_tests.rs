//! Laws of tests that documents name, as `FILE::NAME`: they exist. The page of others' bugs
//! has each bug, with tests.

use laws::documents::{Document, documents};
use laws::workspace::{read, root, shown};

/// The file and the name of a test that a document names; `None` if the code is no such name.
fn named(quoted: &str) -> Option<(&str, &str)> {
    let (file, name) = quoted.split_once("::")?;
    let is_file = [".rs", ".c", ".cc"].iter().any(|end| file.ends_with(end));
    (is_file && !file.contains(' ')).then_some((file, name))
}

/// Whether a file has a test, a case, a model, or a twin of that name.
fn has_test(file: &str, text: &str, name: &str) -> bool {
    if file.starts_with("loom-tests/src") {
        return text.contains(&format!("name: \"{name}\""))
            || text.contains(&format!("(\"{name}\", "));
    }
    if !file.ends_with(".rs") {
        return text.contains(&format!("CASE({name})"));
    }
    let function = format!("fn {name}()");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(at, line)| {
        line.starts_with(&function)
            && lines[..at]
                .iter()
                .rev()
                .take_while(|line| line.starts_with('#'))
                .any(|it| *it == "#[test]")
    })
}

fn is_missing(quoted: &str) -> bool {
    let Some((file, name)) = named(quoted) else { return false };
    let path = root().join(file);
    !path.is_file() || !has_test(file, &read(&path), name)
}

#[test]
fn the_tests_that_documents_name_exist() {
    let mut wrong = Vec::new();
    for document in documents() {
        let missing = document.quotes.iter().filter(|(_, quoted)| is_missing(quoted));
        wrong.extend(
            missing.map(|(line, quoted)| format!("{}:{line}: `{quoted}`", shown(&document.path))),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tests_that_do_not_exist_are_found() {
    for quoted in [
        "laws/tests/named_tests.rs::tests_that_do_not_exist_are_found",
        "capi-tests/c/edges.c::zero_bytes",
        "loom-tests/src/models/tail.rs::tail",
        "loom-tests/src/twin_list.rs::tail_set",
        "module::name",
    ] {
        assert!(!is_missing(quoted), "{quoted}");
    }
    for quoted in [
        "laws/tests/named_tests.rs::is_missing",
        "laws/tests/nowhere.rs::zero_bytes",
        "capi-tests/c/edges.c::zero",
        "loom-tests/src/models/tail.rs::standby",
        "loom-tests/src/twin_list.rs::tail",
    ] {
        assert!(is_missing(quoted), "{quoted}");
    }
}

/// How many bugs may have a sentence instead of a test.
const ARGUED: usize = 10;

/// Each bug has its row, in order, and in it a test, or a sentence that says why there is none.
#[test]
fn each_of_the_others_bugs_has_a_test() {
    let path = root().join("docs/others-bugs.md");
    let text = read(&path);
    let mut argued = 0;
    let rows = text.lines().filter_map(|line| {
        let row = line.strip_prefix("| ")?;
        let number: usize = row.split(" | ").next()?.parse().ok()?;
        Some((number, row))
    });
    let mut count = 0;
    for (number, row) in rows {
        count += 1;
        assert_eq!(number, count, "{row}");
        let tests =
            Document::new(&path, row).quotes.iter().filter(|(_, it)| named(it).is_some()).count();
        argued += usize::from(tests == 0);
        assert!(tests > 0 || row.contains("cannot happen: "), "{row}");
    }
    assert_eq!(count, 67, "bugs");
    assert!(argued <= ARGUED, "{argued} bugs have no test");
}
