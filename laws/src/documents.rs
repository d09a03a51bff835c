//! Documents in Markdown: the code that they quote, their links, and their commands.

use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::workspace::{read, root, with_extension};

/// A document.
#[derive(Default)]
pub struct Document {
    /// Where it is.
    pub path: PathBuf,
    /// Code in backticks, each with its line.
    pub quotes: Vec<(usize, String)>,
    /// Where links within the repository lead to, without the part after `#`.
    pub links: Vec<(usize, String)>,
    /// Fenced blocks: the line of the fence, the language, and the text.
    pub blocks: Vec<(usize, String, String)>,
}

/// All documents that git tracks.
#[must_use]
pub fn documents() -> Vec<Document> {
    with_extension(&root(), &["md"]).map(|path| Document::new(path, &read(path))).collect()
}

impl Document {
    /// Reads a document.
    #[must_use]
    pub fn new(path: &Path, text: &str) -> Self {
        let mut document = Document { path: path.to_owned(), ..Document::default() };
        let line = |at: usize| 1 + text[..at].matches('\n').count();
        let mut block = None;
        for (event, place) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            match event {
                Event::Code(code) => document.quotes.push((line(place.start), code.into_string())),
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(language) => language.into_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    block = Some((line(place.start), language, String::new()));
                }
                Event::Text(part) => {
                    if let Some((_, _, text)) = &mut block {
                        text.push_str(&part);
                    }
                }
                Event::End(TagEnd::CodeBlock) => document.blocks.extend(block.take()),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    let target = dest_url.split('#').next().unwrap();
                    if !target.is_empty() && !target.contains(':') {
                        document.links.push((line(place.start), target.to_owned()));
                    }
                }
                _ => {}
            }
        }
        document
    }

    /// Command lines with their line numbers: quotes, and the lines of `sh` blocks, where
    /// a backslash joins lines.
    #[must_use]
    pub fn commands(&self) -> Vec<(usize, String)> {
        let mut found = self.quotes.clone();
        for (first, language, text) in &self.blocks {
            if language != "sh" {
                continue;
            }
            let mut joined: Option<(usize, String)> = None;
            for (at, line) in text.lines().enumerate() {
                let (_, command) = joined.get_or_insert((first + 1 + at, String::new()));
                match line.strip_suffix('\\') {
                    Some(start) => command.push_str(start),
                    None => {
                        command.push_str(line);
                        found.extend(joined.take());
                    }
                }
            }
            found.extend(joined);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_links_and_commands_are_found() {
        let text = "# a `b`\n\n| `c` | [d](e.md#f) |\n|---|---|\n| `` g`h `` | ![i](j.svg) |\n\n\
            [k](https://l/m) [n](#o) `p\nq`\n\n```sh\nr \\\n  s  # t\nu\n```\n\n```text\n`v`\n```\n";
        let document = Document::new(Path::new("x.md"), text);
        let quotes: Vec<_> =
            document.quotes.iter().map(|(line, it)| (*line, it.as_str())).collect();
        assert_eq!(quotes, [(1, "b"), (3, "c"), (5, "g`h"), (7, "p q")]);
        let links: Vec<_> = document.links.iter().map(|(line, it)| (*line, it.as_str())).collect();
        assert_eq!(links, [(3, "e.md"), (5, "j.svg")]);
        let commands = document.commands().split_off(4);
        assert_eq!(commands, [(11, "r   s  # t".to_owned()), (13, "u".to_owned())]);
        assert_eq!(document.blocks[1].1, "text");
    }
}
