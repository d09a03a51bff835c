//! A process does not notice the allocator but by its speed: tasks, descriptors, privileges,
//! and whose code runs where.

capi_tests::cases! {
    "guest.c" [], 60 seconds;
    both: one_task forks_in_handlers no_descriptors one_task_again privileges capabilities filters
        pipes_end main_ends_first raw_ends real_time child_has_one_task two_threads;
    ours:;
}

/// Static thread-local storage beyond what a small stack holds.
#[test]
fn large_thread_blocks() {
    let program = capi_tests::compile("guest.c", "-large", &["-DLARGE_TLS=300000"]);
    capi_tests::expect_ok_preloaded(&program, "two_threads", 60);
}
