//! Random Rust source text, to be parsed.

use std::fmt::Write as _;

use fastrand::Rng;

use super::parts::word;

/// A source of this many items.
pub(super) fn source(rng: &mut Rng, items: usize) -> String {
    let mut text = String::from("//! A module.\n\nuse std::collections::{BTreeMap, HashMap};\n\n");
    for _ in 0..items {
        match rng.u8(..6) {
            0 => structure(&mut text, rng),
            1 => choice(&mut text, rng),
            2 => methods(&mut text, rng),
            _ => function(&mut text, rng, ""),
        }
        text.push('\n');
    }
    text
}

/// A name that is no keyword: it ends with a number.
fn name(rng: &mut Rng) -> String {
    format!("{}_{}", word(rng.usize(..4_000)), rng.u8(..10))
}

/// The name of a type.
fn title(rng: &mut Rng) -> String {
    let name = word(rng.usize(..4_000));
    format!("{}{}", name[..1].to_uppercase(), &name[1..])
}

fn kind(rng: &mut Rng) -> String {
    match rng.u8(..7) {
        0 => String::from("u64"),
        1 => String::from("&'static str"),
        2 => format!("Vec<{}>", title(rng)),
        3 => format!("Option<Box<{}>>", title(rng)),
        4 => format!("BTreeMap<String, Vec<{}>>", title(rng)),
        5 => format!("Result<(usize, {}), Box<dyn std::error::Error + Send>>", title(rng)),
        _ => title(rng),
    }
}

fn structure(text: &mut String, rng: &mut Rng) {
    let title = title(rng);
    let _ =
        writeln!(text, "/// A record of parts.\n#[derive(Clone, Debug)]\npub struct {title}<T> {{");
    for _ in 0..rng.usize(1..9) {
        let _ = writeln!(text, "    /// A part.\n    pub {}: {},", name(rng), kind(rng));
    }
    text.push_str("    rest: std::marker::PhantomData<T>,\n}\n");
}

fn choice(text: &mut String, rng: &mut Rng) {
    let _ = writeln!(text, "#[derive(Clone, Copy, PartialEq)]\nenum {} {{", title(rng));
    for _ in 0..rng.usize(2..9) {
        let _ = match rng.bool() {
            true => writeln!(text, "    {}({}, {}),", title(rng), kind(rng), kind(rng)),
            false => writeln!(text, "    {} {{ {}: {} }},", title(rng), name(rng), kind(rng)),
        };
    }
    text.push_str("}\n");
}

fn methods(text: &mut String, rng: &mut Rng) {
    let _ = writeln!(text, "impl<T: Clone + 'static> {}<T> where T: Into<String> {{", title(rng));
    for _ in 0..rng.usize(1..5) {
        function(text, rng, "&mut self, ");
    }
    text.push_str("}\n");
}

fn function(text: &mut String, rng: &mut Rng, receiver: &str) {
    let (called, first, second) = (name(rng), name(rng), name(rng));
    let (taken, given) = (kind(rng), kind(rng));
    let _ = writeln!(
        text,
        "/// Does what its name says.\n\
         pub(crate) fn {called}({receiver}{first}: {taken}, {second}: &[u8]) -> {given} {{"
    );
    for _ in 0..rng.usize(1..9) {
        statement(text, rng);
    }
    text.push_str("    ");
    expression(text, rng, 3);
    text.push_str("\n}\n");
}

fn statement(text: &mut String, rng: &mut Rng) {
    let bound = name(rng);
    match rng.u8(..5) {
        0 => {
            let _ = write!(text, "    if {bound} < {} {{ return ", rng.u16(..));
            expression(text, rng, 2);
            text.push_str("; }\n");
        }
        1 => {
            let _ = write!(text, "    for {bound} in ");
            expression(text, rng, 1);
            let _ = write!(text, ".iter() {{ {} += ", name(rng));
            expression(text, rng, 2);
            text.push_str("; }\n");
        }
        2 => {
            let _ = writeln!(text, "    println!(\"{{}}: {{{bound}}}\", {}.len());", name(rng));
        }
        _ => {
            let _ = write!(text, "    let {bound}: {} = ", kind(rng));
            expression(text, rng, 3);
            text.push_str(";\n");
        }
    }
}

/// An expression of at most this depth, which an operator or a call can follow.
fn expression(text: &mut String, rng: &mut Rng, depth: u32) {
    let named = name(rng);
    if depth == 0 {
        let _ = match rng.u8(..4) {
            0 => write!(text, "{}", rng.u16(..)),
            1 => write!(text, "\"{named}\""),
            2 => write!(text, "self.{named}"),
            _ => write!(text, "{named}"),
        };
        return;
    }
    match rng.u8(..6) {
        0 => {
            text.push('(');
            expression(text, rng, depth - 1);
            text.push_str(" + ");
            expression(text, rng, depth - 1);
            text.push(')');
        }
        1 => {
            let _ = write!(text, "{}::{named}(", title(rng));
            expression(text, rng, depth - 1);
            text.push_str(", &");
            expression(text, rng, depth - 1);
            text.push(')');
        }
        2 => {
            let _ = write!(text, "{named}.iter().map(|x| ");
            expression(text, rng, depth - 1);
            text.push_str(").collect::<Vec<_>>()");
        }
        3 => {
            let _ = write!(text, "(match {named} {{ Some(x) if x > 3 => ");
            expression(text, rng, depth - 1);
            text.push_str(", _ => ");
            expression(text, rng, depth - 1);
            text.push_str(" })");
        }
        4 => {
            text.push_str("vec![");
            expression(text, rng, depth - 1);
            text.push_str(", x?]");
        }
        _ => {
            expression(text, rng, depth - 1);
            let _ = write!(text, ".{named}()?");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_rust_whatever_the_seed() {
        for seed in 0..200 {
            let text = source(&mut Rng::with_seed(seed), 8);
            let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(file.items.len(), 1 + 8);
        }
    }
}
