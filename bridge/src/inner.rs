//! What all sessions of one bridge share.

use std::sync::Arc;

use godwit_core::bus::Announce;
use godwit_core::store::Store;
use godwit_core::tasks::Supervisor;
use tokio::sync::Semaphore;

use crate::acquainted::Acquainted;
use crate::asked::Asked;
use crate::clock::MessageIds;
use crate::committer::Committer;
use crate::cursors::Cursors;
use crate::directory::Directory;
use crate::large::Large;
use crate::notices::Notices;
use crate::online::Online;
use crate::openings::Openings;
use crate::options::Options;
use crate::outbox::Events;
use crate::people::People;
use crate::presence::Presences;
use crate::rates::Rates;
use crate::receipts::{Receipts, Teller};
use crate::seen::Seen;
use crate::typing::Typing;

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) options: Options,
    pub(crate) ids: MessageIds,
    pub(crate) directory: Directory,
    pub(crate) online: Online,
    pub(crate) events: Events,
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) committer: Arc<Committer>,
    pub(crate) cursors: Arc<Cursors>,
    pub(crate) openings: Arc<Openings>,
    pub(crate) people: Arc<People>,
    pub(crate) announce: Arc<dyn Announce>,
    pub(crate) acquainted: Acquainted,
    pub(crate) typing: Typing,
    pub(crate) presence: Presences,
    pub(crate) seen: Seen,
    pub(crate) large: Large,
    pub(crate) notices: Notices,
    pub(crate) rates: Rates,
    pub(crate) asked: Asked,
    pub(crate) receipts: Arc<Receipts>,
    pub(crate) teller: Arc<Teller>,
    /// Bounds the reads of logs for lagging devices.
    pub(crate) pulls: Semaphore,
}
