//! Requested items that are not available.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::progress::Progress;

/// A requested item that is not available.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// An allocator, or a program to run with it.
    pub name: String,
    /// The reason, and how to fix it.
    pub error: String,
}

/// Returns an available item; records and reports an unavailable one.
pub fn sift<T>(
    found: Result<T>,
    name: &str,
    missing: &mut Vec<Missing>,
    progress: &Progress,
) -> Option<T> {
    let error = match found {
        Ok(found) => return Some(found),
        Err(error) => format!("{error:#}"),
    };
    progress.say(&format!("MISSING: {name}: {error}"));
    missing.push(Missing { name: name.to_owned(), error });
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_noted() {
        let mut missing = Vec::new();
        let progress = Progress::new();
        assert_eq!(sift(Ok(1), "one", &mut missing, &progress), Some(1));
        let none: Option<u8> = sift(Err(anyhow::anyhow!("gone")), "two", &mut missing, &progress);
        assert_eq!(none, None);
        assert_eq!((missing.len(), missing[0].name.as_str()), (1, "two"));
        assert_eq!(missing[0].error, "gone");
    }
}
