//! Threads come and go, are interrupted, are cancelled, end last; and any call
//! may be a thread's first.

capi_tests::cases! {
    "threads.c" [], 120 seconds;
    both: first_calls come_and_go detached_threads key_destructors cancelled_threads
        never_cancelled_inside interrupted_threads blocks_that_travel main_ends_first
        handlers_at_exit;
    ours: own_first_calls;
}
