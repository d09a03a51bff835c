//! Misuse ends in an abort. What a handler of it may do.

capi_tests::cases! {
    "abort.c" [], 600 seconds;
    both:;
    ours: handler_allocates handler_jumps handler_forks;
}
