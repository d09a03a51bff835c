//! Ten thousand forks of a busy process; nested forks, forks from handlers, and
//! starting other programs.

capi_tests::cases! {
    "fork.c" [], 300 seconds;
    both: ten_thousand several_fork_at_once generations handlers_allocate in_a_handler
        on_from_a_handler vfork_and_exec spawned;
    ours:;
}
