//! C++'s operators new and delete.

capi_tests::cases! {
    "operators.cc" [], 60 seconds;
    both: every_form deleting_null caught_in_the_caller handler_gives_up handler_throws
        handler_helps thrown_in_threads usual_expressions containers_run_out;
    ours:;
}

mod replaced {
    capi_tests::cases! {
        "replaced.cc" [], 60 seconds;
        both: own_operators own_operators_in_algorithms own_operators_throw
            others_are_as_ever;
        ours:;
    }
}
