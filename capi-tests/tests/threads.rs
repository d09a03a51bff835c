//! Threads that start and exit, are interrupted or cancelled, or outlive main;
//! and each function as the first call of a thread.

capi_tests::cases! {
    "threads.c" [], 120 seconds;
    both: come_and_go detached_threads many_at_a_time exit_amid_threads key_destructors
        cancelled_threads never_cancelled_inside interrupted_threads blocks_that_travel
        main_ends_first handlers_at_exit;
    ours: lost_hooks lost_hooks_after_a_fork;
}

mod first {
    capi_tests::cases! {
        "first.c" [], 60 seconds;
        both: first_calls;
        ours: own_first_calls;
    }
}
