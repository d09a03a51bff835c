//! What other allocators test of themselves holds here, too: `docs/peers-tests.md`.

capi_tests::cases! {
    "peers.c" [], 120 seconds;
    both: no_size_wraps_around each_alignment_and_size break_is_blocked statistics_and_cancellation
        threads_leave_no_blocks each_function_runs_out
        raw_forks_in_handlers contents_are_not_mistaken obstacks the_c_library_allocates_here
        sizes_up_from_nothing first_call_for_nothing;
    ours: sized_frees_of_each_alignment freed_aligned_blocks_serve_again twice_after_an_overflow;
}
