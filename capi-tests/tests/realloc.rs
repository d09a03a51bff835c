//! realloc keeps the contents, from every size to every other.

capi_tests::cases! {
    "realloc.c" [], 120 seconds;
    both: every_size_to_every_other step_by_step aligned_blocks_too same_size_stays;
    ours:;
}
