//! The models, one protocol a file.

mod chunk;
mod span_purge;
mod heaps;
mod remote_queue;
mod init;
mod lock;
mod published;

use crate::model::Model;

/// All models.
pub static MODELS: &[&Model] = &[
    &lock::LOCK,
    &remote_queue::TAKE,
    &remote_queue::CLOSE,
    &init::INIT,
    &published::TABLE,
    &heaps::MOVING,
    &heaps::STEALING,
    &heaps::LENDING,
    &heaps::LEAVING,
    &heaps::RELIEVING,
    &heaps::READING,
    &span_purge::HOLLOWING,
    &span_purge::HOLLOWING_LEAVING,
    &chunk::GRANULES,
    &chunk::RELEASE,
    &chunk::FREE_SPACE,
    &chunk::ROOMS_FIND,
    &chunk::EMPTIES,
];

/// The model of a name.
pub fn model(name: &str) -> Option<&'static Model> {
    MODELS.iter().copied().find(|model| model.name == name)
}
