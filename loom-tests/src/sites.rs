//! Sites: the places in the allocator's files where an atomic operation names its ordering. A
//! site is known by its function, the label, and which of that function's uses of the label it
//! is: so a name stays when lines move.

use core::panic::Location;
use core::str::FromStr;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

/// A place that names an ordering: `lock::lock_slow lock_acquire 1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// The file's name without its extension, and the function or static.
    pub function: String,
    /// The name of the ordering.
    pub label: String,
    /// Which use of the label in that function, from 1.
    pub nth: usize,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.function, self.label, self.nth)
    }
}

impl FromStr for Site {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [function, label, nth] = words[..] else { return Err(format!("no site: {text}")) };
        let nth = nth.parse().map_err(|error| format!("{text}: {error}"))?;
        Ok(Site { function: function.into(), label: label.into(), nth })
    }
}

/// Before each site that a model prints.
pub(crate) const PRINTED: &str = "site: ";

/// The sites in the output of a model.
///
/// # Panics
/// If one is not well-formed.
#[must_use]
pub fn printed_sites(output: &[u8]) -> BTreeSet<Site> {
    let output = String::from_utf8_lossy(output);
    let sites = output.lines().filter_map(|line| line.strip_prefix(PRINTED));
    sites.map(|site| site.parse().unwrap()).collect()
}

/// The first line of `sites.tsv`.
pub const SITES_HEAD: &str = "function\tlabel\tuse\tmodels that reach it\n";

/// The sites in `sites.tsv`, with the models that reach each: what `model sites` wrote.
///
/// # Panics
/// If the table is not well-formed.
#[must_use]
pub fn in_table() -> BTreeMap<Site, BTreeSet<&'static str>> {
    let rows = include_str!("../sites.tsv").strip_prefix(SITES_HEAD).expect("its head");
    let row = |row: &'static str| {
        let (site, models) = row.rsplit_once('\t').expect("four columns");
        (site.parse().unwrap(), models.split(' ').collect())
    };
    rows.lines().map(row).collect()
}

/// A site, and its line and column, from 1.
pub(crate) type Placed = (Site, (u32, u32));

/// The sites in the text of a file.
fn placed(module: &str, text: &str) -> Vec<Placed> {
    let mut found: Vec<Placed> = vec![];
    let mut item = String::new();
    for (line, code) in code(text).enumerate() {
        if let Some(name) = item_of(code) {
            item = format!("{module}::{name}");
        }
        for (column, prefix) in code.match_indices("ordering::") {
            let rest = &code[column + prefix.len()..];
            let Some(label) = rest.split_once("()").map(|(label, _)| label) else { continue };
            if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                continue;
            }
            let same = |(site, _): &&Placed| site.function == item && site.label == label;
            let nth = found.iter().filter(same).count() + 1;
            let site = Site { function: item.clone(), label: label.into(), nth };
            found.push((site, (line as u32 + 1, column as u32 + 1)));
        }
    }
    found
}

/// The function or the static that a line begins.
fn item_of(code: &str) -> Option<&str> {
    const BEFORE: [&str; 9] =
        ["pub", "crate", "super", "const", "static", "unsafe", "extern", "C", "async"];
    let mut words = code
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .skip_while(|word| BEFORE.contains(word));
    let is_static = code.trim_start_matches("pub(crate) ").starts_with("static ");
    match words.next()? {
        "fn" => words.next(),
        name if is_static => Some(name),
        _ => None,
    }
}

/// The sites in all files of the allocator, those that no model compiles included.
///
/// # Panics
/// If a file cannot be read.
#[must_use]
pub fn in_source() -> BTreeSet<Site> {
    let files = files("allocator-core/src");
    let sites = files.iter().flat_map(|(module, text)| placed(module, text));
    let sites = sites.map(|(site, _)| site);
    sites.filter(|site| !site.function.starts_with("ordering::")).collect()
}

/// The functions in the other crates that ship which name an ordering, with the number of
/// their sites: `allocator-sys thread::arm_thread_exit`.
///
/// # Panics
/// If a file cannot be read.
#[must_use]
pub fn in_other_crates() -> BTreeMap<String, usize> {
    const ORDERINGS: [&str; 5] = ["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"];
    const CRATES: [(&str, &str); 4] = [
        ("allocator-sys", "/src/linux"),
        ("allocator-capi", "/src"),
        ("strata-alloc", "/src"),
        ("strata-profile", "/src"),
    ];
    let mut found = BTreeMap::new();
    for (name, folder) in CRATES {
        for (module, text) in files(&format!("{name}{folder}")) {
            let mut item = "";
            for code in code(&text) {
                item = item_of(code).unwrap_or(item);
                let sites =
                    ORDERINGS.map(|order| code.matches(&format!("Ordering::{order}")).count());
                let sites = sites.iter().sum::<usize>();
                if sites != 0 {
                    *found.entry(format!("{name} {module}::{item}")).or_default() += sites;
                }
            }
        }
    }
    found
}

/// The files of a folder of the workspace: their names without extension, and their texts.
fn files(folder: &str) -> Vec<(String, String)> {
    let mut found = vec![];
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// The lines of a file without comments, up to its tests, which are no part of what ships.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(""));
    lines.take_while(|line| !line.starts_with("#[cfg(test)]"))
}

/// The sites in the files that the models compile.
fn in_models() -> impl Iterator<Item = (&'static str, Placed)> {
    crate::FILES.iter().flat_map(|(path, text)| {
        let module = Path::new(path).file_stem().unwrap().to_str().unwrap();
        placed(module, text).into_iter().map(|placed| (*path, placed))
    })
}

/// Where a site is, if a model compiles its file.
pub(crate) fn place(site: &Site) -> Option<(&'static str, (u32, u32))> {
    in_models().find(|(_, (it, _))| it == site).map(|(path, (_, place))| (path, place))
}

thread_local! {
    static REACHED: RefCell<BTreeSet<*const Location<'static>>> =
        const { RefCell::new(BTreeSet::new()) };
}

/// Records that a model reached a site.
pub(crate) fn reach(location: &'static Location<'static>) {
    REACHED.with_borrow_mut(|reached| reached.insert(location));
}

/// The sites that this thread's models reached.
pub(crate) fn take_reached() -> BTreeSet<Site> {
    let reached = REACHED.take();
    // SAFETY: locations are static.
    let reached = reached.into_iter().map(|location| unsafe { &*location });
    let reached: BTreeSet<_> = reached.map(|at| (at.file(), (at.line(), at.column()))).collect();
    in_models()
        .filter(|(path, (_, place))| reached.contains(&(*path, *place)))
        .map(|(_, (site, _))| site)
        .collect()
}
