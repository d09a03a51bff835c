//! What users of other allocators write: names of options, which get a sentence instead of
//! a guess, and variables, which have no effect here.

use core::ffi::CStr;
use core::fmt::Write;

use crate::base::misuse::Line;
use crate::sys;

/// Names that options of jemalloc and mimalloc have, and what stands for them here.
const OPTIONS: &[(&[&str], &str)] = &[
    (
        &["background_thread", "max_background_threads"],
        "the helper does that by itself; helper:false forbids it",
    ),
    (
        &[
            "dirty_decay_ms",
            "muzzy_decay_ms",
            "lg_dirty_mult",
            "retain",
            "purge_delay",
            "reset_delay",
            "purge_decommits",
            "abandoned_page_purge",
            "arena_purge_mult",
            "decommit_delay",
        ],
        "free memory goes back within a second, without an option",
    ),
    (
        &["narenas", "percpu_arena", "arena", "use_numa_nodes", "use_numa"],
        "there are as many shards as processors that run threads, without an option",
    ),
    (
        &[
            "prof",
            "prof_active",
            "prof_final",
            "prof_gdump",
            "prof_leak",
            "prof_accum",
            "lg_prof_sample",
            "lg_prof_interval",
        ],
        "the heap profile is switched on while the program runs: docs/profile.md",
    ),
    (&["prof_prefix"], "here it is profile_file, which is written on the signal of signal:USR2"),
    (&["log_path", "log_file_path"], "here it is log_file"),
    (&["stats_print", "stats_print_opts", "show_stats"], "here it is stats:exit"),
    (&["confirm_conf"], "here it is verbose:true"),
    (&["junk", "zero", "redzone", "quarantine", "secure"], "hardened:true checks every block"),
    (
        &["tcache", "tcache_max", "lg_tcache_max", "tcache_nslots_small_max"],
        "caches of threads are bounded by themselves, without an option",
    ),
    (
        &["metadata_thp", "allow_large_os_pages", "large_os_pages", "reserve_huge_os_pages"],
        "here it is thp",
    ),
    (
        &["eager_commit", "arena_eager_commit", "eager_region_commit", "arena_reserve"],
        "memory is committed when it is needed, without an option",
    ),
    (&["guarded_sample_rate", "guarded_min"], "here it is guarded, in bytes: guarded:1MiB"),
    (&["show_errors", "max_errors", "max_warnings", "abort_conf"], "errors are always shown"),
];

/// What stands for an option of another allocator, if one has this name.
pub(super) fn sentence(name: &[u8]) -> Option<&'static str> {
    let of = |names: &[&str]| names.iter().any(|it| name.eq_ignore_ascii_case(it.as_bytes()));
    OPTIONS.iter().find(|(names, _)| of(names)).map(|(_, sentence)| *sentence)
}

/// How the variables of other allocators begin, and whose they are.
const VARIABLES: [(&CStr, &str); 5] = [
    (c"MALLOC_CONF", "jemalloc"),
    (c"_RJEM_MALLOC_CONF", "jemalloc"),
    (c"MIMALLOC_", "mimalloc"),
    (c"TCMALLOC_", "tcmalloc"),
    (c"MALLOC_ARENA_MAX", "glibc"),
];

/// Says which variables are set that have no effect here.
pub(super) fn report_variables() {
    for (start, whose) in VARIABLES {
        sys::for_variables(start, |name| {
            let mut line = Line::new();
            line.push(name);
            let _ = write!(line, " is set: it is {whose}'s, and has no effect here");
            line.print();
        });
    }
}
