//! Invitations into groups that wait for an answer (`policy.add_to_groups = "invitation"`).
//!
//! Whoever may add members invites instead; the invited user accepts by adding itself, which is done in
//! the inviter's name, if the inviter may still do it. An invitation that nobody answers is forgotten.

use crate::ids::{ConversationId, Identity, UserId};
use crate::membership::Role;

/// A user is invited into a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Who.
    pub user: UserId,
    /// Into which.
    pub conversation: ConversationId,
    /// By whom: a manager of the group, at that time.
    pub by: Identity,
    /// The role there.
    pub role: Role,
    /// When: milliseconds since 1970.
    pub time_ms: u64,
}
