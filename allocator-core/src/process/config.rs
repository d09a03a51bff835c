//! Options given in the program's source, the same as in the environment.

use crate::process::named_file::{LOG, MOST, PROFILE};
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
    /// What is chosen for each of `KEYS`, if anything.
    chosen: [Option<Chosen>; KEYS.len()],
    log_file: Option<&'static str>,
    profile_file: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chosen {
    Value(usize),
    /// A part of the container's memory limit, in percent.
    Percent(usize),
}

/// When something is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// Never. In `STRATA_CONF`: `never`.
    #[default]
    Never,
    /// When the process exits, other than by `_exit` or a signal; or ends by `SIGTERM`, unless
    /// that is ignored or has a handler. In `STRATA_CONF`:
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

/// A signal on which the process reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// `SIGHUP`.
    Hup,
    /// `SIGQUIT`.
    Quit,
    /// `SIGUSR1`.
    Usr1,
    /// `SIGUSR2`.
    Usr2,
    /// `SIGWINCH`.
    Winch,
}

impl Config {
    /// Nothing chosen, for callers without options.
    pub(crate) const PLAIN: &Config = &Config::new();

    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Config { chosen: [None; KEYS.len()], log_file: None, profile_file: None }
    }

    /// When a breakdown of the process's memory is printed to standard error; the
    /// table that [`Strata::explain`](crate::Strata::explain) returns at any time.
    /// Default: [`When::Never`].
    #[must_use]
    pub const fn explain(self, when: When) -> Self {
        self.with_when(const { options::index_of("explain") }, when)
    }

    /// Guarded sampling: of so many bytes that are allocated one block of at most 32 KiB, in the
    /// mean, stands alone between pages without access, so that most misuse of it is reported with
    /// the stacks of its allocation and its free. Default: 0, none.
    /// [`Strata::guarded_start`](crate::Strata::guarded_start) starts it at run time.
    #[must_use]
    pub const fn guarded(self, bytes: usize) -> Self {
        self.with(const { options::index_of("guarded") }, Some(bytes))
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

    /// The hard limit as a part of the container's memory limit, in percent: as `hard_limit:80%`
    /// in `STRATA_CONF`. Where the container has no limit, there is no hard limit.
    ///
    /// # Panics
    /// If it is not from 1 to 100. As a constant, it does not compile.
    #[must_use]
    pub const fn hard_limit_of_container(self, percent: usize) -> Self {
        self.with_percent(const { options::index_of("hard_limit") }, percent)
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

    /// The soft limit as a part of the container's memory limit, in percent: as `limit:80%` in
    /// `STRATA_CONF`. Where the container has no limit, there is no soft limit.
    ///
    /// # Panics
    /// As [`Config::hard_limit_of_container`].
    #[must_use]
    pub const fn limit_of_container(self, percent: usize) -> Self {
        self.with_percent(const { options::index_of("limit") }, percent)
    }

    /// A file to which all reports are appended, too: the tables at the exit and on a signal, and
    /// what is said of a request that the hard limit refuses. It is created, for its owner alone,
    /// when there is something to write; `%p` in its name stands for the number of the process.
    /// What goes wrong is said on standard error. Default: none.
    ///
    /// # Panics
    /// If the name has more than 255 bytes, or a null byte. As a constant, it does not compile.
    #[must_use]
    pub const fn log_file(mut self, path: &'static str) -> Self {
        check_path(path);
        self.log_file = Some(path);
        self
    }

    /// A file to which the heap profile is written on the signal of [`Config::signal`], over what
    /// is there, as text that `go tool pprof` and `jeprof` read; `%p` in its name stands for the
    /// number of the process. What goes wrong is said on standard error. Default: none.
    ///
    /// # Panics
    /// As [`Config::log_file`].
    #[must_use]
    pub const fn profile_file(mut self, path: &'static str) -> Self {
        check_path(path);
        self.profile_file = Some(path);
        self
    }

    /// A signal on which the process prints the table of
    /// [`Strata::explain`](crate::Strata::explain) to standard error, and the ten stacks with
    /// most memory in use, if the heap profile has any. The program goes on. Nothing is set
    /// where the signal is ignored, or has a handler; a handler that the program sets later takes
    /// its place. Default: none.
    #[must_use]
    pub const fn signal(self, signal: Signal) -> Self {
        let name = match signal {
            Signal::Hup => "HUP",
            Signal::Quit => "QUIT",
            Signal::Usr1 => "USR1",
            Signal::Usr2 => "USR2",
            Signal::Winch => "WINCH",
        };
        self.with_name(const { options::index_of("signal") }, name)
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
        self.chosen[key] = match value {
            Some(value) => Some(Chosen::Value(value)),
            None => None,
        };
        self
    }

    const fn with_percent(mut self, key: usize, percent: usize) -> Self {
        assert!(percent >= 1 && percent <= 100, "a part of a limit is 1 to 100 percent");
        self.chosen[key] = Some(Chosen::Percent(percent));
        self
    }

    /// Applies the chosen values.
    pub(super) fn apply(&self) {
        let value = |chosen| match chosen {
            Chosen::Value(value) => Some(value),
            Chosen::Percent(percent) => options::part_of_container(percent),
        };
        for (key, chosen) in KEYS.iter().zip(self.chosen) {
            if let Some(value) = chosen.and_then(value) {
                (key.choose)(value);
            }
        }
        for (file, name) in [(&LOG, self.log_file), (&PROFILE, self.profile_file)] {
            if let Some(name) = name {
                file.set(name.as_bytes());
            }
        }
    }
}

/// Names of files that are too long are found when the program is compiled.
const fn check_path(path: &str) {
    let path = path.as_bytes();
    assert!(path.len() <= MOST, "the name of a file has at most 255 bytes");
    let mut at = 0;
    while at < path.len() {
        assert!(path[at] != 0, "the name of a file has no null byte");
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Options that only the C library has: it reads the environment.
    const ONLY_IN_C: [&str; 2] = ["hardened", "system"];

    /// Options that are names, of which the table has the length.
    const NAMES: [&str; 2] = ["log_file", "profile_file"];

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
            "guarded" => {
                [(NEW.guarded(1 << 20), b"guarded:1MiB"), (NEW.guarded(0), b"guarded:none")]
            }
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
            "signal" => [
                (NEW.signal(Signal::Usr2), b"signal:USR2"),
                (NEW.signal(Signal::Hup), b"signal:sighup"),
            ],
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
        // Names of files are chosen by the next test, perhaps at the same time.
        let chosen = |key: &options::Key| {
            if NAMES.contains(&key.name) { 0 } else { (key.chosen)() }
        };
        let all = || -> [usize; KEYS.len()] { core::array::from_fn(|i| chosen(&KEYS[i])) };
        let in_rust = |(_, key): &(usize, &options::Key)| {
            !ONLY_IN_C.contains(&key.name) && !NAMES.contains(&key.name)
        };
        for (i, key) in KEYS.iter().enumerate().filter(in_rust) {
            for (config, text) in both_ways(key.name) {
                let Some(Chosen::Value(value)) = config.chosen[i] else { panic!("not chosen") };
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
    fn names_of_files_are_chosen_both_ways() {
        const NEW: Config = Config::new();
        let ways: [(&_, Config, &[u8], &[u8]); 2] = [
            (&LOG, NEW.log_file("/a:b"), b"log_file:/other.%p", b"log_file:none"),
            (&PROFILE, NEW.profile_file("/a:b"), b"profile_file=/other.%p", b"profile_file:"),
        ];
        for (file, config, other, none) in ways {
            config.apply();
            assert!(file.name().eq(*b"/a:b"));
            options::apply(other);
            assert!(file.name().eq(*b"/other.%p"));
            options::apply(none);
            assert_eq!(file.len(), 0);
        }
    }

    #[test]
    fn nothing_is_chosen_by_itself() {
        assert_eq!(Config::new(), Config::default());
        assert_eq!(Config::new().chosen, [None; KEYS.len()]);
    }
}
