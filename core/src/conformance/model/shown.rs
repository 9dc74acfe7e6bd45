//! What a log shows: its stays, pins, receipts, and each member's inbox.

use std::collections::BTreeMap;

use super::{Model, place};
use crate::entry::{Entry, EntryKind};
use crate::ids::{Seq, UserId};
use crate::inbox::Item;
use crate::membership::{ConversationKind, Member, Stay};
use crate::receipt::{Cursors, Receipt};

impl Model {
    /// All stays, as [`crate::store::Store::stays`] tells them.
    #[must_use]
    pub fn stays(&self) -> Vec<Stay> {
        let mut stays = self.stays.clone();
        stays.sort_by(|a, b| {
            (a.member.joined_seq, &a.member.user).cmp(&(b.member.joined_seq, &b.member.user))
        });
        stays
    }

    /// As [`crate::inbox::Inboxes::receipts`] tells them.
    #[must_use]
    pub fn receipts(&self) -> Vec<Receipt> {
        let at = self.own.iter().map(|(user, own)| (user, own.cursors));
        at.filter(|(_, cursors)| *cursors != Cursors::default())
            .map(|(user, cursors)| Receipt { user: user.clone(), cursors })
            .collect()
    }

    /// As [`crate::inbox::Inboxes::pins`] tells them.
    #[must_use]
    pub fn pins(&self) -> Vec<Entry> {
        let mut last: BTreeMap<Seq, &Entry> = BTreeMap::new();
        for entry in &self.log {
            if let (EntryKind::Pin | EntryKind::Unpin, Some(target)) = (entry.kind, entry.target) {
                last.insert(target, entry);
            }
        }
        let mut pins: Vec<Entry> = last
            .into_iter()
            .filter(|(target, pin)| {
                pin.kind == EntryKind::Pin && !self.log[place(*target)].body_gone
            })
            .map(|(_, pin)| pin.clone())
            .collect();
        pins.sort_by_key(|pin| std::cmp::Reverse(pin.seq));
        pins
    }

    /// The conversation in a user's inbox at a time; `None`: the user is no member.
    #[must_use]
    pub fn item(&self, user: &UserId, now_ms: u64) -> Option<Item> {
        let now = &self.conversation;
        let member = now.member(user)?;
        let own = self.own.get(user).copied().unwrap_or_default();
        let from = own.cursors.read.max(member.joined_seq);
        let unread: Vec<&Entry> = self
            .log
            .iter()
            .filter(|e| e.kind == EntryKind::Message && e.seq > from && e.sender != *user)
            .filter(|e| !e.body_gone && e.expires_ms.is_none_or(|at| at > now_ms))
            .collect();
        let mentions =
            unread.iter().filter(|entry| self.latest(entry).mentions.contains(user)).count();
        let peer = now.members.iter().find(|other| other.user != *user);
        let peer = peer.filter(|_| now.kind == ConversationKind::Direct);
        Some(Item {
            conversation: now.id,
            kind: now.kind,
            title: now.details.title.clone(),
            peer: peer.map(|other| other.user.clone()),
            members: u32::try_from(now.members.len()).unwrap(),
            head_seq: now.head_seq,
            head_chain: now.head_chain,
            group_version: now.group_version,
            role: member.role,
            tag: member.tag,
            visible_seq: member.visible_seq,
            active_ms: now.active_ms,
            preview: self.preview(member),
            unread: unread.len() as u64,
            mentions: mentions as u64,
            cursors: own.cursors,
            marks: own.marks,
        })
    }

    fn preview(&self, member: &Member) -> Option<Entry> {
        let active = self.conversation.active_seq;
        if active <= member.visible_seq {
            return None;
        }
        let mut shown = self.log[place(active)].clone();
        let latest = self.latest(&shown);
        let (body, gone, mentions) =
            (latest.body.clone(), latest.body_gone, latest.mentions.clone());
        (shown.body, shown.body_gone, shown.mentions) = (body, gone, mentions);
        Some(shown)
    }

    /// What a message says now: its last edit, or itself.
    fn latest<'a>(&'a self, message: &'a Entry) -> &'a Entry {
        let edits =
            |entry: &&Entry| entry.kind == EntryKind::Edit && entry.target == Some(message.seq);
        self.log.iter().rev().find(edits).unwrap_or(message)
    }
}
