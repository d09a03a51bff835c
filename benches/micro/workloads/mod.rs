//! The workloads of the micro benchmarks. Each measuring binary includes this
//! module and differs from the others only in its global allocator.

mod block;
mod outcome;
mod rows;

mod team;

mod churn;
mod collections;
mod large;
mod sharing;
mod single;

use std::process::ExitCode;

use benches::procfs;

use outcome::Outcome;
use rows::ROWS;

/// Runs the row of this name, if there is one.
fn run(row: &str, scale: f64) -> Option<Outcome> {
    Some(match row {
        "pair" => single::pair(scale),
        "pairdyn" => single::pairdyn(scale),
        "lifo1000" => single::lifo(scale, 1000),
        "fifo1000" => single::fifo(scale, 1000),
        "burst20000" => single::fifo(scale, 20_000),
        "churn100k" => churn::one(scale, 100_000),
        "churn1m" => churn::one(scale, 1_000_000),
        "tear1g-alloc" => large::tear(scale).0,
        "tear1g-free" => large::tear(scale).1,
        "strings" => collections::strings(scale),
        "btree" => collections::btree(scale),
        "hashvec" => collections::hashvec(scale),
        "vecgrow" => collections::vecgrow(scale),
        "bigbuf" => large::bigbuf(scale),
        "huge" => large::huge(scale),
        "hugegrow" => large::hugegrow(scale),
        "larson" => churn::larson(scale),
        "prodcons" => sharing::prodcons(scale),
        "fshare1" => sharing::fshare(scale, 1),
        "fshare64" => sharing::fshare(scale, 64),
        "parked" => sharing::parked(scale),
        "threads64" => sharing::threads64(scale),
        "churn2" => churn::two(scale),
        _ => return None,
    })
}

/// The `main` function of a measuring binary: `micro-X ROW [SCALE]`, or
/// `--list`.
pub(crate) fn main(allocator: &str) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (row, scale) = match args[..] {
        ["--list"] => {
            for row in ROWS {
                println!("{:<14}{:<12}{}", row.name, row.set.label(), row.operation);
            }
            return ExitCode::SUCCESS;
        }
        [row] => (row, Some(1.0)),
        [row, scale] => (row, scale.parse().ok()),
        _ => ("", None),
    };
    let scale = scale.filter(|s: &f64| s.is_finite() && *s > 0.0);
    let Some((row, scale)) = rows::find(row).zip(scale) else {
        eprintln!("usage: micro-{allocator} ROW [SCALE] | --list");
        return ExitCode::from(2);
    };
    let Some(outcome) = run(row.name, scale) else {
        eprintln!("micro-{allocator}: row {} is listed but missing", row.name);
        return ExitCode::FAILURE;
    };
    println!(
        "allocator={allocator} row={} ns={:.3} first_ns={:.3} ops={} rss_kib={} peak_kib={}",
        row.name,
        outcome.best_ns,
        outcome.first_ns,
        outcome.ops,
        outcome.rss_kib,
        procfs::peak_resident_bytes(std::process::id()).unwrap_or(0) >> 10,
    );
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_row_runs() {
        for row in ROWS {
            let outcome = run(row.name, 0.001).unwrap_or_else(|| panic!("{}", row.name));
            assert!(outcome.best_ns > 0.0, "{}", row.name);
            assert!(outcome.best_ns <= outcome.first_ns, "{}", row.name);
            assert!(outcome.rss_kib > 0, "{}", row.name);
        }
        assert!(run("nothing", 1.0).is_none());
    }

    #[test]
    fn names_are_unique() {
        for (i, row) in ROWS.iter().enumerate() {
            assert!(ROWS[i + 1..].iter().all(|other| other.name != row.name));
        }
    }
}
