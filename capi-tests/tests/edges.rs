//! Edge cases behave as in glibc: sizes, alignments, errno.

capi_tests::cases! {
    "edges.c" [], 120 seconds;
    both: refused_sizes overflowing_products zero_bytes null_is_fine realloc_to_nothing
        failed_realloc refused_alignments odd_alignments alignments_that_are_none
        large_alignments whole_pages all_bytes_are_usable realloc_keeps_the_usable
        calloc_is_zero errno_is_kept;
    ours: too_large_alignments;
}
