//! Options given in the program's source, the same as in the environment.

use crate::process::options::{self, KEYS};

/// Options for [`Strata::with_config`](crate::Strata::with_config).
///
/// ```
/// # use allocator_core::{Config, Strata};
/// #[global_allocator]
/// static GLOBAL: Strata =
///     Strata::with_config(Config::new().helper(false).limit(512 << 20));
/// # drop(vec![1, 2, 3]);
/// ```
///
/// Each function sets the option of the same name in the environment variable
/// `STRATA_CONF`, which overrides it. An option that neither sets has its default.
///
/// ```text
/// STRATA_CONF=limit:256m,helper:true ./program
/// ```
///
/// In the variable, bytes are decimal digits, followed by `k`, `m`, `g`, `t` (powers of
/// 1024, also as in `MiB`) or nothing; or a part of the container's memory limit, such as
/// `80%`; or `none`. `=` may stand for `:`. An unknown option or a wrong value is reported in
/// one line on standard error, and the rest of the variable is used. Set-uid
/// programs do not read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The chosen value of each of `KEYS`, if any.
    chosen: [Option<usize>; KEYS.len()],
}

/// When something is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// Never. In `STRATA_CONF`: `never`.
    #[default]
    Never,
    /// When the process exits, other than by `_exit` or a signal. In `STRATA_CONF`:
    /// `exit`.
    Exit,
}

/// Which memory uses transparent huge pages, where the system has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Thp {
    /// Memory that is in use nearly everywhere, or will be, once the heap is filled. In
    /// `STRATA_CONF`: `auto`.
    #[default]
    Auto,
    /// None, even if the system enables them for all memory. In `STRATA_CONF`:
    /// `never`.
    Never,
    /// All memory of the heap, from the start. In `STRATA_CONF`: `always`.
    Always,
}

impl Config {
    /// Nothing chosen, for callers without options.
    pub(crate) const PLAIN: &Config = &Config::new();

    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Config { chosen: [None; KEYS.len()] }
    }

    /// When a breakdown of the process's memory is printed to standard error; the
    /// table that [`Strata::explain`](crate::Strata::explain) returns at any time.
    /// Default: [`When::Never`].
    #[must_use]
    pub const fn explain(self, when: When) -> Self {
        self.with_when(const { options::index_of("explain") }, when)
    }

    /// The hard limit, in committed bytes
    /// ([`Stats::committed_bytes`](crate::Stats::committed_bytes)): allocations that
    /// would exceed it return null, after all free memory was returned to the system.
    /// Default: 0, no limit. [`Strata::set_hard_limit`](crate::Strata::set_hard_limit)
    /// changes it at run time.
    #[must_use]
    pub const fn hard_limit(self, bytes: usize) -> Self {
        self.with(const { options::index_of("hard_limit") }, Some(bytes))
    }

    /// Whether a list of all options is printed to standard error at the start, with
    /// their defaults and the values in effect. Default: `false`.
    #[must_use]
    pub const fn help(self, wanted: bool) -> Self {
        self.with_flag(const { options::index_of("help") }, wanted)
    }

    /// Whether a process with several threads may have a helper, a task that returns free
    /// memory to the system. Without it, threads that free memory do so themselves, and
    /// keep more of it. Default: `true`.
    #[must_use]
    pub const fn helper(self, allowed: bool) -> Self {
        self.with_flag(const { options::index_of("helper") }, allowed)
    }

    /// Whether inaccessible addresses follow each block above 1 MiB, so that an
    /// access beyond its end, rounded up to a page, faults. Default: `false`.
    #[must_use]
    pub const fn huge_guards(self, wanted: bool) -> Self {
        self.with_flag(const { options::index_of("huge_guards") }, wanted)
    }

    /// The soft limit, in committed bytes
    /// ([`Stats::committed_bytes`](crate::Stats::committed_bytes)): above it, all free
    /// memory is returned to the system, and if that is not enough, the function given
    /// to [`Strata::on_limit`](crate::Strata::on_limit) is called. Default: 0, no
    /// limit. [`Strata::set_limit`](crate::Strata::set_limit) changes it at run time.
    #[must_use]
    pub const fn limit(self, bytes: usize) -> Self {
        self.with(const { options::index_of("limit") }, Some(bytes))
    }

    /// When statistics are printed to standard error; the list that
    /// [`Strata::stats`](crate::Strata::stats) prints at any time. Default: [`When::Never`].
    #[must_use]
    pub const fn stats(self, when: When) -> Self {
        self.with_when(const { options::index_of("stats") }, when)
    }

    /// Which memory uses transparent huge pages. Default: [`Thp::Auto`].
    #[must_use]
    pub const fn thp(self, when: Thp) -> Self {
        let name = match when {
            Thp::Auto => "auto",
            Thp::Never => "never",
            Thp::Always => "always",
        };
        self.with_name(const { options::index_of("thp") }, name)
    }

    /// Whether it is said on standard error at the start which options are in force, and
    /// which variables are set that are for other allocators. Default: `false`.
    #[must_use]
    pub const fn verbose(self, wanted: bool) -> Self {
        self.with_flag(const { options::index_of("verbose") }, wanted)
    }

    const fn with_when(self, key: usize, when: When) -> Self {
        let name = match when {
            When::Never => "never",
            When::Exit => "exit",
        };
        self.with_name(key, name)
    }

    const fn with_flag(self, key: usize, value: bool) -> Self {
        self.with_name(key, if value { "true" } else { "false" })
    }

    const fn with_name(self, key: usize, value: &str) -> Self {
        self.with(key, options::value_index_of(key, value))
    }

    const fn with(mut self, key: usize, value: Option<usize>) -> Self {
        self.chosen[key] = value;
        self
    }

    /// Applies the chosen values.
    pub(super) fn apply(&self) {
        for (key, chosen) in KEYS.iter().zip(self.chosen) {
            if let Some(value) = chosen {
                (key.choose)(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Options that only the C library has: it reads the environment.
    const ONLY_IN_C: [&str; 2] = ["hardened", "system"];

    /// For each of two values: the options with `name` set by its function, and the
    /// text that sets it in the environment. Every key must have a function, if it
    /// has an effect in Rust.
    fn both_ways(name: &str) -> [(Config, &'static [u8]); 2] {
        const NEW: Config = Config::new();
        match name {
            "explain" => [
                (NEW.explain(When::Exit), b"explain:exit"),
                (NEW.explain(When::Never), b"explain:never"),
            ],
            "hard_limit" => [
                (NEW.hard_limit(0), b"hard_limit:none"),
                (NEW.hard_limit(3 << 50), b"hard_limit:3145728g"),
            ],
            "help" => [(NEW.help(false), b"help:false"), (NEW.help(true), b"help:true")],
            "helper" => [(NEW.helper(false), b"helper:false"), (NEW.helper(true), b"helper:true")],
            "huge_guards" => [
                (NEW.huge_guards(true), b"huge_guards:true"),
                (NEW.huge_guards(false), b"huge_guards:false"),
            ],
            "limit" => [(NEW.limit(0), b"limit:0"), (NEW.limit(1 << 50), b"limit:1048576g")],
            "stats" => {
                [(NEW.stats(When::Exit), b"stats:exit"), (NEW.stats(When::Never), b"stats:never")]
            }
            "thp" => [(NEW.thp(Thp::Always), b"thp:always"), (NEW.thp(Thp::Auto), b"thp:auto")],
            "verbose" => {
                [(NEW.verbose(false), b"verbose=false"), (NEW.verbose(true), b"verbose=true")]
            }
            _ => panic!("{name} is in the table, and has no function"),
        }
    }

    #[test]
    fn both_ways_choose_the_same() {
        let all = || -> [usize; KEYS.len()] { core::array::from_fn(|i| (KEYS[i].chosen)()) };
        let in_rust = |(_, key): &(usize, &options::Key)| !ONLY_IN_C.contains(&key.name);
        for (i, key) in KEYS.iter().enumerate().filter(in_rust) {
            for (config, text) in both_ways(key.name) {
                let value = config.chosen[i].expect("it is chosen");
                let other = usize::from(value == 0);
                (key.choose)(other);
                let mut want = all();
                assert_eq!(want[i], other, "{}", key.name);
                want[i] = value;
                config.apply();
                assert_eq!(all(), want, "{}", key.name);
                (key.choose)(other);
                options::apply(text);
                assert_eq!(all(), want, "{}", key.name);
            }
            (key.choose)(0);
        }
    }

    #[test]
    fn nothing_is_chosen_by_itself() {
        assert_eq!(Config::new(), Config::default());
        assert_eq!(Config::new().chosen, [None; KEYS.len()]);
    }
}
