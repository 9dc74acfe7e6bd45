//! What one device reads: its mounted subscriptions and the places where it lags. No I/O.

use std::collections::BTreeMap;

use godwit_core::cursor::Feed;
use godwit_core::ids::{ConversationId, Seq, UserId};
use godwit_core::presence::Declared;
use godwit_proto::conversation::v1 as wire;

use crate::mounted::{Full, Mounted};
use crate::stance::Stance;
use crate::topic::Target;
use crate::wish::Wish;

/// A log in which the device lags: it is read from the store, not pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lag {
    /// The next entry to read.
    pub(crate) next: Seq,
    /// The log is known to reach at least to here.
    pub(crate) target: Seq,
    /// Not read before the device comes to the foreground: it is told by head notices.
    pub(crate) held: bool,
    /// At `next` the user is no member: the log was read ahead of the announcement that cuts.
    pub(crate) away: bool,
}

/// The mutable state of a device's session.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    mounted: Mounted,
    /// Bounded by the user's conversations, times two.
    lagging: BTreeMap<(Feed, ConversationId), Lag>,
    /// Logs that were just read up to below this place: announcements of what was read may still
    /// come. Forgotten with the first one at or above it. Bounded as `lagging`.
    floors: BTreeMap<(Feed, ConversationId), Seq>,
    /// What the device is told and tells of receipts.
    pub(crate) receipts: crate::receipts::Device,
    /// Ends of typing that wait for room on `t/{cid}`.
    pub(crate) typists: crate::typing::Owed,
    /// Fates that wait for room on `a`; see `limits::FATES_MAX`.
    pub(crate) fates: Vec<wire::Fate>,
    /// What was missed before this connection is still being looked up.
    pub(crate) opening: bool,
    /// Subscriptions stand here that are still being stored: until it is known whether they hold,
    /// what is announced is not pushed, but read afterwards.
    pub(crate) storing: bool,
    /// A task reads logs for the device.
    pub(crate) pulling: bool,
    /// What the device is told beside logs.
    pub(crate) told: crate::places::Places,
    /// Deliveries with a mark that are not confirmed.
    pub(crate) unconfirmed: usize,
    /// Words on `p` that are being looked up.
    pub(crate) queries: u32,
    /// The connection has ended.
    pub(crate) closed: bool,
    /// What the device has said of itself; most say nothing.
    stance: Option<Box<Stance>>,
}

impl Feeds {
    /// No subscriptions yet. `opening`: what was missed is still to be looked up.
    pub(crate) fn new(opening: bool) -> Self {
        Self { opening, ..Self::default() }
    }

    /// What the device has said of itself, to be changed.
    pub(crate) fn stance_mut(&mut self) -> &mut Stance {
        self.stance.get_or_insert_default()
    }

    /// What the device has said of itself, if anything.
    pub(crate) fn stance(&self) -> Option<&Stance> {
        self.stance.as_deref()
    }

    /// What the device has said of itself, to be changed, if it has said anything.
    pub(crate) fn stance_said(&mut self) -> Option<&mut Stance> {
        self.stance.as_deref_mut()
    }

    /// Whether the device has said that it is not on screen.
    pub(crate) fn is_background(&self) -> bool {
        self.stance().is_some_and(|stance| stance.declared == Declared::Background)
    }

    /// Adds or replaces; `Ok(true)`: it is new. `Err`: it would be, and there are `max` already.
    pub(crate) fn put(&mut self, target: Target, wish: Wish, max: usize) -> Result<bool, Full> {
        self.mounted.put(target, wish, max)
    }

    /// How this very subscription stands; `None`: it does not.
    pub(crate) fn exact(&self, target: &Target) -> Option<Wish> {
        self.mounted.exact(target)
    }

    /// Ends a subscription; `false`: there was none.
    pub(crate) fn remove(&mut self, target: &Target) -> bool {
        if !self.mounted.remove(target) {
            return false;
        }
        if !target.feeds().is_empty() {
            let mounted = &self.mounted;
            self.lagging.retain(|(feed, id), _| mounted.wish(*feed, *id).is_some());
        }
        true
    }

    /// How the device wants an entry; `None`: not at all.
    pub(crate) fn wish(&self, feed: Feed, conversation: ConversationId) -> Option<Wish> {
        self.mounted.wish(feed, conversation)
    }

    /// How the device wants messages of one topic that is no feed (`a`, `q/sync`, `r/{cid}` ...).
    pub(crate) fn wish_topic(&self, topic: &Target) -> Option<Wish> {
        self.mounted.wish_topic(topic)
    }

    /// Whether a subscription reaches the feed at all.
    pub(crate) fn reads(&self, feed: Feed) -> bool {
        self.mounted.reads(feed)
    }

    /// Whether the device has subscribed to a user's presence by name.
    pub(crate) fn names_users(&self) -> bool {
        self.mounted.users().next().is_some()
    }

    /// The users whose presence the device has subscribed to by name.
    pub(crate) fn named_users(&self) -> Vec<UserId> {
        self.mounted.users().cloned().collect()
    }

    /// Whether an announced entry was given out already, by reading the log.
    pub(crate) fn was_read(&mut self, feed: Feed, conversation: ConversationId, seq: Seq) -> bool {
        if self.floors.is_empty() {
            return false;
        }
        match self.floors.get(&(feed, conversation)) {
            Some(floor) if seq < *floor => true,
            Some(_) => {
                self.floors.remove(&(feed, conversation));
                false
            }
            None => false,
        }
    }

    /// If the device lags in this log, notes that the log has grown.
    pub(crate) fn grow(&mut self, feed: Feed, conversation: ConversationId, seq: Seq) -> bool {
        let Some(lag) = self.lagging.get_mut(&(feed, conversation)) else { return false };
        lag.target = lag.target.max(seq);
        true
    }

    /// From here on the log is read, from `next` at the latest.
    pub(crate) fn lag(&mut self, feed: Feed, conversation: ConversationId, next: Seq, target: Seq) {
        let next = match self.floors.remove(&(feed, conversation)) {
            Some(floor) => next.max(floor),
            None => next,
        };
        let new = Lag { next, target, held: false, away: false };
        let lag = self.lagging.entry((feed, conversation)).or_insert(new);
        if next < lag.next {
            // Where announcements begin, the user was a member.
            (lag.next, lag.away) = (next, false);
        }
        lag.target = lag.target.max(target);
    }

    /// As [`Feeds::lag`], and the log is not read before [`Feeds::release`].
    pub(crate) fn hold(
        &mut self,
        feed: Feed,
        conversation: ConversationId,
        next: Seq,
        target: Seq,
    ) {
        self.lag(feed, conversation, next, target);
        if let Some(lag) = self.lagging.get_mut(&(feed, conversation)) {
            lag.held = true;
        }
    }

    /// What was held of this log may be read; `true`: it was held.
    pub(crate) fn release_one(&mut self, feed: Feed, conversation: ConversationId) -> bool {
        let lag = self.lagging.get_mut(&(feed, conversation));
        lag.is_some_and(|lag| std::mem::take(&mut lag.held))
    }

    /// What was held may be read.
    pub(crate) fn release(&mut self) {
        self.lagging.values_mut().for_each(|lag| lag.held = false);
    }

    /// The log to read next.
    pub(crate) fn first_lag(&self) -> Option<(Feed, ConversationId, Lag)> {
        if self.storing {
            return None;
        }
        let ((feed, id), lag) = self.lagging.iter().find(|(_, lag)| !lag.held)?;
        Some((*feed, *id, *lag))
    }

    /// The place in a log that is being read; `None`: the device was cut from it.
    pub(crate) fn lag_of(&self, feed: Feed, conversation: ConversationId) -> Option<Lag> {
        self.lagging.get(&(feed, conversation)).copied()
    }

    /// Everything below `next` was given out; `away`: the user is no member there. When the log is
    /// known to reach no further than `head`, the device is live again.
    pub(crate) fn advance(
        &mut self,
        feed: Feed,
        conversation: ConversationId,
        (next, away): (Seq, bool),
        head: Seq,
    ) {
        if let Some(lag) = self.lagging.get_mut(&(feed, conversation)) {
            if next > lag.next {
                (lag.next, lag.away) = (next, away);
            }
            lag.target = lag.target.max(head);
            if lag.next > lag.target {
                self.floors.insert((feed, conversation), lag.next);
                self.lagging.remove(&(feed, conversation));
            }
        }
    }

    /// The device does not want this log any more: nothing of it is left to be read.
    pub(crate) fn drop_lag(&mut self, feed: Feed, conversation: ConversationId) {
        self.lagging.remove(&(feed, conversation));
        self.floors.remove(&(feed, conversation));
    }

    /// The user was removed at this place of the log; `true`: the device had named it. Where it has
    /// been read beyond that place, it was read as what it is (see [`Lag::away`]), and is not read
    /// again when the user comes back.
    pub(crate) fn cut(&mut self, conversation: ConversationId, at: Seq) -> bool {
        self.lagging.retain(|(_, id), lag| *id != conversation || lag.next > at);
        self.floors.retain(|(_, id), floor| *id != conversation || *floor > at);
        self.typists.cut(conversation);
        if let Some(stance) = &mut self.stance {
            stance.cut(conversation);
        }
        self.mounted.cut(conversation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_core::cursor::Scope;
    use godwit_core::edge::Qos;

    const A: ConversationId = ConversationId([1; 16]);
    const B: ConversationId = ConversationId([2; 16]);

    fn put(feeds: &mut Feeds, target: Target, qos: Qos) {
        let wish = Wish { qos, no_local: false, identifier: None };
        assert_eq!(feeds.put(target, wish, 10), Ok(true));
    }

    #[test]
    fn overlapping_subscriptions_are_one_delivery() {
        let mut feeds = Feeds::default();
        put(&mut feeds, Target::Feed(Feed::Log, Scope::All), Qos::AtMostOnce);
        put(&mut feeds, Target::Feed(Feed::Log, Scope::One(A)), Qos::AtLeastOnce);
        assert_eq!(feeds.wish(Feed::Log, A).unwrap().qos, Qos::AtLeastOnce);
        assert_eq!(feeds.wish(Feed::Log, B).unwrap().qos, Qos::AtMostOnce);
        assert_eq!(feeds.wish(Feed::Plain, A), None);
        assert_eq!(feeds.wish_topic(&Target::Fates), None);
        put(&mut feeds, Target::Everything, Qos::AtMostOnce);
        assert!(feeds.wish(Feed::Plain, A).is_some() && feeds.wish_topic(&Target::Fates).is_some());
    }

    #[test]
    fn a_lag_ends_only_when_the_whole_log_was_read() {
        let mut feeds = Feeds::default();
        put(&mut feeds, Target::Feed(Feed::Log, Scope::All), Qos::AtLeastOnce);
        feeds.lag(Feed::Log, A, Seq(5), Seq(9));
        feeds.lag(Feed::Log, A, Seq(3), Seq(7));
        assert_eq!(
            feeds.lag_of(Feed::Log, A),
            Some(Lag { next: Seq(3), target: Seq(9), held: false, away: false })
        );
        // The log grows while it is read: the device stays behind.
        assert!(feeds.grow(Feed::Log, A, Seq(10)));
        feeds.advance(Feed::Log, A, (Seq(10), false), Seq(9));
        assert_eq!(
            feeds.lag_of(Feed::Log, A),
            Some(Lag { next: Seq(10), target: Seq(10), held: false, away: false })
        );
        feeds.advance(Feed::Log, A, (Seq(11), false), Seq(10));
        assert_eq!(feeds.first_lag(), None);
        assert!(!feeds.grow(Feed::Log, A, Seq(11)));
        // What was read may be announced late: it is not given out again.
        assert!(feeds.was_read(Feed::Log, A, Seq(9)) && feeds.was_read(Feed::Log, A, Seq(10)));
        assert!(!feeds.was_read(Feed::Plain, A, Seq(9)));
        assert!(!feeds.was_read(Feed::Log, A, Seq(11)) && feeds.floors.is_empty());
    }

    #[test]
    fn a_late_gap_is_not_read_twice() {
        let mut feeds = Feeds::default();
        put(&mut feeds, Target::Feed(Feed::Log, Scope::All), Qos::AtLeastOnce);
        feeds.lag(Feed::Log, A, Seq(5), Seq(9));
        feeds.advance(Feed::Log, A, (Seq(10), false), Seq(9));
        feeds.lag(Feed::Log, A, Seq(6), Seq(12));
        assert_eq!(
            feeds.lag_of(Feed::Log, A),
            Some(Lag { next: Seq(10), target: Seq(12), held: false, away: false })
        );
    }

    #[test]
    fn what_is_held_is_not_read_until_it_is_released() {
        let mut feeds = Feeds::default();
        put(&mut feeds, Target::Feed(Feed::Log, Scope::All), Qos::AtLeastOnce);
        feeds.hold(Feed::Log, A, Seq(5), Seq(5));
        feeds.lag(Feed::Log, B, Seq(1), Seq(2));
        assert_eq!(feeds.first_lag().map(|(_, id, _)| id), Some(B));
        feeds.advance(Feed::Log, B, (Seq(3), false), Seq(2));
        assert_eq!(feeds.first_lag(), None);
        // It grows, a gap is seen: still held.
        assert!(feeds.grow(Feed::Log, A, Seq(7)));
        feeds.lag(Feed::Log, A, Seq(3), Seq(9));
        assert_eq!(feeds.first_lag(), None);
        assert!(feeds.release_one(Feed::Log, A) && !feeds.release_one(Feed::Log, A));
        assert!(!feeds.release_one(Feed::Plain, A));
        feeds.hold(Feed::Log, A, Seq(8), Seq(9));
        feeds.release();
        let expected = Lag { next: Seq(3), target: Seq(9), held: false, away: false };
        assert_eq!(feeds.first_lag(), Some((Feed::Log, A, expected)));
    }

    /// The page was ahead of the announcement that cuts: what it has shown of a later stay is not
    /// shown again.
    #[test]
    fn a_cut_forgets_nothing_that_was_read_beyond_it() {
        let mut feeds = Feeds::default();
        put(&mut feeds, Target::Feed(Feed::Log, Scope::All), Qos::AtLeastOnce);
        feeds.lag(Feed::Log, A, Seq(4), Seq(9));
        feeds.advance(Feed::Log, A, (Seq(10), false), Seq(9));
        feeds.lag(Feed::Log, B, Seq(4), Seq(9));
        feeds.advance(Feed::Log, B, (Seq(6), true), Seq(9));
        assert!(!feeds.cut(A, Seq(5)) && !feeds.cut(B, Seq(5)));
        assert!(feeds.was_read(Feed::Log, A, Seq(9)) && !feeds.was_read(Feed::Log, A, Seq(10)));
        assert!(feeds.lag_of(Feed::Log, B).unwrap().away);
        assert!(!feeds.cut(B, Seq(6)));
        assert_eq!(feeds.lag_of(Feed::Log, B), None);
    }

    #[test]
    fn a_cut_leaves_nothing_behind() {
        let mut feeds = Feeds::default();
        feeds.stance_mut().open.extend([A, B]);
        put(&mut feeds, Target::Feed(Feed::Plain, Scope::One(A)), Qos::AtLeastOnce);
        put(&mut feeds, Target::Feed(Feed::Log, Scope::All), Qos::AtLeastOnce);
        feeds.lag(Feed::Plain, A, Seq(1), Seq(2));
        feeds.lag(Feed::Log, A, Seq(1), Seq(2));
        feeds.lag(Feed::Log, B, Seq(1), Seq(2));
        assert!(feeds.cut(A, Seq(2)));
        assert_eq!(feeds.stance().unwrap().open, [B]);
        assert_eq!(feeds.wish(Feed::Plain, A), None);
        assert_eq!(feeds.first_lag().map(|(_, id, _)| id), Some(B));
    }
}
