//! Lives of threads under random schedules. Each plan has a process to itself: the heap is the
//! process's, and a failure ends it.

use std::process::{Command, Output};

fn lives(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_lives");
    Command::new(program).args(arguments).output().expect("the program runs")
}

/// So many executions end well. A seed with which one did not becomes a row.
#[test]
fn all_is_kept() {
    for plan in [
        "--seed 1 --executions 300",
        "--seed 2 --executions 300 --pct 3",
        "--seed 3 --executions 60 --threads 10 --steps 30",
        "--seed 4 --executions 60 --threads 10 --steps 30 --pct 5",
        "--seed 5 --executions 40 --threads 6 --steps 20 --forks 100",
        "--seed 6 --executions 40 --threads 6 --steps 20 --forks 100 --pct 5",
    ] {
        let arguments: Vec<_> = plan.split(' ').chain(["--seconds", "600"]).collect();
        let output = lives(&arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{plan}: {text}");
        let done = format!("{} executions\n", arguments[3]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), done, "{plan}");
    }
}

/// A step of a protocol that is left out is found.
#[test]
fn a_fault_is_found() {
    for (step, forks) in
        [("put_checks_heap", "0"), ("purge_detaches", "0"), ("fork_forgets_lists", "200")]
    {
        let plan = ["--threads", "5", "--steps", "25", "--seconds", "300", "--forks", forks];
        let output = lives(&[&plan[..], &["--left-out", step]].concat());
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "without {step} all went well");
        assert!(text.contains(&format!("left_out: Some({step:?})")), "{text}");
    }
}
