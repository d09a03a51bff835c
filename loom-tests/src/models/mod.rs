//! The models, one protocol a file.

mod chunk;
mod span_purge;
mod heaps;
mod helper;
mod remote_queue;
mod init;
mod later;
mod limit;
mod lock;
mod published;
mod purge;
mod registry;
mod samples;
mod standby;
mod tail;

use crate::model::Model;

/// All models.
pub static MODELS: &[&Model] = &[
    &lock::LOCK,
    &lock::HANDLERS,
    &remote_queue::TAKE,
    &remote_queue::CLOSE,
    &init::INIT,
    &later::LATER,
    &published::PUBLISHED,
    &published::PUBLISHED_COUNT,
    &samples::SAMPLES,
    &helper::HELPER,
    &limit::LIMIT,
    &limit::TOLD,
    &heaps::MOVING,
    &heaps::STEALING,
    &heaps::TRANSFER,
    &heaps::ABANDONING,
    &heaps::DRAINING,
    &heaps::RECEIVING,
    &span_purge::SPAN_PURGE,
    &span_purge::SPAN_PURGE_ABANDONING,
    &span_purge::EVICTING,
    &span_purge::EVICTING_STOLEN,
    &chunk::GRANULES,
    &chunk::RELEASE,
    &chunk::INDEX_CLAIM,
    &chunk::INDEX_FIND,
    &chunk::INDEX_FIND_IN_WORD,
    &chunk::WHOLE_CHUNK,
    &tail::TAIL,
    &standby::STANDBY,
    &standby::STANDBY_ANY,
    &chunk::EMPTIES,
    &purge::PURGE,
    &purge::PURGE_LIMIT,
    &purge::PURGE_CHUNK,
    &purge::LIMIT_ENFORCED,
    &registry::REGISTRY,
    &registry::REGISTRY_PURGE,
    &registry::REGISTRY_LOST,
];

/// The model of a name.
pub fn model(name: &str) -> Option<&'static Model> {
    MODELS.iter().copied().find(|model| model.name == name)
}
