//! There is never too much free memory in a model.

pub(crate) fn settle() {}
