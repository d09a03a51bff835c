//! The inputs of real programs.

use std::fmt::Write as _;

use fastrand::Rng;

/// Problems for an SMT solver: rational variables within bounds, and pairs of
/// inequalities of which one must hold. Solving them allocates many small
/// numbers of arbitrary precision. After each answer the solver prints how much
/// work it did.
pub(crate) fn problems(count: u32) -> String {
    const VARIABLES: usize = 20;
    const PAIRS: usize = 30;
    let mut rng = Rng::with_seed(700);
    let mut text = String::new();
    for _ in 0..count {
        text.push_str("(reset)\n(set-logic QF_LRA)\n");
        for n in 0..VARIABLES {
            let _ = writeln!(text, "(declare-const x{n} Real)");
            let _ = writeln!(text, "(assert (and (<= 0 x{n}) (<= x{n} 1000)))");
        }
        let mut variables: Vec<usize> = (0..VARIABLES).collect();
        for _ in 0..PAIRS {
            rng.shuffle(&mut variables);
            let terms = variables[..6].iter().map(|n| format!("(* {} x{n})", whole(&mut rng, 99)));
            let sum = terms.collect::<Vec<_>>().join(" ");
            let (bound, other) = (whole(&mut rng, 500), rng.u32(500..1900));
            let (a, b) = (variables[6], variables[7]);
            let pair = format!("(<= (+ {sum}) {bound}) (> (+ x{a} x{b}) {other})");
            let _ = writeln!(text, "(assert (or {pair}))");
        }
        text.push_str("(check-sat)\n(get-info :rlimit)\n");
    }
    text
}

/// A random integer of at most this magnitude, in SMT-LIB's notation.
fn whole(rng: &mut Rng, most: i32) -> String {
    match rng.i32(-most..=most) {
        n if n < 0 => format!("(- {})", -n),
        n => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_the_same_every_time_and_balanced() {
        let text = problems(2);
        assert_eq!(text, problems(2));
        assert_eq!(text.matches("(check-sat)").count(), 2);
        assert_eq!(text.matches("(assert (or ").count(), 60);
        assert_eq!(text.matches('(').count(), text.matches(')').count());
        assert!(!text.contains("(* -"), "a negative number is in parentheses");
    }
}
