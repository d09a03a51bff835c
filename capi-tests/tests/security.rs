//! Which faults are caught is what `docs/misuse.md` says: each program of `security.h` commits
//! one, in a process that just started (cold), and in one that made and freed 10,000 blocks of
//! the size before (warm).

use capi_tests::{compile, plain, preloaded, repository, succeed};
use std::fmt::Write;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs, and the sizes of blocks that each runs with.
const PROGRAMS: [(&str, &[(&str, &str)]); 3] = [
    ("security_frees.c", SIZES),
    ("security_accesses.c", SIZES),
    ("security.cc", &[("64", "all")]),
];
const SIZES: &[(&str, &str)] = &[("8", "8 B"), ("4096", "4 KiB"), ("262144", "256 KiB")];

/// The C library with whose own allocator the tables compare.
const GLIBC: &str = "glibc 2.36";

/// Whose `malloc` a program runs with.
#[derive(Clone, Copy)]
enum Allocator {
    Default,
    Hardened,
    Glibc,
}

/// The columns of the table.
const COLUMNS: [(Allocator, &str); 6] = [
    (Allocator::Default, "cold"),
    (Allocator::Default, "warm"),
    (Allocator::Hardened, "cold"),
    (Allocator::Hardened, "warm"),
    (Allocator::Glibc, "cold"),
    (Allocator::Glibc, "warm"),
];

fn command(allocator: Allocator, program: &Path) -> Command {
    match allocator {
        Allocator::Default => preloaded(program, 30),
        Allocator::Hardened => {
            let mut command = preloaded(program, 30);
            command.env("STRATA_CONF", "hardened:true");
            command
        }
        Allocator::Glibc => plain(program, 30),
    }
}

/// Whether the fault is caught: the process dies by a signal, or ends without having shown it.
fn is_caught(allocator: Allocator, program: &Path, [kind, size, warmth]: [&str; 3]) -> bool {
    let output = command(allocator, program).args([kind, size, warmth]).output().unwrap();
    // `timeout` reports the end of its child as its own.
    let code = output.status.code().unwrap_or(128);
    let died = output.status.signal().is_some() || code >= 128;
    assert!(died || code == 0, "{kind} {size} {warmth}: {output:?}");
    died || output.stdout != b"shown\n"
}

/// Whether the fault is caught every time: in hardened mode, chance places the blocks.
fn is_always_caught(allocator: Allocator, program: &Path, run: [&str; 3]) -> bool {
    let runs = match allocator {
        Allocator::Hardened => 3,
        Allocator::Default | Allocator::Glibc => 1,
    };
    (0..runs).all(|_| is_caught(allocator, program, run))
}

/// The part of the table for one program, and how many of its faults are caught in each column.
fn rows(
    program: &Path,
    sizes: &[(&str, &str)],
    columns: usize,
) -> (String, [usize; COLUMNS.len()], usize) {
    let kinds = succeed(&mut plain(program, 10));
    let (mut rows, mut sums, mut faults) = (String::new(), [0; COLUMNS.len()], 0);
    for kind in kinds.lines() {
        write!(rows, "| {} |", kind.replace('_', " ")).unwrap();
        faults += sizes.len();
        for (i, (allocator, warmth)) in COLUMNS.into_iter().take(columns).enumerate() {
            let caught =
                |size: &&(&str, &str)| is_always_caught(allocator, program, [kind, size.0, warmth]);
            let caught: Vec<_> = sizes.iter().filter(caught).map(|size| size.1).collect();
            sums[i] += caught.len();
            let cell = match caught.len() {
                0 => "–".to_owned(),
                all if all == sizes.len() => "all".to_owned(),
                _ => caught.join(", "),
            };
            write!(rows, " {cell} |").unwrap();
        }
        rows.push('\n');
    }
    (rows, sums, faults)
}

/// Whether the page has each line; with fewer columns than its own, at the start of one of its.
fn has(page: &str, lines: &str) -> bool {
    lines.lines().all(|line| page.lines().any(|of_page| of_page.starts_with(line)))
}

#[test]
fn the_table_is_true() {
    let glibc = succeed(Command::new("getconf").arg("GNU_LIBC_VERSION")).trim() == GLIBC;
    let columns = if glibc { COLUMNS.len() } else { 4 };
    let (mut table, mut sums, mut faults) = (String::new(), [0; COLUMNS.len()], 0);
    for (source, sizes) in PROGRAMS {
        let program: PathBuf = compile(source, "", &[]);
        let (rows, of_program, of_kinds) = rows(&program, sizes, columns);
        table += &rows;
        faults += of_kinds;
        sums.iter_mut().zip(of_program).for_each(|(sum, more)| *sum += more);
    }
    write!(table, "| **of {faults}** |").unwrap();
    sums[..columns].iter().for_each(|sum| write!(table, " **{sum}** |").unwrap());
    let page = fs::read_to_string(repository().join("docs/misuse.md")).unwrap();
    assert!(has(&page, &table), "docs/misuse.md does not have these lines:\n{table}");
}
