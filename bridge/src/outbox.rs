//! This process's place in the outbox's stream, and what the outbox holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use godwit_core::bus::Stream;
use godwit_core::ids::{ConversationId, Seq};
use godwit_core::store::{Error, Store};
use tokio::sync::watch;

use crate::limits;

/// What the outbox held at a moment, by conversation: the lowest place of each.
struct Look {
    begun: Instant,
    /// `None`: there was more than is looked at.
    lowest: Option<HashMap<ConversationId, Seq>>,
}

/// This process's place in the stream.
pub(crate) struct Events {
    store: Arc<dyn Store>,
    pub(crate) stream: Arc<dyn Stream>,
    pub(crate) group: String,
    /// Events up to this position have been looked at. `None`: not joined yet.
    pub(crate) seen: watch::Sender<Option<u64>>,
    /// The newest look; held while it is taken, so that all who wait share the next one.
    look: tokio::sync::Mutex<Option<Look>>,
}

impl Events {
    /// `process` sets this process's group apart from all others'.
    pub(crate) fn new(store: Arc<dyn Store>, stream: Arc<dyn Stream>, process: u64) -> Self {
        Self {
            store,
            stream,
            group: format!("bridge-{process:016x}"),
            seen: watch::Sender::new(None),
            look: tokio::sync::Mutex::default(),
        }
    }

    /// Completes when every event from now on is kept for this process: only then may a session
    /// begin. A stream that is away for longer keeps nobody out.
    pub(crate) async fn joined(&self) {
        if self.seen.borrow().is_some() {
            return;
        }
        let mut seen = self.seen.subscribe();
        let joined = seen.wait_for(Option::is_some);
        let _ = tokio::time::timeout(Duration::from_secs(1), joined).await;
    }

    /// Completes when all events that were in the stream at the begin have been looked at.
    async fn caught_up(&self) -> Result<(), Error> {
        let end = self.stream.end().await?;
        let mut seen = self.seen.subscribe();
        let reached = seen.wait_for(|seen| seen.is_some_and(|seen| seen >= end));
        match tokio::time::timeout(limits::EVENTS_TIMEOUT, reached).await {
            // The sender lives as long as `self`.
            Ok(_) => Ok(()),
            Err(elapsed) => Err(Error::Unavailable(Box::new(elapsed))),
        }
    }

    /// The lowest place of a conversation whose event this process may not have looked at yet; `None`
    /// inside: it has looked at all. `None`: that cannot be said, the outbox is too long.
    ///
    /// The outbox is read once for all who ask at the same time.
    pub(crate) async fn lowest(
        &self,
        conversation: ConversationId,
    ) -> Result<Option<Option<Seq>>, Error> {
        let asked = Instant::now();
        let mut look = self.look.lock().await;
        if look.as_ref().is_none_or(|look| look.begun <= asked) {
            *look = None;
            let begun = Instant::now();
            let found = self.store.outbox(limits::OUTBOX_LOOK_MAX).await?;
            // What had left the outbox before that is in the stream: it says so itself.
            self.caught_up().await?;
            let whole = found.len() < limits::OUTBOX_LOOK_MAX as usize;
            let lowest = whole.then(|| {
                let mut lowest = HashMap::new();
                for event in found {
                    let seq = lowest.entry(event.conversation).or_insert(event.seq);
                    *seq = event.seq.min(*seq);
                }
                lowest
            });
            *look = Some(Look { begun, lowest });
        }
        let lowest = look.as_ref().and_then(|look| look.lowest.as_ref());
        Ok(lowest.map(|lowest| lowest.get(&conversation).copied()))
    }
}
