//! A conversation as `q/groups` shows it to a member.

use bytes::Bytes;
use godwit_core::ids::{Seq, UserId};
use godwit_core::limits::PINS_MAX;
use godwit_core::membership::{Conversation, ConversationKind};
use godwit_core::receipt::Cursors;
use godwit_core::store::Error;
use godwit_proto::group::v1 as wire;

use crate::inner::Inner;
use crate::{clock, limits};

/// Which of the members are shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Page<'a> {
    /// Those above this user; empty: all.
    pub(super) after: &'a str,
    /// At most; 0: as many as there may be.
    pub(super) limit: u32,
}

/// Without receipts and pins.
pub(super) fn group(conversation: &Conversation, page: Page<'_>) -> wire::Group {
    let details = &conversation.details;
    let limit = match usize::try_from(page.limit) {
        Ok(limit @ 1..=limits::REPLY_MEMBERS_MAX) => limit,
        _ => limits::REPLY_MEMBERS_MAX,
    };
    // They are ordered by user.
    let first = conversation.members.partition_point(|m| m.user.as_str() <= page.after);
    let above = conversation.members.get(first..).unwrap_or_default();
    let members = above.iter().take(limit).map(|member| wire::Member {
        user: member.user.to_string(),
        role: crate::wire::role_to_wire(member.role) as i32,
        tag: member.tag,
        joined_seq: member.joined_seq.0,
        delivered: 0,
        read: 0,
    });
    wire::Group {
        conversation_id: Bytes::copy_from_slice(conversation.id.as_bytes()),
        direct: conversation.kind == ConversationKind::Direct,
        head_seq: conversation.head_seq.0,
        group_version: conversation.group_version,
        title: details.title.clone(),
        description: details.description.clone(),
        history: crate::wire::history_to_wire(details.history) as i32,
        expiry_s: details.expiry_s.unwrap_or(0),
        members: members.collect(),
        pins: Vec::new(),
        more_members: above.len() > limit,
        member_count: u32::try_from(conversation.members.len()).unwrap_or(u32::MAX),
    }
}

/// Where the cursors of the members shown stand.
pub(super) async fn add_receipts(
    inner: &Inner,
    user: &UserId,
    conversation: &Conversation,
    group: &mut wire::Group,
) -> Result<(), Error> {
    let receipts = inner.store.receipts(conversation.id).await?;
    let apart = conversation.is_apart();
    for member in &mut group.members {
        // Both are ordered by user.
        let at = receipts.binary_search_by(|receipt| receipt.user.as_str().cmp(&member.user));
        let Some(receipt) = at.ok().and_then(|at| receipts.get(at)) else { continue };
        let Cursors { delivered, read } = receipt.cursors;
        let own = receipt.user == *user;
        if apart && !own {
            continue;
        }
        let told =
            own || read == Seq::ZERO || inner.people.settings(&receipt.user).await?.share_reads;
        (member.delivered, member.read) = (delivered.0, if told { read.0 } else { 0 });
    }
    Ok(())
}

/// The pins that the user may see.
pub(super) async fn add_pins(
    inner: &Inner,
    user: &UserId,
    conversation: &Conversation,
    group: &mut wire::Group,
) -> Result<(), Error> {
    let visible = conversation.member(user).map(|member| member.visible_seq).unwrap_or_default();
    let now_ms = clock::now_ms();
    let pins = inner.store.pins(conversation.id, PINS_MAX).await?;
    // What stands before the join is not shown, neither is a pin of it.
    let seen = pins.iter().filter(|pin| pin.target.is_some_and(|target| target > visible));
    group.pins = seen.map(|pin| crate::wire::entry_to_wire(pin, now_ms)).collect();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_core::entry::ChainHash;
    use godwit_core::ids::ConversationId;
    use godwit_core::membership::{Details, Member, Role};

    #[test]
    fn members_come_in_pages() {
        let member = |n: usize| Member {
            user: UserId::new(&format!("u{n:04}")).unwrap(),
            role: Role::Member,
            joined_seq: Seq::ZERO,
            visible_seq: Seq::ZERO,
            tag: 1,
            blocked: false,
        };
        let conversation = Conversation {
            id: ConversationId([1; 16]),
            kind: ConversationKind::Group,
            head_seq: Seq::ZERO,
            head_chain: ChainHash::ZERO,
            group_version: 1,
            number: 0,
            active_seq: Seq::ZERO,
            active_ms: 0,
            details: Details::default(),
            next_tag: 1,
            members: (0..2500).map(member).collect(),
        };
        // after, limit, the first, how many, more
        let table = [
            ("", 0, "u0000", 1000, true),
            ("", 7, "u0000", 7, true),
            ("u0999", 5000, "u1000", 1000, true),
            ("u0999x", 0, "u1000", 1000, true),
            ("u1499", 1000, "u1500", 1000, false),
            ("u2498", 1, "u2499", 1, false),
        ];
        for (after, limit, first, count, more) in table {
            let group = group(&conversation, Page { after, limit });
            let shown = (group.members[0].user.as_str(), group.members.len(), group.more_members);
            assert_eq!(shown, (first, count, more), "after {after}, {limit}");
            assert_eq!(group.member_count, 2500);
        }
        let end = group(&conversation, Page { after: "u2499", limit: 0 });
        assert!(end.members.is_empty() && !end.more_members);
    }
}
