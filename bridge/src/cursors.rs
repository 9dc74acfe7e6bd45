//! Stage 8: confirmed deliveries move the cursors of kept sessions, gathered and written behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use godwit_core::cursor::{Feed, Mark, Move};
use godwit_core::ids::{ConversationId, Identity, Seq};
use godwit_core::store::{Error, Store};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::{limits, retry};

type Key = (Identity, Feed, ConversationId);

/// Cursors that have moved, and the number of the round that will store them.
#[derive(Default)]
struct Dirty {
    seqs: HashMap<Key, Seq>,
    round: u64,
}

/// Cursors that have moved and are not stored yet.
pub(crate) struct Cursors {
    store: Arc<dyn Store>,
    delay: Duration,
    dirty: Mutex<Dirty>,
    /// There is something to store.
    wanted: Notify,
    /// Someone waits for it.
    urgent: Notify,
    /// Rounds that are stored.
    stored: watch::Sender<u64>,
}

impl Cursors {
    pub(crate) fn new(store: Arc<dyn Store>, delay: Duration) -> Self {
        let dirty = Dirty { round: 1, ..Dirty::default() };
        Self {
            store,
            delay,
            dirty: Mutex::new(dirty),
            wanted: Notify::new(),
            urgent: Notify::new(),
            stored: watch::Sender::new(0),
        }
    }

    /// Notes moves of one device; never back.
    pub(crate) fn note(&self, device: &Identity, marks: &[Mark]) {
        let mut dirty = self.dirty.lock();
        let was_empty = dirty.seqs.is_empty();
        for mark in marks {
            let key = (device.clone(), mark.feed, mark.conversation);
            let seq = dirty.seqs.entry(key).or_default();
            *seq = (*seq).max(mark.seq);
        }
        let full = dirty.seqs.len() >= limits::CURSORS_DIRTY_MAX;
        drop(dirty);
        if was_empty {
            self.wanted.notify_one();
        }
        if full {
            self.urgent.notify_one();
        }
    }

    /// Completes when everything noted so far is stored.
    pub(crate) async fn flushed(&self) {
        let round = {
            let dirty = self.dirty.lock();
            // With nothing waiting, the round before may still be under way.
            if dirty.seqs.is_empty() { dirty.round - 1 } else { dirty.round }
        };
        let mut stored = self.stored.subscribe();
        if *stored.borrow_and_update() < round {
            self.urgent.notify_one();
            // The sender lives as long as `self`.
            let _ = stored.wait_for(|done| *done >= round).await;
        }
    }

    /// Stores rounds until the process ends.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            self.wanted.notified().await;
            tokio::select! {
                () = tokio::time::sleep(self.delay) => {}
                () = self.urgent.notified() => {}
            }
            self.store_round().await;
        }
    }

    async fn store_round(&self) {
        let (taken, round) = {
            let mut dirty = self.dirty.lock();
            dirty.round += 1;
            (std::mem::take(&mut dirty.seqs), dirty.round - 1)
        };
        let moves: Vec<_> = taken
            .into_iter()
            .map(|((device, feed, conversation), seq)| Move {
                device,
                mark: Mark { feed, conversation, seq },
            })
            .collect();
        for chunk in moves.chunks(limits::CURSORS_PER_STATEMENT) {
            let mut backoff = retry::Backoff::new();
            // A cursor that is not stored costs a repeated delivery, never a lost one; but a store
            // that is away for a while shall not forget it either.
            while let Err(error) = self.store.move_cursors(chunk).await {
                retry::note("move_cursors", &error);
                if !matches!(error, Error::Unavailable(_)) {
                    break;
                }
                tokio::time::sleep(backoff.next()).await;
            }
        }
        self.stored.send_replace(round);
    }
}
