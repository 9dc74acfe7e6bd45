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

use std::collections::BTreeSet;

use crate::ids::UserId;
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
    /// Whom users may ask into conversations.
    pub strangers: Strangers,
}

/// Whom users may ask into conversations who do not know them: those who have never said or made
/// anything in a direct conversation of the two. Operators may ask whom they like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strangers {
    /// Into groups only those who know the user.
    pub contacts_only: bool,
    /// Into groups nobody without an own yes: who is added is invited ([`crate::offer`]).
    pub by_invitation: bool,
    /// Strangers whom one user may ask within a day, into groups and direct conversations, as long
    /// as they have not answered. 0: no bound.
    pub per_day: u32,
    /// Members of a group that users make and fill; larger ones are the operators'.
    pub group_members_max: usize,
}

impl Default for Strangers {
    /// Anyone, 250 a day, groups up to 256 members: more than a person's address book sees in a day,
    /// and far from a crowd. At most 250 rows of about 100 bytes for a user and day.
    fn default() -> Self {
        Self { contacts_only: false, by_invitation: false, per_day: 250, group_members_max: 256 }
    }
}

/// How long an invitation counts, in milliseconds: a day.
pub const INVITED_MS: u64 = 24 * 3_600_000;

/// Whether users may be asked into a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invited {
    /// They may; those among them who do not know the user are noted, and stand here.
    Yes(Vec<UserId>),
    /// One of them does not know the user, and must.
    Stranger,
    /// Too many of today do not know the user.
    TooMany,
}

impl Strangers {
    /// Decides about `others`; `unknown`: who of these, and of those asked within a day, does not know
    /// the user.
    #[must_use]
    pub fn judge(&self, others: &[UserId], unknown: &BTreeSet<UserId>) -> Invited {
        let strangers: Vec<UserId> =
            others.iter().filter(|user| unknown.contains(*user)).cloned().collect();
        if strangers.is_empty() {
            return Invited::Yes(strangers);
        }
        let full = self.per_day > 0 && unknown.len() > self.per_day as usize;
        match (self.contacts_only, full) {
            (true, _) => Invited::Stranger,
            (false, true) => Invited::TooMany,
            (false, false) => Invited::Yes(strangers),
        }
    }
}

impl Default for Policy {
    /// Edits for 24 hours, deletions for 48.
    fn default() -> Self {
        const HOUR_MS: u64 = 3_600_000;
        Self {
            edit_window_ms: 24 * HOUR_MS,
            delete_window_ms: 48 * HOUR_MS,
            strangers: Strangers::default(),
        }
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
    fn strangers_are_few() {
        let user = |n: u32| UserId::new(&format!("u{n}")).unwrap();
        let unknown: BTreeSet<UserId> = (0..5).map(user).collect();
        let judge = |contacts_only, per_day, n| {
            Strangers { contacts_only, per_day, ..Strangers::default() }.judge(&[user(n)], &unknown)
        };
        // contacts only, a day's bound, who
        let yes = |n| Invited::Yes(vec![user(n)]);
        let table = [
            (false, 5, 1, yes(1)),
            (false, 4, 1, Invited::TooMany),
            (false, 4, 7, Invited::Yes(Vec::new())),
            (false, 0, 1, yes(1)),
            (true, 9, 1, Invited::Stranger),
            (true, 9, 7, Invited::Yes(Vec::new())),
        ];
        for (contacts_only, per_day, n, expected) in table {
            assert_eq!(judge(contacts_only, per_day, n), expected, "{contacts_only} {per_day} {n}");
        }
    }

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
