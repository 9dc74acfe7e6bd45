//! Walks through an inbox, page by page, that skip nothing however it moves meanwhile.
//!
//! Times do not say what a page could see: a message may have been taken in before another one and be
//! committed after it. So the cursor between two pages carries what had been committed when the walk
//! began, in the store's own numbers ([`Moment`]). What has moved since (a message, a change, a pin, the
//! archive) leaves its place and comes at the walk's end, in an order that no move changes: by id. Each
//! conversation that is there all the time is met, one that moved perhaps twice, the second time as it is
//! then.

use crate::ids::ConversationId;
use crate::limits::MOMENT_OPEN_MAX;

/// Where a conversation stands in a walk. The order: what has not moved before what has; of the former
/// pinned first, then by activity, then by id, of the latter by id alone; all falling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// It has not moved since the walk began.
    pub stands: bool,
    /// It is pinned. No, if it has moved.
    pub pinned: bool,
    /// When it was last active: milliseconds since 1970. 0, if it has moved.
    pub active_ms: u64,
    /// Which one.
    pub conversation: ConversationId,
}

impl Place {
    /// Where an item stands that has moved.
    #[must_use]
    pub const fn moved(conversation: ConversationId) -> Self {
        Self { stands: false, pinned: false, active_ms: 0, conversation }
    }
}

/// What a store had committed at a moment, by the rising numbers that it gives to what moves a
/// conversation: the transaction's on Postgres, the last entry's in the outbox on SQLite. Numbers mean
/// something within one store only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moment {
    /// No number from here on had been committed.
    pub end: u64,
    /// Of those below, these had not: rising, at most [`MOMENT_OPEN_MAX`].
    pub open: Vec<u64>,
}

impl Moment {
    /// Of all that is open, as much as a cursor carries: beyond it everything counts as not yet
    /// committed. So a conversation is rather met twice than skipped.
    #[must_use]
    pub fn new(mut end: u64, mut open: Vec<u64>) -> Self {
        open.sort_unstable();
        if let Some(first_beyond) = open.get(MOMENT_OPEN_MAX) {
            end = end.min(*first_beyond);
            open.truncate(MOMENT_OPEN_MAX);
        }
        Self { end, open }
    }
}

/// A place between two pages of a walk through an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxCursor {
    /// The last item of the page before.
    pub place: Place,
    /// When the walk began.
    pub moment: Moment,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_carries_a_bounded_number_of_open_ones() {
        let few = Moment::new(100, vec![7, 3]);
        assert_eq!(few, Moment { end: 100, open: vec![3, 7] });
        let most: Vec<u64> = (10..).take(MOMENT_OPEN_MAX).collect();
        assert_eq!(Moment::new(1000, most.clone()), Moment { end: 1000, open: most.clone() });
        // What is not carried, and what came after it, counts as not yet committed.
        let more: Vec<u64> = most.iter().copied().chain([900, 950]).rev().collect();
        assert_eq!(Moment::new(1000, more), Moment { end: 900, open: most });
    }
}
