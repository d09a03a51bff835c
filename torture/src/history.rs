//! Inputs in files. A file is one input, or a history: all inputs of a process, in order,
//! because what a heap does depends on what it did before.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// How a history begins.
const MAGIC: &[u8] = b"torture history\n";

/// A history that is being written.
pub struct History(File);

impl History {
    /// Begins a history.
    ///
    /// # Errors
    /// Those of the file.
    pub fn create(path: &Path) -> io::Result<History> {
        let mut file = File::create(path)?;
        file.write_all(MAGIC)?;
        Ok(History(file))
    }

    /// Adds an input, before it is run.
    ///
    /// # Errors
    /// Those of the file.
    pub fn add(&mut self, input: &[u8]) -> io::Result<()> {
        let mut record = Vec::with_capacity(input.len() + 4);
        record.extend_from_slice(&(input.len() as u32).to_le_bytes());
        record.extend_from_slice(input);
        self.0.write_all(&record)
    }
}

/// The inputs of a file.
#[must_use]
pub fn inputs(bytes: &[u8]) -> Vec<&[u8]> {
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else { return vec![bytes] };
    let mut inputs = Vec::new();
    while let Some((len, more)) = rest.split_first_chunk::<4>() {
        let len = (u32::from_le_bytes(*len) as usize).min(more.len());
        let (input, more) = more.split_at(len);
        inputs.push(input);
        rest = more;
    }
    inputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_read_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let all: [&[u8]; 3] = [b"one", b"", b"three and more"];
        let mut history = History::create(file.path()).unwrap();
        all.iter().for_each(|input| history.add(input).unwrap());
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(inputs(&bytes), all);
        assert_eq!(inputs(b"something else"), [b"something else"]);
        // The last record may be cut off when a process ends.
        assert_eq!(inputs(&bytes[..bytes.len() - 4]).len(), 3);
    }
}
