//! What a run has measured: as tables, as JSON, as a page, and compared with
//! another run.

pub(crate) mod model;

pub(crate) mod terminal;

mod plots;

pub(crate) mod page;

pub(crate) mod compare;
