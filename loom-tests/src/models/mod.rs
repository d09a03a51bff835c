//! The models, one protocol a file.

mod chunk;
mod holes;
mod homes;
mod inbox;
mod init;
mod lock;
mod table;

use crate::model::Model;

/// All models.
pub static MODELS: &[&Model] = &[
    &lock::LOCK,
    &inbox::TAKE,
    &inbox::CLOSE,
    &init::INIT,
    &table::TABLE,
    &homes::MOVING,
    &homes::STEALING,
    &homes::LENDING,
    &homes::LEAVING,
    &homes::RELIEVING,
    &homes::READING,
    &holes::HOLLOWING,
    &holes::HOLLOWING_LEAVING,
    &chunk::GRANULES,
    &chunk::RELEASE,
    &chunk::ROOMS,
    &chunk::ROOMS_FIND,
    &chunk::EMPTIES,
];

/// The model of a name.
pub fn model(name: &str) -> Option<&'static Model> {
    MODELS.iter().copied().find(|model| model.name == name)
}
