//! Laws of geometry: the tables of `docs/geometry.md` have the values of the source.

use std::fmt::Debug;

use laws::{read, root};
use syn::visit::{Visit, visit_local};
use syn::{BinOp, Expr, ExprMatch, File, Item, Lit, Local, Pat};

#[test]
fn every_constant_is_in_the_table() {
    assert_same(&table_of_constants(&page()), &constants(&source("geometry.rs")));
}

#[test]
fn every_size_class_is_in_the_table() {
    let classes = classes(&source("geometry.rs"), &source("size_class.rs"));
    assert_same(&table_of_classes(&page()), &classes);
}

/// The order counts, too.
fn assert_same<T: PartialEq + Debug>(table: &[T], source: &[T]) {
    let only = |one: &[T], other: &[T]| {
        let missing = one.iter().filter(|it| !other.contains(it));
        missing.map(|it| format!("{it:?}")).collect::<Vec<_>>().join(", ")
    };
    let (in_table, in_source) = (only(table, source), only(source, table));
    assert!(table == source, "only the table has {in_table}; only the source has {in_source}");
}

fn page() -> String {
    read(&root().join("docs/geometry.md"))
}

/// A file of `allocator-core/src/base`.
fn source(name: &str) -> String {
    read(&root().join("allocator-core/src/base").join(name))
}

/// The constants of a file, in its order.
fn constants(text: &str) -> Vec<(String, u64)> {
    let file = syn::parse_file(text).unwrap();
    let names = file.items.iter().filter_map(|item| match item {
        Item::Const(item) if item.ident != "_" => Some(item.ident.to_string()),
        _ => None,
    });
    names.map(|name| (name.clone(), constant(&file, &name))).collect()
}

/// The value of a constant that is made of numbers and others of its file.
fn constant(file: &File, name: &str) -> u64 {
    let expr = file.items.iter().find_map(|item| match item {
        Item::Const(item) if item.ident == name => Some(&item.expr),
        _ => None,
    });
    value(expr.unwrap_or_else(|| panic!("there is no {name}")), &|name| constant(file, name))
}

/// The value of an expression of integers and names.
fn value(expr: &Expr, named: &dyn Fn(&str) -> u64) -> u64 {
    match expr {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Int(number) => number.base10_parse().unwrap(),
            _ => panic!("not a number"),
        },
        Expr::Path(path) => named(&path.path.require_ident().unwrap().to_string()),
        Expr::Paren(paren) => value(&paren.expr, named),
        Expr::MethodCall(call) if call.method == "ilog2" => {
            value(&call.receiver, named).ilog2().into()
        }
        Expr::Binary(binary) => {
            let (left, right) = (value(&binary.left, named), value(&binary.right, named));
            match binary.op {
                BinOp::Add(_) => left + right,
                BinOp::Sub(_) => left - right,
                BinOp::Mul(_) => left * right,
                BinOp::Div(_) => left / right,
                BinOp::Shl(_) => left << right,
                _ => panic!("an unknown operator"),
            }
        }
        _ => panic!("an unknown expression"),
    }
}

/// The cells of each row of the tables of a page.
fn rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    rows.map(|row| row.split('|').map(str::trim).collect())
}

/// The rows that begin with the name of a constant.
fn table_of_constants(page: &str) -> Vec<(String, u64)> {
    let name = |cell: &str| {
        let name = cell.strip_prefix('`')?.strip_suffix('`')?;
        name.chars().all(|c| c.is_ascii_uppercase() || c == '_').then(|| name.to_owned())
    };
    rows(page).filter_map(|row| Some((name(row[0])?, quantity(row[1])))).collect()
}

/// `64`, `32 KiB`.
fn quantity(text: &str) -> u64 {
    let (number, unit) = text.split_once(' ').unwrap_or((text, "B"));
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = units.iter().position(|it| *it == unit);
    let power = power.unwrap_or_else(|| panic!("{unit} is not a unit"));
    number.parse::<u64>().unwrap_or_else(|_| panic!("{number} is not a number")) << (10 * power)
}

/// Of a size class: bytes of a block, granules of a span, blocks of a span.
type Class = [u64; 3];

/// The rows that begin with a range of sizes: the step between them, how many classes
/// they are, the granules of a span, and the range of the blocks in one.
fn table_of_classes(page: &str) -> Vec<Class> {
    let number = |cell: &str| cell.parse::<u64>().unwrap();
    let range = |cell: &str| {
        let (first, last) = cell.split_once(" to ")?;
        Some([first, last].map(number))
    };
    let granule = table_of_constants(page).into_iter().find(|it| it.0 == "GRANULE").unwrap().1;
    let mut classes = Vec::new();
    for row in rows(page) {
        let Some([first, last]) = range(row[0]) else { continue };
        let [step, count, granules] = [1, 2, 3].map(|at| number(row[at]));
        let blocks = |size| granules * granule / size;
        assert_eq!((last - first) / step + 1, count, "classes from {first} bytes on");
        assert_eq!(range(row[4]), Some([first, last].map(blocks)), "blocks from {first} bytes on");
        let sizes = (0..count).map(|at| first + at * step);
        classes.extend(sizes.map(|size| [size, granules, blocks(size)]));
    }
    classes
}

/// What the function `shapes` consists of.
#[derive(Default)]
struct Shapes<'a> {
    /// The size of the first class.
    first: Option<&'a Expr>,
    /// From a size to the granules of a span, and to the next size.
    matches: Vec<&'a ExprMatch>,
}

impl<'a> Visit<'a> for Shapes<'a> {
    fn visit_local(&mut self, local: &'a Local) {
        if matches!(&local.pat, Pat::Ident(it) if it.ident == "size") {
            self.first = local.init.as_ref().map(|init| &*init.expr);
        }
        visit_local(self, local);
    }

    fn visit_expr_match(&mut self, it: &'a ExprMatch) {
        self.matches.push(it);
    }
}

/// The classes of the source.
fn classes(geometry: &str, size_class: &str) -> Vec<Class> {
    let granule = constant(&syn::parse_file(geometry).unwrap(), "GRANULE");
    let file = syn::parse_file(size_class).unwrap();
    let mut shapes = Shapes::default();
    for item in &file.items {
        if let Item::Fn(item) = item
            && item.sig.ident == "shapes"
        {
            shapes.visit_item_fn(item);
        }
    }
    let [granules, next] = shapes.matches[..] else { panic!("shapes changed") };
    let mut size = value(shapes.first.unwrap(), &|_| panic!("shapes changed"));
    let mut classes = Vec::new();
    for _ in 0..constant(&file, "CLASSES") {
        let granules = chosen(granules, size);
        classes.push([size, granules, granules * granule / size]);
        size = chosen(next, size);
    }
    classes
}

/// What a match on a size chooses.
fn chosen(it: &ExprMatch, size: u64) -> u64 {
    let is_it = |pat: &Pat| match pat {
        Pat::Wild(_) => true,
        Pat::Range(range) => {
            let end = |expr: &Option<Box<Expr>>| {
                value(expr.as_ref().unwrap(), &|_| panic!("not a number"))
            };
            (end(&range.start)..=end(&range.end)).contains(&size)
        }
        _ => panic!("an unknown pattern"),
    };
    let arm = it.arms.iter().find(|arm| is_it(&arm.pat)).unwrap();
    value(&arm.body, &|_| size)
}

#[test]
fn a_value_that_differs_is_found() {
    let (geometry, size_class) = (source("geometry.rs"), source("size_class.rs"));
    let table = table_of_constants(&page());
    for (from, to) in [
        ("GRANULE_SHIFT: u32 = 15", "GRANULE_SHIFT: u32 = 16"),
        ("PAGE: usize = 4 << 10", "PAGE: usize = 16 << 10"),
        ("HEAP_IDS", "IDS_OF_HEAPS"),
        ("const _: () = assert!(CHUNK_GRANULES == 64)", "const MORE: u64 = 1"),
    ] {
        assert!(geometry.contains(from), "{from}");
        assert_ne!(table, constants(&geometry.replace(from, to)), "{to}");
    }
    let table = table_of_classes(&page());
    for (from, to) in [
        ("CLASSES: usize = 75", "CLASSES: usize = 74"),
        ("513..=2048 => 2", "513..=2048 => 3"),
        ("64..=255 => size + 16", "64..=255 => size + 32"),
        ("size = 16usize", "size = 8usize"),
    ] {
        assert!(size_class.contains(from), "{from}");
        assert_ne!(table, classes(&geometry, &size_class.replace(from, to)), "{to}");
    }
    for (text, bytes) in [("64", 64), ("64 B", 64), ("32 KiB", 32 << 10), ("1 TiB", 1 << 40)] {
        assert_eq!(quantity(text), bytes, "{text}");
    }
}
