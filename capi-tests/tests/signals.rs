//! Signal handlers that allocate and free while the interrupted thread does: between any
//! two instructions, and at times of a timer.

capi_tests::cases! {
    "signals.c" [], 300 seconds;
    both:;
    ours: fast_paths small_blocks large_blocks one_block_in_the_handler blocks_of_others
        forks_in_the_handler exits_in_the_handler timer;
}
