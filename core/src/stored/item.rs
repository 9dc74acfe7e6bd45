//! A conversation in an inbox, from its columns.

use crate::entry::Entry;
use crate::ids::ConversationId;
use crate::inbox::{Item, Marks, Place};
use crate::receipt::Cursors;
use crate::store::Error;

use super::{broken, chain, conversation_kind, role, seq, tag, unsigned, user};

/// The columns of an item, and of its place in a walk.
#[derive(Debug)]
pub struct ItemColumns {
    /// See [`Item::conversation`].
    pub conversation: ConversationId,
    /// [`crate::membership::ConversationKind::code`].
    pub kind: i64,
    /// May be empty.
    pub title: String,
    /// A user id.
    pub peer: Option<String>,
    /// A count.
    pub members: i64,
    /// A place.
    pub head_seq: i64,
    /// 16 bytes.
    pub head_chain: Vec<u8>,
    /// From 1.
    pub group_version: i64,
    /// [`crate::membership::Role::code`].
    pub role: i64,
    /// From 1.
    pub tag: i64,
    /// A place.
    pub visible_seq: i64,
    /// Milliseconds since 1970.
    pub active_ms: i64,
    /// See [`Item::preview`].
    pub preview: Option<Entry>,
    /// Below 0 only where a check has something to mend: an inbox is shown all the same.
    pub unread: i64,
    /// A count.
    pub mentions: i64,
    /// A place; above the head only when the log has lost entries.
    pub delivered_seq: i64,
    /// Likewise.
    pub read_seq: i64,
    /// See [`marks`].
    pub muted_until_ms: Option<i64>,
    /// See [`Marks::archived`].
    pub archived: bool,
    /// See [`marks`].
    pub pinned_ms: Option<i64>,
    /// See [`Marks::marked_unread`].
    pub marked_unread: bool,
    /// It has not moved since the walk began.
    pub stands: bool,
}

impl ItemColumns {
    /// A cursor stands above the end of the log.
    #[must_use]
    pub fn is_ahead(&self) -> bool {
        self.delivered_seq.max(self.read_seq) > self.head_seq
    }

    /// The item, and where it stands in the walk.
    pub fn item(self) -> Result<(Item, Place), Error> {
        let stands = self.stands;
        let head_seq = seq(self.head_seq)?;
        let item = Item {
            conversation: self.conversation,
            kind: conversation_kind(self.kind)?,
            title: self.title,
            peer: self.peer.as_deref().map(user).transpose()?,
            members: u32::try_from(self.members).map_err(|_| broken("count"))?,
            head_seq,
            head_chain: chain(&self.head_chain)?,
            group_version: unsigned("group version", self.group_version)?,
            role: role(self.role)?,
            tag: tag(self.tag)?,
            visible_seq: seq(self.visible_seq)?,
            active_ms: unsigned("activity", self.active_ms)?,
            preview: self.preview,
            unread: u64::try_from(self.unread).unwrap_or(0),
            mentions: unsigned("count", self.mentions)?,
            cursors: Cursors {
                delivered: seq(self.delivered_seq)?.min(head_seq),
                read: seq(self.read_seq)?.min(head_seq),
            },
            marks: marks(self.muted_until_ms, self.archived, self.pinned_ms, self.marked_unread)?,
        };
        let place = if stands { Place::of(&item) } else { Place::moved(item.conversation) };
        Ok((item, place))
    }
}

/// A user's marks. Of a stored time the highest stands for good.
pub fn marks(
    muted_until_ms: Option<i64>,
    archived: bool,
    pinned_ms: Option<i64>,
    marked_unread: bool,
) -> Result<Marks, Error> {
    let time = |at: i64| match at {
        i64::MAX => Ok(u64::MAX),
        at => unsigned("time", at),
    };
    Ok(Marks {
        muted_until_ms: muted_until_ms.map(time).transpose()?,
        archived,
        pinned_ms: pinned_ms.map(time).transpose()?,
        marked_unread,
    })
}
