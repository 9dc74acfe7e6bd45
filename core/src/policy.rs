//! Who may do what in a conversation, and for how long.
//!
//! | | owner | admin | member | read-only |
//! |---|---|---|---|---|
//! | send, react, edit and delete one's own | yes | yes | yes | no |
//! | pin (in a direct conversation: both) | yes | yes | no | no |
//! | delete another's message in a group | yes | yes | no | no |
//! | title, description, history, disappearing messages | yes | yes | no | no |
//! | add members; remove members and read-only ones; switch between these two roles | yes | yes | no | no |
//! | remove and name admins and owners, transfer the ownership | yes | no | no | no |
//! | read, leave | yes | yes | yes | yes |

use crate::membership::{ConversationKind, Role};

/// Why a member may not act in a direct conversation whose other member has blocked it. It does not
/// say that: a block is the blocker's own business.
pub const NOT_HERE: &str = "you may not send here";

/// What the operator sets; `config/default.toml`, section `policy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Milliseconds after which a message cannot be edited any more.
    pub edit_window_ms: u64,
    /// Milliseconds after which its sender cannot delete a message for all any more. Owners and
    /// admins of a group may at any time.
    pub delete_window_ms: u64,
}

impl Default for Policy {
    /// Edits for 24 hours, deletions for 48.
    fn default() -> Self {
        const HOUR_MS: u64 = 3_600_000;
        Self { edit_window_ms: 24 * HOUR_MS, delete_window_ms: 48 * HOUR_MS }
    }
}

impl Role {
    /// Sends, reacts, edits and deletes its own messages.
    #[must_use]
    pub const fn may_send(self) -> bool {
        !matches!(self, Self::ReadOnly)
    }

    /// Owner or admin.
    #[must_use]
    pub const fn may_manage(self) -> bool {
        matches!(self, Self::Owner | Self::Admin)
    }

    /// Pins and unpins messages.
    #[must_use]
    pub fn may_pin(self, kind: ConversationKind) -> bool {
        self.may_manage() || (kind == ConversationKind::Direct && self.may_send())
    }

    /// Deletes another's message for all.
    #[must_use]
    pub fn may_delete_others(self, kind: ConversationKind) -> bool {
        self.may_manage() && kind == ConversationKind::Group
    }

    /// Removes a member of role `other`, or gives it another role.
    #[must_use]
    pub const fn may_manage_role(self, other: Self) -> bool {
        match self {
            Self::Owner => true,
            Self::Admin => matches!(other, Self::Member | Self::ReadOnly),
            Self::Member | Self::ReadOnly => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConversationKind::{Direct, Group};
    use Role::{Admin, Member, Owner, ReadOnly};

    #[test]
    fn the_table_above() {
        // role, sends, manages, pins in a group, pins in a direct one, deletes others'
        let table = [
            (Owner, true, true, true, true, true),
            (Admin, true, true, true, true, true),
            (Member, true, false, false, true, false),
            (ReadOnly, false, false, false, false, false),
        ];
        for (role, sends, manages, pins, pins_direct, deletes) in table {
            assert_eq!(role.may_send(), sends, "{role:?}");
            assert_eq!(role.may_manage(), manages, "{role:?}");
            assert_eq!(role.may_pin(Group), pins, "{role:?}");
            assert_eq!(role.may_pin(Direct), pins_direct, "{role:?}");
            assert_eq!(role.may_delete_others(Group), deletes, "{role:?}");
            assert!(!role.may_delete_others(Direct), "{role:?}");
        }
        for other in [Owner, Admin, Member, ReadOnly] {
            assert!(Owner.may_manage_role(other));
            assert_eq!(Admin.may_manage_role(other), matches!(other, Member | ReadOnly));
            assert!(!Member.may_manage_role(other) && !ReadOnly.may_manage_role(other));
        }
    }
}
