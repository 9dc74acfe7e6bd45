//! Whether an entry could have been accepted at all where it stands. (For how long something may be
//! done is the policy's, which no log holds.)

use super::{Model, place};
use crate::change::Change;
use crate::entry::{Entry, EntryKind};
use crate::ids::Identity;
use crate::membership::{ConversationKind, Member, Role};

impl Model {
    /// Panics when the log before `entry` forbids it.
    pub(super) fn admit(&self, entry: &Entry) {
        let Some(sender) = self.conversation.member(&entry.sender) else {
            let operator = Identity::operator().user;
            let by_operator = entry.sender == operator && entry.kind.is_change();
            assert!(by_operator, "of a stranger, or of one who has left: {entry:?}");
            return;
        };
        if entry.kind.is_change() {
            return self.admit_change(entry, sender);
        }
        assert!(sender.role != Role::ReadOnly && !sender.blocked, "may not send: {entry:?}");
        assert!(entry.reply_to.is_none_or(|to| to < entry.seq), "answers the future: {entry:?}");
        match entry.target {
            None => assert_eq!(entry.kind, EntryKind::Message),
            Some(_) => self.admit_about(entry, sender),
        }
    }

    fn admit_about(&self, entry: &Entry, sender: &Member) {
        let at = entry.target.unwrap();
        assert!(at < entry.seq, "of the future: {entry:?}");
        let target = &self.log[place(at)];
        // What one wrote in an earlier stay is one's own still, and may be deleted unseen.
        let takes_back = entry.kind == EntryKind::Deletion && target.sender == entry.sender;
        assert!(at > sender.visible_seq || takes_back, "unseen: {entry:?}");
        assert_eq!(target.kind, EntryKind::Message, "about no message: {entry:?}");
        let expired = target.expires_ms.is_some_and(|at| at <= entry.time_ms);
        let gone = target.body_gone || expired;
        assert!(!gone || entry.kind == EntryKind::Unpin, "about what is gone: {entry:?}");
        let (own, manages) = (target.sender == entry.sender, sender.role.may_manage());
        let direct = self.conversation.kind == ConversationKind::Direct;
        let may = match entry.kind {
            EntryKind::Edit => own,
            EntryKind::Deletion => own || (manages && !direct),
            EntryKind::Pin | EntryKind::Unpin => manages || direct,
            _ => entry.kind == EntryKind::Reaction,
        };
        assert!(may, "not the sender's right: {entry:?}");
    }

    fn admit_change(&self, entry: &Entry, actor: &Member) {
        let now = &self.conversation;
        let role_of = |user| now.member(user).expect("a member is named").role;
        let below = |role| matches!(role, Role::Member | Role::ReadOnly);
        let owner = actor.role == Role::Owner;
        let may = match entry.change().expect("a change that reads") {
            Change::Created { .. } => return assert_eq!(entry.seq.0, 1),
            Change::Added { users, role, .. } => {
                assert!(users.iter().all(|user| now.member(user).is_none()), "twice: {entry:?}");
                owner || (actor.role == Role::Admin && below(role))
            }
            Change::Removed { users, .. } => {
                let leaves = users == [actor.user.clone()];
                let manages = |user| below(role_of(user)) || *user == actor.user;
                leaves || owner || (actor.role == Role::Admin && users.iter().all(manages))
            }
            Change::Roles { roles, .. } => {
                let manages = roles.iter().all(|(user, role)| below(*role) && below(role_of(user)));
                owner || (actor.role == Role::Admin && manages)
            }
            Change::Details(_) => {
                actor.role.may_manage()
                    || (now.kind == ConversationKind::Direct && actor.role != Role::ReadOnly)
            }
        };
        assert!(may, "not the actor's right: {entry:?}");
        let members_change = entry.kind == EntryKind::Membership;
        assert!(!members_change || now.kind == ConversationKind::Group, "of two: {entry:?}");
    }
}
