//! The models, one protocol a file.

mod inbox;
mod lock;

use crate::model::Model;

/// All models.
pub static MODELS: &[&Model] = &[&lock::LOCK, &inbox::TAKE, &inbox::CLOSE];

/// The model of a name.
pub fn model(name: &str) -> Option<&'static Model> {
    MODELS.iter().copied().find(|model| model.name == name)
}
