//! The port to a user's inbox: conversations by latest activity, and how far the user has got.
//!
//! Nothing in it is counted up: unread is a subtraction. [`Entry::number`] says how many messages
//! a log holds up to a place; what lies between the head's and the read cursor's is unread, less
//! the user's own messages there and those that nobody can read any more (deleted, expired, aged).

use crate::entry::Entry;
use crate::ids::{ConversationId, Seq, UserId};
use crate::limits::INBOX_PAGE_MAX;
use crate::membership::{ConversationKind, Role};
use crate::port::Pending;
use crate::receipt::{Cursors, Receipt, Report, Verdict};

mod walk;

pub use walk::{InboxCursor, Moment, Place};

/// A user's own state of one conversation, seen by nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// No notifications until then: milliseconds since 1970; `u64::MAX`: for good.
    pub muted_until_ms: Option<u64>,
    /// Not shown among the others. Stays so when a message comes.
    pub archived: bool,
    /// Shown on top since then: milliseconds since 1970.
    pub pinned_ms: Option<u64>,
    /// Shown as unread until it is read again.
    pub marked_unread: bool,
}

/// New marks; `None`: as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MarksChange {
    /// `Some(None)`: not muted any more.
    pub muted_until_ms: Option<Option<u64>>,
    /// See [`Marks::archived`].
    pub archived: Option<bool>,
    /// `Some(None)`: not pinned any more.
    pub pinned_ms: Option<Option<u64>>,
    /// See [`Marks::marked_unread`].
    pub marked_unread: Option<bool>,
}

impl MarksChange {
    /// The marks after it.
    #[must_use]
    pub fn apply(&self, marks: Marks) -> Marks {
        Marks {
            muted_until_ms: self.muted_until_ms.unwrap_or(marks.muted_until_ms),
            archived: self.archived.unwrap_or(marks.archived),
            pinned_ms: self.pinned_ms.unwrap_or(marks.pinned_ms),
            marked_unread: self.marked_unread.unwrap_or(marks.marked_unread),
        }
    }
}

/// A conversation in a user's inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The conversation.
    pub conversation: ConversationId,
    /// Direct or group.
    pub kind: ConversationKind,
    /// Empty for a direct one.
    pub title: String,
    /// The other member of a direct one.
    pub peer: Option<UserId>,
    /// Present members.
    pub members: u32,
    /// The last place of the log.
    pub head_seq: Seq,
    /// The chain there.
    pub head_chain: crate::entry::ChainHash,
    /// See [`crate::membership::Conversation::group_version`].
    pub group_version: u64,
    /// The user's role.
    pub role: Role,
    /// The user's tag.
    pub tag: u32,
    /// Entries above this place are the user's to see.
    pub visible_seq: Seq,
    /// When it was last active: milliseconds since 1970.
    pub active_ms: u64,
    /// The last entry that an inbox shows, if the user may see it. An edited message has the body
    /// of its last edit; a deleted one has none.
    pub preview: Option<Entry>,
    /// Messages of others above the read cursor (or, without one, above the join) that can be read.
    pub unread: u64,
    /// How many of the unread mention the user; counted up to [`crate::limits::MENTIONS_COUNTED_MAX`].
    pub mentions: u64,
    /// How far the user has got.
    pub cursors: Cursors,
    /// The user's marks.
    pub marks: Marks,
}

impl Place {
    /// Where an item stands on a walk's first page.
    #[must_use]
    pub fn of(item: &Item) -> Self {
        let (pinned, active_ms) = (item.marks.pinned_ms.is_some(), item.active_ms);
        Self { stands: true, pinned, active_ms, conversation: item.conversation }
    }
}

/// A page of an inbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InboxPage {
    /// In the order of [`Place`].
    pub items: Vec<Item>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<InboxCursor>,
}

impl InboxPage {
    /// The page of what a store has read for a query at the moment `now`: items, and where they stand in
    /// the walk.
    #[must_use]
    pub fn of(query: &InboxQuery, rows: Vec<(Item, Place)>, now: Moment) -> Self {
        let full = query.only.is_none() && query.limit > 0 && rows.len() >= query.rows() as usize;
        let last = rows.last().filter(|_| full).map(|(_, place)| *place);
        let next = last.map(|place| {
            let moment = query.after.as_ref().map_or(now, |after| after.moment.clone());
            InboxCursor { place, moment }
        });
        Self { items: rows.into_iter().map(|(item, _)| item).collect(), next }
    }
}

/// Which conversations of an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shelf {
    /// Those that are not archived.
    #[default]
    Open,
    /// Those that are.
    Archived,
    /// Both.
    All,
}

/// Which page of an inbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InboxQuery {
    /// Which conversations.
    pub shelf: Shelf,
    /// The page after this place; `None`: the first.
    pub after: Option<InboxCursor>,
    /// Only this conversation; the other fields are not looked at.
    pub only: Option<ConversationId>,
    /// At most so many, and never more than [`crate::limits::INBOX_PAGE_MAX`].
    pub limit: u32,
    /// Milliseconds since 1970: what has expired until then is not unread.
    pub now_ms: u64,
}

impl InboxQuery {
    /// How many items a page has at most.
    #[must_use]
    pub fn rows(&self) -> u32 {
        if self.only.is_some() { 1 } else { self.limit.min(INBOX_PAGE_MAX) }
    }

    /// The shelf, as a column says it: archived or not; `None`: both.
    #[must_use]
    pub fn archived(&self) -> Option<bool> {
        match (self.only, self.shelf) {
            (Some(_), _) | (None, Shelf::All) => None,
            (None, Shelf::Open) => Some(false),
            (None, Shelf::Archived) => Some(true),
        }
    }

    /// The place after which the page begins; one conversation has none.
    #[must_use]
    pub fn begin(&self) -> Option<&InboxCursor> {
        self.after.as_ref().filter(|_| self.only.is_none())
    }
}

/// What is unread in all, of what is not archived: the newest [`crate::limits::BADGE_SCAN_MAX`]
/// conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Badge {
    /// Messages, in conversations that are not muted.
    pub unread: u64,
    /// Mentions, in muted ones too.
    pub mentions: u64,
    /// Conversations that are not muted with something unread, or marked so.
    pub conversations: u64,
}

/// Something that was stored otherwise than the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub conversation: ConversationId,
    /// Whose; `None`: the conversation's own.
    pub user: Option<UserId>,
    /// Which value: `number`, `active_seq`, `active_ms`, `mentions`, `read_seq`, `delivered_seq`.
    pub field: &'static str,
    /// As stored.
    pub stored: String,
    /// As the log says.
    pub computed: String,
}

/// A part of a check.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// How many conversations were looked at.
    pub conversations: u64,
    /// What differed.
    pub differences: Vec<Difference>,
    /// Go on after this one; `None`: it was the last.
    pub next: Option<ConversationId>,
}

/// Inboxes and receipts. A part of the store; atomic and durable as all of it.
pub trait Inboxes: Send + Sync + 'static {
    /// A page of the user's inbox, in the order of [`Place`]. Cursors of the user that stand above the
    /// end of their logs are taken back to it when they are met.
    fn inbox<'a>(&'a self, user: &'a UserId, query: &'a InboxQuery) -> Pending<'a, InboxPage>;

    /// What is unread in all at `now_ms` (milliseconds since 1970).
    fn badge<'a>(&'a self, user: &'a UserId, now_ms: u64) -> Pending<'a, Badge>;

    /// Changes a user's marks; the marks after it. `None`: no member of the conversation.
    fn change_marks<'a>(
        &'a self,
        user: &'a UserId,
        conversation: ConversationId,
        change: &'a MarksChange,
    ) -> Pending<'a, Option<Marks>>;

    /// Moves users' cursors, decided by [`crate::receipt::plan`]. One verdict each, in order.
    fn report<'a>(&'a self, reports: &'a [Report]) -> Pending<'a, Vec<Verdict>>;

    /// Where the present members' cursors stand, ordered by user; those at 0 are left out.
    fn receipts(&self, conversation: ConversationId) -> Pending<'_, Vec<Receipt>>;

    /// The messages that are pinned, the last pinned first, at most `limit`: the entries of the pins
    /// (not of the messages), whose `target` is a message that is not gone.
    fn pins(&self, conversation: ConversationId, limit: u32) -> Pending<'_, Vec<Entry>>;

    /// Compares what is stored beside the log with the log, for conversations above `after`, at
    /// most `limit`, and (with `repair`) mends it in the same transaction. Looks at
    /// [`crate::membership::Conversation`]'s `number`, `active_seq` and `active_ms`, each entry's
    /// `number`, who is mentioned where, and cursors beyond the head.
    fn check_inboxes(
        &self,
        after: Option<ConversationId>,
        limit: u32,
        repair: bool,
    ) -> Pending<'_, Checked>;
}
