//! What the programs do.

mod parts;

mod rust_text;

mod axum;
mod channels;
mod imbl;
mod json;
mod moka;
mod store;
mod syn;
mod tantivy;

/// Does so many times its usual work, and returns the checksum.
type Work = fn(f64) -> u64;

/// Every program by its name.
const WORK: [(&str, Work); 8] = [
    ("axum", axum::run),
    ("syn", syn::run),
    ("json", json::run),
    ("store", store::run),
    ("tantivy", tantivy::run),
    ("imbl", imbl::run),
    ("channels", channels::run),
    ("moka", moka::run),
];

/// Runs the program of this name, if there is one, with `scale` times the usual
/// amount of work; returns the checksum.
///
/// # Panics
///
/// If a result is wrong, or the system refuses something.
pub fn run(name: &str, scale: f64) -> Option<u64> {
    WORK.iter().find(|(known, _)| *known == name).map(|(_, work)| work(scale))
}

#[cfg(test)]
mod tests {
    use super::super::PROGRAMS;
    use super::*;

    /// One test runs all: they are many threads each.
    #[test]
    fn each_sum_is_the_same_in_every_run_and_another_for_other_work() {
        for program in PROGRAMS {
            let sum = |scale| run(program.name, scale).unwrap();
            assert_eq!(sum(0.002), sum(0.002), "{}", program.name);
            assert_ne!(sum(0.006), sum(0.002), "{}", program.name);
        }
    }

    #[test]
    fn each_is_described() {
        assert!(WORK.iter().map(|(name, _)| *name).eq(PROGRAMS.iter().map(|it| it.name)));
        assert_eq!(run("nothing", 1.0), None);
    }
}
