//! What waits for a client on plain topics: what is live, and what is retained and owed to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use godwit_core::edge::{Delivery, Message, Qos};

use super::{Client, State};
use crate::filter::Wish;
use crate::link::{Link, Queued};
use crate::metrics;
use crate::plain::Bound;
use crate::retained::Retained;

/// What became of a message that was put into the queue, how many were dropped since the client was
/// told, and the connection.
type Put = (Result<u64, ()>, u64, Option<Arc<Link>>);

impl Client {
    /// Gives a plain message to the client, or keeps it while it is away. `false`: it went nowhere.
    /// Whoever calls it lets queues give way afterwards ([`Registry::give_way`]).
    pub(crate) fn offer(&self, delivery: Delivery, bound: Bound) -> bool {
        let offered = self.change(|state| self.put(state, delivery, bound));
        match offered {
            None => false,
            Some((Ok(dropped), total, link)) => {
                self.note_dropped(dropped, total);
                if let Some(link) = link {
                    link.nudge();
                }
                true
            }
            Some((Err(()), ..)) => {
                metrics::dropped("queue_full");
                false
            }
        }
    }

    fn put(&self, state: &mut State, delivery: Delivery, bound: Bound) -> Option<Put> {
        let count = match (&state.link, &state.kept) {
            (Some(_), _) => bound.live.max(bound.away),
            (None, Some(_)) if delivery.qos == Qos::AtLeastOnce && bound.away > 0 => bound.away,
            _ => return None,
        };
        let plain = state.plain.get_or_insert_default();
        let may_be_lost = delivery.qos == Qos::AtMostOnce && !plain.is_empty();
        let taken = if may_be_lost && !self.has_room(Queued::bytes_of(&delivery)) {
            Err(())
        } else {
            plain.push(delivery, count, bound.bytes)
        };
        Some((taken, plain.dropped, state.link.clone()))
    }

    /// Whether so many more bytes are within the bounds of the user and of all.
    fn has_room(&self, bytes: usize) -> bool {
        self.accounts.has_room(self.account.get(), bytes)
    }

    /// Its oldest messages go, so many bytes of them: its queue is the longest of its user's, or of
    /// all. `false`: nothing waits.
    pub(super) fn give_way(&self, bytes: usize) -> bool {
        let (dropped, total, gave) = self.change(|state| {
            let Some(plain) = &mut state.plain else { return (0, 0, false) };
            let gave = !plain.is_empty();
            (plain.give_way(bytes), plain.dropped, gave)
        });
        self.note_dropped(dropped, total);
        gave
    }

    /// It has subscribed to a filter that it has noted, and is owed what is retained of it.
    pub(crate) fn owe(&self, filter: &str, wish: Wish) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(number) = state.filters.get_mut(filter) else { return };
        let replays = state.replays.get_or_insert_default();
        replays.remove(std::mem::replace(number, wish.replay));
        replays.add(filter, wish);
        self.owed.store(true, Ordering::Relaxed);
    }

    /// Whether it is owed retained messages.
    pub(crate) fn is_owed(&self) -> bool {
        self.owed.load(Ordering::Relaxed)
    }

    /// A live message is about to come for the subscription of that replay: what is retained of its
    /// topic, if it is owed still, goes before it.
    pub(crate) fn overtake(&self, replay: u64, kept: (&Arc<Message>, Qos), bound: Bound) {
        let (dropped, total) = self.change(|state| {
            let owed = state.replays.as_mut().and_then(|replays| replays.overtaken(replay, kept));
            match owed.and_then(|delivery| self.put(state, delivery, bound)) {
                Some((Ok(dropped), total, _)) => (dropped, total),
                _ => (0, 0),
            }
        });
        self.note_dropped(dropped, total);
    }

    /// One step of what it is owed, as long as its queue is half empty: the other half is for what is
    /// live. Returns how many retained messages were looked at.
    pub(crate) fn replay(&self, link: &Link, retained: &Retained, bound: Bound) -> usize {
        let (count, bytes) = (bound.live.max(bound.away).div_ceil(2), bound.bytes / 2);
        self.change(|state| {
            let Some(replays) = &mut state.replays else { return 0 };
            let plain = state.plain.get_or_insert_default();
            let (before, mut came) = (plain.bytes(), false);
            let seen = replays.step(retained, |delivery| {
                let more = Queued::bytes_of(&delivery);
                // What the accounts do not know of yet counts as well.
                let new = plain.bytes() - before + more;
                let fits =
                    plain.has_room(more, count, bytes) && (plain.is_empty() || self.has_room(new));
                came |= fits && plain.push(delivery, count, bytes).is_ok();
                fits
            });
            if came {
                link.has_plain.store(true, Ordering::Relaxed);
            }
            if replays.is_empty() {
                state.replays = None;
                self.owed.store(false, Ordering::Relaxed);
            }
            if state.plain.as_ref().is_some_and(|plain| plain.is_idle()) {
                state.plain = None;
            }
            seen
        })
    }

    /// `count` messages went just now, `total` since the client was told last.
    pub(super) fn note_dropped(&self, count: u64, total: u64) {
        if count == 0 {
            return;
        }
        metrics::dropped_many("plain_queue_full", count);
        // The first of a row; the others are in the count that it is told.
        if count == total {
            tracing::info!(
                stage = "deliver",
                client.id = %self.id,
                "plain messages go unread: the client's queue is full, its oldest are dropped"
            );
        }
    }

    /// The client was told of so many dropped messages.
    pub(crate) fn told_dropped(&self, count: u64) {
        let mut state = self.state.lock();
        if let Some(plain) = &mut state.plain {
            plain.dropped = plain.dropped.saturating_sub(count);
            if plain.is_idle() {
                state.plain = None;
            }
        }
    }

    /// Gives the connection what waits, for as long as `want` wants the next one.
    pub(crate) fn drain(
        &self,
        link: &Link,
        want: impl FnMut(&Queued) -> bool,
        out: &mut Vec<Queued>,
    ) {
        self.change(|state| {
            let mut more = false;
            if let Some(plain) = &mut state.plain {
                plain.drain(want, out);
                more = !plain.is_empty();
                if plain.is_idle() {
                    state.plain = None;
                }
            }
            link.has_plain.store(more, Ordering::Relaxed);
        });
    }

    /// Forgets what waits on topics of which `may` says that they are not the client's to read.
    pub(crate) fn retain_plain(&self, may: impl Fn(&Delivery) -> bool) {
        self.change(|state| {
            if let Some(plain) = &mut state.plain {
                plain.retain(may);
            }
        });
    }

    /// Messages that it lost and was not told of.
    #[cfg(test)]
    pub(crate) fn dropped(&self) -> u64 {
        self.state.lock().plain.as_ref().map_or(0, |plain| plain.dropped)
    }
}
