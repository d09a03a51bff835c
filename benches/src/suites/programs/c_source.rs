//! C source text, to be compiled.

use std::fmt::Write as _;

use fastrand::Rng;

/// A file of so many functions: loops, branches, `switch`, structures, arrays,
/// and calls of functions before them.
pub(crate) fn source(functions: u32) -> String {
    let mut rng = Rng::with_seed(900);
    let mut text = String::from(
        "struct node { struct node *next, *other; long key; unsigned char bytes[24]; };\n\
         long table[512];\n",
    );
    for number in 0..functions {
        let _ = writeln!(text, "\nlong f{number}(struct node *n, long a, unsigned b) {{");
        text.push_str("  long x = a, y = b, z = n ? n->key : 1;\n");
        for _ in 0..rng.u32(4..10) {
            statement(&mut text, &mut rng, number);
        }
        text.push_str("  return x ^ y + z;\n}\n");
    }
    text
}

/// One of the three variables.
fn variable(rng: &mut Rng) -> char {
    ['x', 'y', 'z'][rng.usize(..3)]
}

/// An expression of the variables.
fn expression(rng: &mut Rng, depth: u32) -> String {
    if depth == 0 {
        return match rng.u8(..4) {
            0 => rng.u16(1..500).to_string(),
            1 => format!("table[{} & 511]", variable(rng)),
            _ => variable(rng).to_string(),
        };
    }
    let (left, right) = (expression(rng, depth - 1), expression(rng, depth - 1));
    match rng.u8(..6) {
        0 => format!("({left} * {right})"),
        1 => format!("({left} >> ({right} & 15))"),
        2 => format!("({left} < {right} ? {left} : {right})"),
        3 => format!("({left} ^ {right})"),
        _ => format!("({left} + {right})"),
    }
}

/// A statement of the function with this number.
fn statement(text: &mut String, rng: &mut Rng, number: u32) {
    let (to, value) = (variable(rng), expression(rng, 2));
    let _ = match rng.u8(..6) {
        0 => {
            let (bound, from) = (rng.u8(4..64), expression(rng, 1));
            writeln!(
                text,
                "  for (int i = 0; i < {bound}; i++) table[({from} + i) & 511] += {value};"
            )
        }
        1 => writeln!(
            text,
            "  while (n && n->key < {value}) {{ {to} += n->bytes[{}]; n = n->next; }}",
            rng.u8(..24)
        ),
        2 => {
            let _ = writeln!(text, "  switch ({value} & 7) {{");
            for case in 0..6 {
                let does = expression(rng, 1);
                let _ = writeln!(text, "    case {case}: {to} += {does}; break;");
            }
            writeln!(text, "    default: {to} -= table[{}];\n  }}", rng.u16(..512))
        }
        3 if number > 0 => {
            let callee = number - 1 - rng.u32(..number.min(8));
            writeln!(text, "  {to} += f{callee}(n, {value}, (unsigned)y);")
        }
        4 => writeln!(text, "  if ({value} > z) {{ {to} = {}; z--; }}", expression(rng, 2)),
        _ => writeln!(text, "  {to} = {value};"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_same_every_time_and_balanced() {
        let text = source(50);
        assert_eq!(text, source(50));
        for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
            assert_eq!(text.matches(open).count(), text.matches(close).count());
        }
        assert_eq!(text.matches("\nlong f").count(), 50);
        assert!(text.contains("switch") && text.contains("while") && text.contains("for ("));
    }
}
