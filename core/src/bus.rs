//! The ports of the bus: who is told of what was committed.

use std::sync::Arc;

use crate::entry::Entry;
use crate::membership::{ChangeRequest, Conversation, Refused};
use crate::store::{OutboxEvent, Pending};

/// A committed entry, on its way to devices.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// The entry.
    pub entry: Arc<Entry>,
    /// The conversation's group version right after it: an older member list must be read again.
    pub group_version: u64,
}

/// Tells every bridge of committed entries (stage 6).
///
/// An announcement is a hint with the payload in it. It may be lost, repeated, or overtaken by
/// another conversation's; within one conversation and one announcer they come in sequence. A
/// listener that sees a gap reads the log.
pub trait Announce: Send + Sync + 'static {
    /// Tells of entries in the order of their commit. Returns at once.
    fn announce(&self, announcements: &[Announcement]);
}

/// Changes members and tells of it: the announcements of sends and of changes are in the log's
/// order, so no listener takes the one for a repetition of the other.
pub trait ChangeMembers: Send + Sync + 'static {
    /// As [`crate::store::Store::change_members`]; the entry is announced before it returns.
    /// Dropped before that, the change may have been made and not announced.
    fn change_members<'a>(
        &'a self,
        request: &'a ChangeRequest,
    ) -> Pending<'a, Result<(Entry, Conversation), Refused>>;
}

/// Is told of committed entries. Must not block.
pub trait Listen: Send + Sync + 'static {
    /// Entries in the order of their commit.
    fn announced(&self, announcements: &[Announcement]);
}

/// The durable events' way to those who derive state (stage 9).
///
/// At least once, in order of append; each consumer group has its own place in the stream.
pub trait Stream: Send + Sync + 'static {
    /// Appends events. `Err`: nothing is known of any of them; append again.
    fn append<'a>(&'a self, events: &'a [OutboxEvent]) -> Pending<'a, ()>;

    /// Takes at most `max` events that the group has not acknowledged, waiting until there is one.
    fn read<'a>(&'a self, group: &'a str, max: usize) -> Pending<'a, Vec<(u64, OutboxEvent)>>;

    /// Acknowledges everything up to and with the position.
    fn done<'a>(&'a self, group: &'a str, position: u64) -> Pending<'a, ()>;
}
