//! Misuse ends the process, with one line on standard error and an abort.

capi_tests::cases! {
    "errors.c" [], 120 seconds;
    both:;
    ours: foreign_pointers impossible_pointers before_anything_else first_in_a_thread
        interior_pointers double_frees right_sizes right_sizes_in_other_threads wrong_sizes
        new_without_a_runtime;
}
