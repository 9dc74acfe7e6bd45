//! A conversation as `q/groups` shows it to a member.

use std::collections::HashMap;

use bytes::Bytes;
use godwit_core::ids::UserId;
use godwit_core::limits::PINS_MAX;
use godwit_core::membership::{Conversation, ConversationKind};
use godwit_core::receipt::Cursors;
use godwit_core::store::Error;
use godwit_proto::group::v1 as wire;

use crate::ingest;
use crate::inner::Inner;

/// Without receipts and pins.
pub(super) fn group(conversation: &Conversation) -> wire::Group {
    let details = &conversation.details;
    let members = conversation.members.iter().map(|member| wire::Member {
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
    }
}

/// Where the members' cursors stand: one's own, and (but in large groups) the others'.
pub(super) async fn add_receipts(
    inner: &Inner,
    user: &UserId,
    conversation: &Conversation,
    group: &mut wire::Group,
) -> Result<(), Error> {
    let large = conversation.members.len() > inner.options.large_group_members;
    let mut shown: HashMap<String, Cursors> = HashMap::new();
    for receipt in inner.store.receipts(conversation.id).await? {
        let own = receipt.user == *user;
        if large && !own {
            continue;
        }
        let mut cursors = receipt.cursors;
        let secret = !own && cursors.read.0 > 0;
        if secret && !inner.people.settings(&receipt.user).await?.share_reads {
            cursors.read = godwit_core::ids::Seq::ZERO;
        }
        shown.insert(receipt.user.to_string(), cursors);
    }
    for member in &mut group.members {
        if let Some(cursors) = shown.get(&member.user) {
            (member.delivered, member.read) = (cursors.delivered.0, cursors.read.0);
        }
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
    let now_ms = ingest::now_ms();
    let pins = inner.store.pins(conversation.id, PINS_MAX).await?;
    // What stands before the join is not shown, neither is a pin of it.
    let seen = pins.iter().filter(|pin| pin.target.is_some_and(|target| target > visible));
    group.pins = seen.map(|pin| crate::wire::entry_to_wire(pin, now_ms)).collect();
    Ok(())
}
