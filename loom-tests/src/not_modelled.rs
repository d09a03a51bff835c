//! Sites that no model reaches: the reasons, and the labels that each holds for. All of them are
//! relaxed; why each may be, `ordering.rs` says label by label.

/// A reason, and the labels of the sites.
pub type NotModelled = (&'static str, &'static [&'static str]);

/// All of them. A test compares them with the source, site by site.
pub const NOT_MODELLED: &[NotModelled] = &[
    (
        "one thread writes it; another reads a number at most",
        &["bin_base", "bin_top", "nested_tokens", "profile_gap", "profile_random", "slow_paths"],
    ),
    (
        "a number that is reported, or steers; nothing else is read on its word",
        &[
            "cgroup_reading",
            "committed_bytes",
            "counter",
            "heap_out",
            "huge_count",
            "mapped_bytes",
            "metadata_mapped",
            "metadata_used",
            "profile_counts",
            "profile_dropped",
            "report_lost",
            "request_sample",
            "returned_blocks",
            "stock_count",
            "tally",
            "threads_with_cache",
            "usage_dirty",
            "usage_excess",
            "usage_left",
            "usage_lent",
            "usage_live",
            "usage_loose",
            "usage_owed",
            "usage_purged",
        ],
    ),
    (
        "where the next search begins, or whether it is worth it: what is found decides",
        &[
            "collapse_cursor",
            "heap_offers",
            "purge_in_vain",
            "shard_cursor",
            "span_purge_cursor",
            "steal_cursor",
        ],
    ),
    (
        "when something is due: a look more or less does no harm",
        &["collapse_due", "own_time", "own_wait"],
    ),
    (
        "a setting, or a limit: it holds for what follows",
        &[
            "address_limits",
            "cgroup_absent",
            "cgroup_limit",
            "failure_reported",
            "handlers_running",
            "handlers_set",
            "helper_config",
            "huge_guards",
            "mapping_limit",
            "memory_supply",
            "pressure_told",
            "profile_rate",
            "shards_wanted",
            "thp_config",
            "thp_mode",
        ],
    ),
    (
        "the thread that parsed the options reads it, or the end of the process",
        &["options_read", "print_at_exit", "print_help", "system_serves"],
    ),
    (
        "written once, before what it belongs to is published (`init`, `published`)",
        &["file_name", "map_base", "runs_id", "table_place"],
    ),
    (
        "read through a block, which changed hands in a way that is modelled",
        &["block_tag", "map_entry", "map_readable", "profile_live", "span_heads", "view_offset"],
    ),
    (
        "of a chunk: changed while its granules are claimed, or under a lock (`granules`, `lock`)",
        &[
            "chunk_clean",
            "chunk_huge",
            "chunk_huge_page",
            "chunk_runs",
            "chunk_spans",
            "map_used",
            "run_len",
            "table_opened",
        ],
    ),
    (
        "of a guarded slot: changed by who has it, or under a lock (`lock`)",
        &["guarded_record", "guarded_slots", "guarded_state"],
    ),
    (
        "an exchange of the word decides, and there is no other data",
        &[
            "cpu_rank",
            "empty_blocks",
            "fault_tried",
            "heap_ids",
            "held_back",
            "standby_peek",
            "tail_peek",
        ],
    ),
    (
        "the process has one thread, or ends",
        &["forked", "index_in_child", "lock_peek", "unload_state"],
    ),
    (
        "the system wakes and ends the helper, or runs the hook, in an order of its own",
        &["exit_hooks", "helper_bell", "helper_stop"],
    ),
];

/// A reason, and the functions of other crates that ship, each with its number of sites.
pub type Outside = (&'static str, &'static [(&'static str, usize)]);

/// The sites outside the core, which the models do not compile. `once_cell` is used for two
/// numbers that every thread finds alike.
pub const OUTSIDE: &[Outside] = &[
    (
        "an answer of the system, which every thread finds alike; nothing else is read on its word",
        &[
            ("allocator-capi cxx_runtime::bad_alloc", 4),
            ("allocator-capi foreign::find", 2),
            ("allocator-capi replaced::detect", 1),
            ("allocator-capi replaced::operators_are_replaced", 1),
            ("allocator-capi unwinder::is_own", 2),
            ("allocator-capi unwinder::look_up", 2),
            ("allocator-sys cpu::count_cpus", 1),
            ("allocator-sys cpu::with_start_mask", 1),
            ("allocator-sys memory::check_kernel", 2),
            ("allocator-sys memory::map_fixed", 1),
            ("allocator-sys memory::purge", 1),
        ],
    ),
    (
        "a function of the program's: it points at code, which is always there",
        &[("allocator-capi control::call_back", 1), ("allocator-capi control::strata_on_limit", 1)],
    ),
    (
        "written before the kernel, which orders it, makes the handler known to all threads",
        &[
            ("allocator-sys fault::former", 4),
            ("allocator-sys fault::handle_faults", 5),
            ("allocator-sys fault::on_fault", 1),
        ],
    ),
    (
        "a number that bounds something; nothing else is read on its word",
        &[
            ("strata-alloc service::drop", 1),
            ("strata-alloc service::one_more", 1),
            ("strata-alloc watch::begin", 1),
            ("strata-alloc watch::drop", 1),
        ],
    ),
    (
        "one thread decides, and the others see what it found: the protocol of `init`",
        &[
            ("allocator-capi system::decide", 2),
            ("allocator-capi system::find_functions", 1),
            ("allocator-capi system::is_on", 1),
            ("allocator-capi system::next", 1),
            ("allocator-capi system::operator", 1),
            ("allocator-capi system::server", 1),
        ],
    ),
    (
        "the number of a key: an exchange admits one, and the C library orders the rest",
        &[
            ("allocator-sys thread::arm_thread_exit", 1),
            ("allocator-sys thread::forget_thread_exit", 1),
            ("allocator-sys thread::on_thread_exit", 1),
            ("allocator-sys thread::publish_exit_key", 2),
        ],
    ),
    (
        "the kernel writes the word when the helper's task is there, and when it is gone",
        &[
            ("allocator-sys task::forget_task", 3),
            ("allocator-sys task::make_memory", 2),
            ("allocator-sys task::run", 1),
            ("allocator-sys task::task_runs", 1),
            ("allocator-sys task::wait_for_task", 1),
        ],
    ),
    (
        "a tool outside of the process writes it when it attaches; later is early enough",
        &[("allocator-sys probe::probe_alloc", 1), ("allocator-sys probe::probe_free", 1)],
    ),
    (
        "the core's lock of a sample is held where the tables are used and exchanged (`lock`)",
        &[("strata-profile unwinder::refresh", 1), ("strata-profile unwinder::unwind", 1)],
    ),
];
