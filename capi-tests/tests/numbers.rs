//! Reported numbers are correct: `mallinfo`, `malloc_info`, `malloc_stats`,
//! `malloc_trim`, and size queries.

capi_tests::cases! {
    "numbers.c" [], 120 seconds;
    both: info_is_xml info_refuses parameters trimming;
    ours: live_bytes blocks_of_other_threads while_others_allocate old_numbers_are_clamped
        statistics trimming_tells sizes_foretold;
}
