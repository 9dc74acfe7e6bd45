//! Ends of typing that wait for room.

use godwit_core::ids::ConversationId;

use crate::limits;

/// Ends of typing for which a device has had no room. Most devices never have one.
#[derive(Debug, Default)]
pub(crate) struct Owed(Vec<(ConversationId, u32)>);

impl Owed {
    /// A word was sent, or found no room.
    pub(crate) fn told(
        &mut self,
        conversation: ConversationId,
        tag: u32,
        active: bool,
        sent: bool,
    ) {
        if !self.0.is_empty() {
            // The later word counts.
            self.0.retain(|owed| *owed != (conversation, tag));
        }
        if !active && !sent {
            if self.0.len() >= limits::STOPS_OWED_MAX {
                self.0.remove(0);
            }
            self.0.push((conversation, tag));
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The oldest.
    pub(crate) fn first(&self) -> Option<(ConversationId, u32)> {
        self.0.first().copied()
    }

    /// The oldest was told, or is wanted no more.
    pub(crate) fn remove_first(&mut self) {
        self.0.remove(0);
    }

    /// The user is no member there any more.
    pub(crate) fn cut(&mut self, conversation: ConversationId) {
        self.0.retain(|(id, _)| *id != conversation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_owed_each_once_and_not_without_bound() {
        let cid = |n: u8| ConversationId([n; 16]);
        let mut owed = Owed::default();
        owed.told(cid(1), 1, false, true);
        owed.told(cid(1), 1, true, false);
        assert!(owed.is_empty(), "a START may be lost: others come");
        owed.told(cid(1), 1, false, false);
        owed.told(cid(1), 1, false, false);
        owed.told(cid(2), 1, false, false);
        assert_eq!(owed.0, [(cid(1), 1), (cid(2), 1)]);
        owed.told(cid(1), 1, true, true);
        owed.cut(cid(2));
        assert!(owed.is_empty());
        for n in 0..=255 {
            owed.told(cid(n), 1, false, false);
        }
        assert_eq!((owed.0.len(), owed.0.last()), (limits::STOPS_OWED_MAX, Some(&(cid(255), 1))));
    }
}
