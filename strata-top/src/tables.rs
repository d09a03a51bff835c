//! What is printed once: the numbers of a process, and what changed between two times.

use std::fmt::Write as _;

use crate::numbers::Class;
use crate::rows::{ROWS, Unit, bytes, count};
use crate::sample::Sample;

/// Most classes in a table.
const CLASSES: usize = 12;

/// All numbers of a process.
pub(crate) fn explain(sample: &Sample) -> String {
    let mut text = head(sample);
    text += "\n\n";
    for row in &ROWS {
        line(&mut text, row.name, &[row.text(sample)]);
    }
    let mut classes = sample.numbers.classes.clone();
    classes.sort_by_key(|class| std::cmp::Reverse(class.live_bytes() + class.cached_bytes()));
    let shown = classes.len().min(CLASSES);
    let heads = ["blocks live", "live", "blocks cached", "cached"].map(str::to_owned);
    text.push('\n');
    line(&mut text, "size class", &heads);
    for class in &classes[..shown] {
        let numbers = [
            count(class.live_blocks as f64),
            bytes(class.live_bytes() as f64),
            count(class.cached_blocks as f64),
            bytes(class.cached_bytes() as f64),
        ];
        line(&mut text, &format!("{} B", class.block_bytes), &numbers);
    }
    if shown < classes.len() {
        let _ = writeln!(text, "{} more classes have less", classes.len() - shown);
    }
    text
}

/// The process, in a line.
pub(crate) fn head(sample: &Sample) -> String {
    let Sample { pid, command, object, copies, numbers, .. } = sample;
    let mut text = format!("process {pid} ({command}), Strata {} in {object}", numbers.version);
    if *copies > 1 {
        let _ = write!(text, ", one of {copies} copies");
    }
    text
}

/// What changed between two times.
pub(crate) fn diff(before: &Sample, after: &Sample) -> String {
    let seconds = after.since(before);
    let mut text = format!("before  {}\nafter   {}\n", head(before), head(after));
    let is_same = before.pid == after.pid && before.command == after.command;
    if is_same && seconds > 0.0 {
        let _ = writeln!(text, "        {seconds:.1} s later");
    }
    text.push('\n');
    line(&mut text, "", &["before", "after", "difference"].map(str::to_owned));
    for row in &ROWS {
        let change = row.growth(before, after).map_or_else(String::new, |it| row.unit.change(it));
        line(&mut text, row.name, &[row.text(before), row.text(after), change]);
    }
    let mut changes = class_changes(&before.numbers.classes, &after.numbers.classes);
    changes.sort_by_key(|change| std::cmp::Reverse(change.bytes().unsigned_abs()));
    let shown = changes.len().min(CLASSES);
    if shown != 0 {
        let heads = ["blocks before", "after", "difference", "bytes"].map(str::to_owned);
        text.push('\n');
        line(&mut text, "size class, live", &heads);
    }
    for change in &changes[..shown] {
        let blocks = change.after as f64 - change.before as f64;
        let numbers = [
            count(change.before as f64),
            count(change.after as f64),
            Unit::One.change(blocks),
            Unit::Bytes.change(change.bytes() as f64),
        ];
        line(&mut text, &format!("{} B", change.block_bytes), &numbers);
    }
    text
}

/// The live blocks of a class at two times.
#[derive(Debug, PartialEq)]
struct Change {
    block_bytes: usize,
    before: usize,
    after: usize,
}

impl Change {
    fn bytes(&self) -> i128 {
        (self.after as i128 - self.before as i128) * self.block_bytes as i128
    }
}

/// The classes whose live blocks changed.
fn class_changes(before: &[Class], after: &[Class]) -> Vec<Change> {
    let blocks = |classes: &[Class], bytes: usize| {
        let class = classes.iter().find(|class| class.block_bytes == bytes);
        class.map_or(0, |class| class.live_blocks)
    };
    let mut sizes: Vec<usize> = before.iter().chain(after).map(|it| it.block_bytes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let changes = sizes.into_iter().map(|block_bytes| Change {
        block_bytes,
        before: blocks(before, block_bytes),
        after: blocks(after, block_bytes),
    });
    changes.filter(|change| change.before != change.after).collect()
}

fn line(text: &mut String, name: &str, columns: &[String]) {
    let _ = write!(text, "{name:<20}");
    for column in columns {
        let _ = write!(text, "{column:>16}");
    }
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_come_and_go_are_changes() {
        let class = |block_bytes, live_blocks| Class { block_bytes, live_blocks, cached_blocks: 1 };
        let before = [class(16, 5), class(32, 7), class(64, 1)];
        let after = [class(16, 5), class(32, 4), class(128, 2)];
        let change = |block_bytes, before, after| Change { block_bytes, before, after };
        let expected = [change(32, 7, 4), change(64, 1, 0), change(128, 0, 2)];
        assert_eq!(class_changes(&before, &after), expected);
        assert_eq!(expected[0].bytes(), -96);
    }
}
