//! Whether the store is well, asked once for all who want to know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use godwit_core::store::{Error, Store};
use godwit_core::tasks::contain;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::limits::{READY_KEPT, READY_TIME_MAX};

/// What was found out of the store, for as long as it is good. One question is under way at a time, in
/// a task of its own: who asks may go away, and a store that hangs is not asked again.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    found: Mutex<Option<(Instant, Found)>>,
    asking: AtomicBool,
    answered: Notify,
}

/// Whether the writer and the readers are well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) writes: bool,
    pub(super) reads: bool,
}

impl Probe {
    fn fresh(&self) -> Option<Found> {
        let found = *self.found.lock();
        found.filter(|(at, _)| at.elapsed() < READY_KEPT).map(|(_, found)| found)
    }

    /// The next question is asked anew.
    #[cfg(test)]
    pub(super) fn forget(&self) {
        *self.found.lock() = None;
    }

    /// What is known of the store, or found out within [`READY_TIME_MAX`]. `None`: no answer.
    pub(super) async fn ask(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        writes: bool,
    ) -> Option<Found> {
        let mut answered = std::pin::pin!(self.answered.notified());
        answered.as_mut().enable();
        if let Some(found) = self.fresh() {
            return Some(found);
        }
        if !self.asking.swap(true, Ordering::SeqCst) {
            let (asker, probe, store) = (Arc::clone(self), Arc::clone(self), Arc::clone(store));
            let ask = async move {
                // A commit that went well a moment ago says more than a probe.
                let writes = writes || store.probe().await.inspect_err(note).is_ok();
                let reads = store.ping().await.inspect_err(note).is_ok();
                *probe.found.lock() = Some((Instant::now(), Found { writes, reads }));
                probe.asking.store(false, Ordering::SeqCst);
                probe.answered.notify_waiters();
            };
            tokio::spawn(contain("a probe of the store", ask, move |death| {
                tracing::error!(stage = "commit", %death, "the next question asks anew");
                asker.asking.store(false, Ordering::SeqCst);
            }));
        }
        let _ = tokio::time::timeout(READY_TIME_MAX, answered).await;
        self.fresh()
    }
}

fn note(error: &Error) {
    tracing::warn!(stage = "commit", %error, "a probe of the store failed");
}
