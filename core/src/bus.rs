//! The ports of the bus: who is told of what was committed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::change::{ChangeRequest, Refused};
use crate::commit::Act;
use crate::edge::Outcome;
use crate::entry::Entry;
use crate::ids::{ConversationId, DeviceId, Identity, MessageId, UserId};
use crate::membership::{Conversation, NewConversation};
use crate::notice::Telling;
use crate::receipt::Cursors;
use crate::store::{OutboxEvent, Pending};

/// A committed entry, on its way to devices.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// The entry.
    pub entry: Arc<Entry>,
    /// The conversation's group version right after it: an older member list must be read again.
    pub group_version: u64,
}

/// Something that passes: it is told to whoever is connected, kept nowhere, and may be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A user has got further in a conversation.
    Receipt {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// How far.
        cursors: Cursors,
        /// The user lets others see `read`.
        share_reads: bool,
    },
    /// A user types in a conversation, or does no more.
    Typing {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// See [`crate::membership::Member::tag`]: the end is told of one who is no member any more.
        tag: u32,
        /// Typing.
        active: bool,
    },
    /// A user's presence has changed.
    Presence {
        /// Who.
        user: UserId,
        /// How.
        presence: Presence,
    },
    /// Something was revoked, or let in again: whoever judges tokens reads the numbered revocations of
    /// the store now, and not only when their turn has come.
    Revoked,
    /// A user's devices are told of something; kept sessions find it in the store too.
    Told(Telling),
    /// A user's settings or blocks have changed: whoever remembers them forgets them.
    UserChanged {
        /// Who.
        user: UserId,
    },
}

/// Whether a user is there, as others may know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The user does not share it.
    Hidden,
    /// A device is connected and in the foreground (or says nothing about it).
    Online,
    /// Devices are connected, all of them away or in the background.
    Away,
    /// No device is connected.
    Offline {
        /// Since when: milliseconds since 1970; `None`: never seen.
        last_seen_ms: Option<u64>,
    },
}

/// A message that the control plane sends for a device.
#[derive(Debug, Clone)]
pub struct Post {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub from: Identity,
    /// Sent again with the same key it is the same message.
    pub key: MessageId,
    /// What is done.
    pub act: Act,
    /// Opaque.
    pub body: Bytes,
    /// Refused when the group version is another.
    pub group_version: Option<u64>,
    /// Seconds after which the body goes.
    pub expiry_s: Option<u32>,
    /// It marks the conversation read up to itself.
    pub reads: bool,
}

/// Tells every bridge of committed entries (stage 6) and of what passes.
///
/// An announcement is speed, nothing else: a hint with the payload in it. Any of them may be lost,
/// repeated, or overtaken; the [`Stream`] tells of the same entries, and what it tells of first is
/// read from the log.
pub trait Announce: Send + Sync + 'static {
    /// Tells of entries in the order of their commit. Returns at once.
    fn announce(&self, announcements: &[Announcement]);

    /// Tells of what passes. Returns at once.
    fn signal(&self, signals: &[Signal]);
}

/// What the control plane (REST) asks of the roles; implemented by the bridge, which serves
/// the same on `q/groups`.
pub trait Control: Send + Sync + 'static {
    /// As [`crate::store::Store::create`]. `Forbidden`: a member named blocks `creator`.
    fn create<'a>(
        &'a self,
        new: &'a NewConversation,
        creator: Option<&'a UserId>,
    ) -> Pending<'a, Result<Conversation, Refused>>;

    /// As [`crate::store::Store::change`] (and `Forbidden` when a user to be added blocks the
    /// actor); the entry is announced before it returns: announcements
    /// of sends and of changes are in the log's order, so no listener takes the one for a
    /// repetition of the other. No entry: whoever was to be added was invited ([`crate::offer`]), or is
    /// a member already. Dropped before that, the change may have been made and not
    /// announced.
    fn change<'a>(
        &'a self,
        request: &'a ChangeRequest,
    ) -> Pending<'a, Result<(Option<Entry>, Conversation), Refused>>;

    /// Tells the other devices of a user what one has set: those that are connected at once, kept
    /// sessions on their return too.
    fn tell(&self, telling: Telling) -> Pending<'_, ()>;

    /// Sends as a device does on `s/{cid}` (MQTT 5): the same rates, the same commit. Answers what its
    /// PUBACK would say; an answer that is withheld means that nothing is known, and that the same post
    /// may be sent again.
    fn send(&self, post: Post) -> crate::edge::Task<'_, Outcome>;

    /// Moves the user's cursors as a device's report would, and tells others.
    fn report<'a>(
        &'a self,
        report: &'a crate::receipt::Report,
    ) -> Pending<'a, crate::receipt::Verdict>;

    /// How commits fare, for /readyz.
    fn commits(&self) -> Commits;
}

/// How commits fare: what their outcomes say of the store, without asking it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Commits {
    /// For so long the oldest commit under way has not moved.
    pub under_way: Option<Duration>,
    /// For so long they have failed, since the last success; `None`: the last one succeeded.
    pub failing: Option<Duration>,
    /// So long ago the last one failed, while [`Commits::failing`].
    pub last_failure: Option<Duration>,
    /// So long ago the last one succeeded.
    pub last_success: Option<Duration>,
}

/// Ends what a revoked device, or all devices of a user, have at a role of this process. Must not
/// block. Called after whoever judges tokens knows of it, so who is cut is not let in again.
pub trait Cut: Send + Sync + 'static {
    /// Cuts. `device`: which; `None`: all of the user's.
    fn cut(&self, user: &UserId, device: Option<&DeviceId>);
}

/// Is told of committed entries. Must not block.
pub trait Listen: Send + Sync + 'static {
    /// Entries in the order of their commit.
    fn announced(&self, announcements: &[Announcement]);

    /// What passes.
    fn signalled(&self, signals: &[Signal]);
}

/// The durable events' way to those who derive state (stage 9), and to every bridge: of an entry
/// that is in the log it hears at the latest by its event.
///
/// At least once, in order of append; each consumer group has its own place in the stream. Within
/// one conversation that is the log's order: an event is drawn under the lock of the conversation's
/// head, and whoever relays takes the oldest that stand in the outbox, never "those above the last".
pub trait Stream: Send + Sync + 'static {
    /// From now on every event is kept for the group; answers the position after which that is so.
    /// Joining again changes nothing.
    fn join<'a>(&'a self, group: &'a str) -> Pending<'a, u64>;

    /// The position of the newest event that was ever appended; 0: none was.
    fn end(&self) -> Pending<'_, u64>;

    /// Appends events. `Err`: nothing is known of any of them; append again.
    fn append<'a>(&'a self, events: &'a [OutboxEvent]) -> Pending<'a, ()>;

    /// Takes at most `max` events that the group has not acknowledged, waiting until there is one.
    fn read<'a>(&'a self, group: &'a str, max: usize) -> Pending<'a, Vec<(u64, OutboxEvent)>>;

    /// Acknowledges everything up to and with the position.
    fn done<'a>(&'a self, group: &'a str, position: u64) -> Pending<'a, ()>;
}
