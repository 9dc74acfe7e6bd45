//! The bus: who is told of what was committed.
//!
//! [`InProcess`] is the bus of one process: announcements are calls, and the stream of durable
//! events is a bounded queue in memory. Losing it loses nothing: announcements are hints, and the
//! outbox keeps every event until the stream has taken it. Redis comes as a second implementation
//! of the same ports (`godwit_core::bus`).

mod stream;

use std::sync::Arc;

use godwit_core::bus::{Announce, Announcement, Listen, Signal, Stream};
use godwit_core::store::{OutboxEvent, Pending};
use parking_lot::RwLock;

use crate::stream::MemoryStream;

/// The bus of one process.
#[derive(Default)]
pub struct InProcess {
    listeners: RwLock<Vec<Arc<dyn Listen>>>,
    stream: MemoryStream,
}

impl InProcess {
    /// A bus that nobody listens to yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on `listener` is told of every announcement.
    pub fn listen(&self, listener: Arc<dyn Listen>) {
        self.listeners.write().push(listener);
    }

    /// Lets go of all listeners, which usually hold the bus themselves.
    pub fn close(&self) {
        self.listeners.write().clear();
    }
}

impl Announce for InProcess {
    fn announce(&self, announcements: &[Announcement]) {
        for listener in self.listeners.read().iter() {
            listener.announced(announcements);
        }
    }

    fn signal(&self, signals: &[Signal]) {
        for listener in self.listeners.read().iter() {
            listener.signalled(signals);
        }
    }
}

impl Stream for InProcess {
    fn join<'a>(&'a self, group: &'a str) -> Pending<'a, u64> {
        Box::pin(async { Ok(self.stream.join(group)) })
    }

    fn end(&self) -> Pending<'_, u64> {
        Box::pin(async { Ok(self.stream.end()) })
    }

    fn append<'a>(&'a self, events: &'a [OutboxEvent]) -> Pending<'a, ()> {
        Box::pin(async {
            self.stream.append(events).await;
            Ok(())
        })
    }

    fn read<'a>(&'a self, group: &'a str, max: usize) -> Pending<'a, Vec<(u64, OutboxEvent)>> {
        Box::pin(async move { Ok(self.stream.read(group, max).await) })
    }

    fn done<'a>(&'a self, group: &'a str, position: u64) -> Pending<'a, ()> {
        Box::pin(async move {
            self.stream.done(group, position);
            Ok(())
        })
    }
}
