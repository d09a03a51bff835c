//! Bugs that other allocators had, and that no other test here would find:
//! `docs/others-bugs.md`.

capi_tests::cases! {
    "others_bugs.c" [], 120 seconds;
    both: large_blocks_that_travel late_frees_of_others blocks_of_ended_threads purges_at_once
        forks_amid_streams shrinking_gives_back beyond_4_gib;
    ours:;
}
