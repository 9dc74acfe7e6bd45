//! What all sessions of one bridge share.

use std::sync::Arc;

use godwit_core::store::Store;
use tokio::sync::Semaphore;

use crate::committer::Committer;
use crate::cursors::Cursors;
use crate::directory::Directory;
use crate::ingest::MessageIds;
use crate::online::Online;
use crate::openings::Openings;
use crate::options::Options;

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) options: Options,
    pub(crate) ids: MessageIds,
    pub(crate) directory: Directory,
    pub(crate) online: Online,
    pub(crate) committer: Arc<Committer>,
    pub(crate) cursors: Arc<Cursors>,
    pub(crate) openings: Openings,
    /// Bounds the reads of logs for lagging devices.
    pub(crate) pulls: Semaphore,
}
