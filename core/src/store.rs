//! The port to the message store: domain operations, no generic CRUD.
//!
//! Two adapters implement it, `store/sqlite` and `store/postgres`; both pass
//! `conformance::store`. Every operation (but [`Store::prune`]) is one transaction: it happened whole
//! and is durable when `Ok` is returned, or it did not happen. (What only costs a repetition, as
//! cursors, events done and times last seen, may be lost with the machine's power.) After [`Error::Unavailable`] a commit may have happened
//! (the answer was lost); all operations are safe to repeat with the same arguments. Dropping a
//! future leaves its operation either done whole or not at all.

use std::fmt;

use crate::change::{ChangeRequest, Refused};
use crate::commit::{Committed, Send as SendRequest};
use crate::cursor::{Behind, Feed, Move, Opened, Opening, SubscriptionChange};
use crate::entry::Entry;
use crate::ids::{ConversationId, Identity, Seq, UserId};
use crate::inbox::Inboxes;
use crate::membership::{Conversation, Left, Member, NewConversation, Stay};
use crate::notice::{Notice, Telling};
use crate::offer::Offer;
use crate::people::People;
use crate::policy::{Invited, Policy, Strangers};

pub use crate::port::{Error, Pending, Source};

/// How a database's schema stands to the migrations that this program brings along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaState {
    /// The newest migration that the database has; 0: none.
    pub applied: i64,
    /// The newest migration that this program knows.
    pub known: i64,
    /// How many known migrations the database lacks.
    pub pending: usize,
    /// The database has a migration that this program does not know: it must not be served.
    pub newer_than_us: bool,
}

impl SchemaState {
    /// Compares the versions that the database has with those that this program knows.
    #[must_use]
    pub fn compare(applied: &[i64], known: &[i64]) -> Self {
        Self {
            applied: applied.iter().copied().max().unwrap_or_default(),
            known: known.iter().copied().max().unwrap_or_default(),
            pending: known.iter().filter(|version| !applied.contains(version)).count(),
            newer_than_us: applied.iter().any(|version| !known.contains(version)),
        }
    }

    /// Whether this program may serve from the database as it is.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.pending == 0 && !self.newer_than_us
    }
}

impl fmt::Display for SchemaState {
    /// One line for a person, with the way out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { applied, known, pending, newer_than_us } = self;
        if *newer_than_us {
            return write!(
                f,
                "the database's schema is at version {applied}, newer than this godwit, which \
                 knows version {known}: run the newer godwit"
            );
        }
        match pending {
            0 => write!(f, "the database's schema is at version {applied}, up to date"),
            _ => write!(
                f,
                "the database's schema is at version {applied} of {known}, {pending} to apply: \
                 run `godwit migrate up`"
            ),
        }
    }
}

/// Which part of a log: the entries above `after` and below `before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Above this place.
    pub after: Seq,
    /// Below this place; `None`: up to the head.
    pub before: Option<Seq>,
    /// From the end of the range, not from its begin.
    pub newest_first: bool,
}

impl Range {
    /// Everything above a place, oldest first.
    #[must_use]
    pub const fn above(after: Seq) -> Self {
        Self { after, before: None, newest_first: false }
    }
}

/// A page of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Without a gap from the range's begin, rising; or, newest first, from its end, falling.
    pub entries: Vec<Entry>,
    /// The log's head when the page was read.
    pub head_seq: Seq,
}

/// A durable event, for what is derived (stage 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxEvent {
    /// Its place in the outbox, rising; for [`Store::outbox_done`].
    pub id: i64,
    /// The conversation that got an entry.
    pub conversation: ConversationId,
    /// The entry's place.
    pub seq: Seq,
}

/// Who serves from a store: the holder of its lease.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// Drawn once by each process.
    pub owner: String,
    /// For people: program, process, machine. Empty: nobody was there yet.
    pub name: String,
    /// Milliseconds since 1970 when it was written last that the holder lives.
    pub heartbeat_ms: u64,
}

/// What [`Store::prune`] shall remove.
#[derive(Debug, Clone, Copy)]
pub struct Prune {
    /// Milliseconds since 1970: now.
    pub now_ms: u64,
    /// Bodies of entries older than this are removed; `None`: kept forever.
    pub bodies_before_ms: Option<u64>,
    /// At most so many rows of each kind in one call, and in one transaction.
    pub rows_max: u32,
}

/// What [`Store::prune`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Bodies emptied; their entries stay as tombstones, so sequence and chain stay whole.
    pub bodies: u64,
    /// Kept sessions that had expired, with their subscriptions and cursors.
    pub sessions: u64,
    /// Idempotency keys that were old enough.
    pub keys: u64,
    /// More sessions are due: they were left for the next call, because these had many cursors.
    pub more: bool,
}

/// The message store: conversations and sessions here, [`Inboxes`] and [`People`] beside.
pub trait Store: Inboxes + People {
    /// Commits a batch: one transaction for idempotency, membership, group version, sequence,
    /// entries, erased bodies, mentions and outbox, decided by [`crate::commit::plan`]. Durable
    /// (fsynced) when it returns. At most [`crate::limits::BATCH_SENDS_MAX`] sends.
    fn commit<'a>(&'a self, batch: &'a [SendRequest], policy: &'a Policy)
    -> Pending<'a, Committed>;

    /// Creates a conversation with group version 1; its log begins with the entry that tells of it,
    /// if `founding` is named. Repeating it with the same id changes nothing. Between two users there
    /// is one direct conversation: creating it again, also at the same time, answers the first one,
    /// under its own id. In a direct one a member is [`crate::membership::Member::blocked`] whom the
    /// other blocks.
    fn create<'a>(&'a self, new: &'a NewConversation) -> Pending<'a, Conversation>;

    /// The direct conversation of two users, in any order, or of one with oneself.
    fn direct<'a>(
        &'a self,
        one: &'a UserId,
        other: &'a UserId,
    ) -> Pending<'a, Option<ConversationId>>;

    /// Changes members, roles or details, decided by [`crate::change::decide`] under the
    /// conversation's lock; appends the entry that tells of it. A removed member sees nothing from
    /// that entry on; its cursors, marks and mentions in this conversation are forgotten. Whoever is removed or gets
    /// another role is told so ([`crate::notice::What`]).
    fn change<'a>(
        &'a self,
        request: &'a ChangeRequest,
    ) -> Pending<'a, Result<(Entry, Conversation), Refused>>;

    /// All stays of users in a conversation, also those that are over, ordered by the place where
    /// they joined and by user; above (`after`), at most `limit`.
    fn stays<'a>(
        &'a self,
        id: ConversationId,
        after: Option<(Seq, UserId)>,
        limit: u32,
    ) -> Pending<'a, Vec<Stay>>;

    /// The conversations that the user has left after `since_ms` and is not back in, the latest first.
    /// At most `limit` ends of stays are looked at. A stay that an older version ended is not told.
    fn left<'a>(&'a self, user: &'a UserId, since_ms: u64, limit: u32) -> Pending<'a, Vec<Left>>;

    /// The conversation with its present members; `None`: there is none.
    fn conversation(&self, id: ConversationId) -> Pending<'_, Option<Conversation>>;

    /// The user as a present member. `None`: no member, or no such conversation. One row is read,
    /// whatever the conversation's size: a stranger's question is as cheap as a member's.
    fn member<'a>(&'a self, id: ConversationId, user: &'a UserId) -> Pending<'a, Option<Member>>;

    /// Which of `among` are present members of a conversation in which the user is one, ordered.
    fn acquainted<'a>(&'a self, user: &'a UserId, among: &'a [UserId]) -> Pending<'a, Vec<UserId>>;

    /// The user's conversations, ordered by id, above `after`, without their members.
    fn conversations_of<'a>(
        &'a self,
        user: &'a UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Pending<'a, Vec<Conversation>>;

    /// Entries of a range: at most `limit`, and at most `bytes_max` of bodies but always one if
    /// there is one. `None`: no such conversation.
    fn read_log(
        &self,
        id: ConversationId,
        range: Range,
        limit: u32,
        bytes_max: usize,
    ) -> Pending<'_, Option<Page>>;

    /// Opens the sessions of a batch of connecting devices: forgets those that are `clean` or
    /// expired, keeps those with an expiry, answers in order. A device twice in one batch is
    /// answered in order too.
    fn open_sessions<'a>(&'a self, batch: &'a [Opening]) -> Pending<'a, Vec<Opened>>;

    /// Notes the end of connections: each session expires `expiry_s` after `time_ms`; 0 forgets it
    /// with its subscriptions and cursors. (`clean` is not looked at.)
    fn close_sessions<'a>(&'a self, batch: &'a [Opening]) -> Pending<'a, ()>;

    /// Changes the subscriptions of a kept session; see [`SubscriptionChange`].
    fn change_subscriptions<'a>(
        &'a self,
        device: &'a Identity,
        change: &'a SubscriptionChange,
    ) -> Pending<'a, ()>;

    /// The conversations (of which the device's user is a member) whose head is above the device's
    /// cursor of `feed`; without a cursor, above the place where the user joined. Ordered by id,
    /// above `after`.
    fn behind<'a>(
        &'a self,
        device: &'a Identity,
        feed: Feed,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Pending<'a, Vec<Behind>>;

    /// Moves cursors of kept sessions forward; never back. A device twice in a batch: the highest
    /// counts. Moves of users that are no members any more are ignored.
    fn move_cursors<'a>(&'a self, moves: &'a [Move]) -> Pending<'a, ()>;

    /// Asks users into a conversation in the name of a user, decided by [`Strangers::judge`]; those who
    /// do not know the user are noted for a day. Asked again, nobody counts twice.
    fn invite<'a>(
        &'a self,
        user: &'a UserId,
        others: &'a [UserId],
        strangers: &'a Strangers,
        time_ms: u64,
    ) -> Pending<'a, Invited>;

    /// Notes that users are invited: of a user and a conversation the latest, of a user at most
    /// [`crate::limits::OFFERS_MAX`], of which the oldest go.
    fn offer<'a>(&'a self, offers: &'a [Offer]) -> Pending<'a, ()>;

    /// The invitations of a user after `since_ms`, the latest first.
    fn offers<'a>(&'a self, user: &'a UserId, since_ms: u64) -> Pending<'a, Vec<Offer>>;

    /// Forgets an invitation.
    fn take_offer<'a>(&'a self, user: &'a UserId, conversation: ConversationId) -> Pending<'a, ()>;

    /// Notes what users' devices are to be told, for those of whom a kept session listens that has
    /// not done it itself. Repeated, it is told again.
    fn tell<'a>(&'a self, tellings: &'a [Telling]) -> Pending<'a, ()>;

    /// What a kept session has to be told on a feed that is no log: above `after`, and above its
    /// cursor in any case, in order, at most `limit`. `None`: it has no cursor of that feed.
    fn notices<'a>(
        &'a self,
        device: &'a Identity,
        feed: Feed,
        after: Option<Seq>,
        limit: u32,
    ) -> Pending<'a, Option<Vec<Notice>>>;

    /// The oldest events of the outbox, in order, at most `limit`. They stay until done; two
    /// relays may be given the same ones, so consumers are idempotent.
    fn outbox(&self, limit: u32) -> Pending<'_, Vec<OutboxEvent>>;

    /// Forgets events that the stream has taken. Unknown ids are ignored.
    fn outbox_done<'a>(&'a self, ids: &'a [i64]) -> Pending<'a, ()>;

    /// Removes what is due, in small steps, each a transaction of its own that stands behind
    /// commits. What was removed before an error stays removed.
    fn prune(&self, prune: Prune) -> Pending<'_, Pruned>;

    /// Whether the store answers who reads.
    fn ping(&self) -> Pending<'_, ()>;

    /// Whether a commit would be taken: asks whoever writes, tries what a commit does (undone
    /// again), and flushes one small write. For /readyz.
    fn probe(&self) -> Pending<'_, ()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_current_old_or_newer() {
        type Row<'a> = (&'a [i64], &'a [i64], bool, &'a str);
        let table: &[Row<'_>] = &[
            (&[1, 2], &[1, 2], true, "at version 2, up to date"),
            (&[], &[1, 2], false, "version 0 of 2, 2 to apply: run `godwit migrate up`"),
            (&[1], &[1, 2], false, "version 1 of 2, 1 to apply"),
            (&[1, 2, 3], &[1, 2], false, "version 3, newer than this godwit"),
            (&[1, 3], &[1, 2], false, "newer than this godwit"),
        ];
        for (applied, known, current, text) in table {
            let state = SchemaState::compare(applied, known);
            assert_eq!(state.is_current(), *current, "{state}");
            assert!(state.to_string().contains(text), "{state}");
        }
    }
}
