//! What the laws share: the packages and files of the workspace, the tokens of Rust
//! source, trees of modules, documents, and the commands that these show.

pub mod workspace;

pub mod source;

pub mod safety_comments;

pub mod paths;

pub mod imports;

pub mod trees;

pub mod layers;

pub mod documents;

pub mod commands;

pub use source::{code, is_word, words};
pub use trees::{Module, modules};
pub use workspace::{read, root};
