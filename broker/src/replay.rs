//! The retained messages that a new subscription is owed, given in small steps as the client has room.
//!
//! A replay goes through the index of topics and stands still while the client's queue is half full;
//! it goes on when the connection has taken some, on a later connection too if the session is kept.
//! What is live meanwhile may be of a topic that the replay has not reached. Then the retained message
//! of that topic is given just before the live one, and is passed over in its turn: of one topic,
//! nothing older comes behind something newer.
//!
//! All of it happens under the client's lock. No I/O.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use godwit_core::edge::{Delivery, Message, Qos};

use crate::filter::Wish;
use crate::limits::REPLAYED_AHEAD_MAX;
use crate::retained::{Lookup, Retained, Stop};

/// What one client is owed, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    pending: BTreeMap<u64, Replay>,
    /// Topics whose retained message was given before its turn: number of the replay, hash of the topic.
    ahead: HashSet<(u64, u64)>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Replay {
    lookup: Lookup,
    wish: Wish,
}

/// A retained message for a client.
fn delivery(message: Arc<Message>, qos: Qos, wish: Wish) -> Delivery {
    Delivery {
        message,
        qos: qos.min(wish.qos),
        retain: true,
        mark: None,
        identifier: wish.identifier,
    }
}

impl Replays {
    /// The replay `wish.replay` of what `filter` matches begins.
    pub(crate) fn add(&mut self, filter: &str, wish: Wish) {
        self.pending.insert(wish.replay, Replay { lookup: Lookup::new(filter), wish });
    }

    /// One is over, or not wanted any more.
    pub(crate) fn remove(&mut self, number: u64) {
        if self.pending.remove(&number).is_some() {
            self.ahead.retain(|(of, _)| *of != number);
            if self.ahead.is_empty() {
                self.ahead = HashSet::new();
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Goes on with the oldest for one step; `take` takes a message, or says that there is no room.
    /// Returns how many entries were looked at.
    pub(crate) fn step(
        &mut self,
        retained: &Retained,
        mut take: impl FnMut(Delivery) -> bool,
    ) -> usize {
        let Self { pending, ahead, hasher } = self;
        let Some(mut oldest) = pending.first_entry() else { return 0 };
        let number = *oldest.key();
        let Replay { lookup, wish } = oldest.get_mut();
        let wish = *wish;
        let step = retained.step(lookup, |message, qos| {
            let was_given =
                !ahead.is_empty() && ahead.remove(&(number, hasher.hash_one(&*message.topic)));
            was_given || take(delivery(Arc::clone(message), qos, wish))
        });
        if step.stop == Stop::Done {
            self.remove(number);
        }
        step.seen
    }

    /// A live message of this topic comes for the subscription of that replay. `Some`: its retained
    /// message goes before it.
    pub(crate) fn overtaken(
        &mut self,
        number: u64,
        (message, qos): (&Arc<Message>, Qos),
    ) -> Option<Delivery> {
        let replay = self.pending.get(&number)?;
        if !replay.lookup.is_before(&message.topic) || self.ahead.len() >= REPLAYED_AHEAD_MAX {
            return None;
        }
        let first = self.ahead.insert((number, self.hasher.hash_one(&*message.topic)));
        first.then(|| delivery(Arc::clone(message), qos, replay.wish))
    }
}

#[cfg(test)]
mod tests;
