//! `q/inbox`: the user's conversations, and the user's own marks of them.

use bytes::Bytes;
use godwit_core::entry::Entry;
use godwit_core::ids::ConversationId;
use godwit_core::inbox::{Badge, InboxCursor, InboxQuery, Item, MarksChange, Moment, Place, Shelf};
use godwit_core::limits::{INBOX_PAGE_MAX, MOMENT_OPEN_MAX};
use godwit_core::membership::ConversationKind;
use godwit_core::notice::{Telling, What};
use godwit_proto::conversation::v1 as log_wire;
use godwit_proto::inbox::v1 as wire;
use wire::inbox_request::Ask;

use super::left;
use super::refusal::{Refusal, conversation_id};
use crate::session::DeviceSession;
use crate::told;
use crate::{clock, limits};

pub(super) async fn reply(
    session: &DeviceSession,
    request: wire::InboxRequest,
) -> wire::InboxReply {
    let id = request.id;
    let answer = match request.ask {
        Some(Ask::List(list)) => page(session, &list).await,
        Some(Ask::Set(set)) => set_marks(session, &set).await,
        None => Err(Refusal::malformed("ask for a list, or set marks")),
    };
    match answer {
        Ok(reply) => wire::InboxReply { id, ..reply },
        Err(refusal) => wire::InboxReply {
            id,
            code: refusal.code(),
            retry_after_ms: refusal.retry_after_ms(),
            reason: refusal.reason.into_owned(),
            ..wire::InboxReply::default()
        },
    }
}

async fn page(session: &DeviceSession, list: &wire::List) -> Result<wire::InboxReply, Refusal> {
    let now_ms = clock::now_ms();
    let query = query(list, now_ms)?;
    let (user, store) = (&session.identity().user, session.inner.store.as_ref());
    let page = store.inbox(user, &query).await?;
    if query.only.is_some() && page.items.is_empty() {
        return Err(Refusal::no_member());
    }
    let badge = if query.only.is_none() && query.after.is_none() {
        Some(badge_to_wire(store.badge(user, now_ms).await?))
    } else {
        None
    };
    let next = page.next.map(cursor_to_wire).unwrap_or_default();
    let left = left::beside(&session.inner, user, &query, now_ms).await?;
    let items = page.items.iter().map(|item| item_to_wire(item, now_ms)).collect();
    Ok(wire::InboxReply { items, next, badge, left, ..wire::InboxReply::default() })
}

fn badge_to_wire(badge: Badge) -> wire::Badge {
    let Badge { unread, mentions, conversations } = badge;
    wire::Badge { unread, mentions, conversations }
}

fn query(list: &wire::List, now_ms: u64) -> Result<InboxQuery, Refusal> {
    let shelf = match wire::Shelf::try_from(list.shelf) {
        Ok(wire::Shelf::Unspecified | wire::Shelf::Open) => Shelf::Open,
        Ok(wire::Shelf::Archived) => Shelf::Archived,
        Ok(wire::Shelf::All) => Shelf::All,
        Err(_) => return Err(Refusal::malformed(format!("shelf: {} is not known", list.shelf))),
    };
    let only = match list.conversation_id.as_ref() {
        b"" => None,
        id => Some(conversation_id(id)?),
    };
    let limit = if list.limit == 0 { INBOX_PAGE_MAX } else { list.limit.min(INBOX_PAGE_MAX) };
    Ok(InboxQuery { shelf, after: cursor_from_wire(&list.after)?, only, limit, now_ms })
}

/// A cursor on the wire: 1 byte (0: stands, 1: pinned, 2: has moved), 8 bytes activity, 16 bytes
/// conversation, 8 bytes of the moment, and 8 of each number that was open then. Clients hand it back as
/// it is.
fn cursor_to_wire(cursor: InboxCursor) -> Bytes {
    let InboxCursor { place, moment } = cursor;
    let mut bytes = Vec::with_capacity(33 + 8 * moment.open.len());
    bytes.push(if place.stands { u8::from(place.pinned) } else { 2 });
    bytes.extend_from_slice(&place.active_ms.to_be_bytes());
    bytes.extend_from_slice(place.conversation.as_bytes());
    bytes.extend_from_slice(&moment.end.to_be_bytes());
    moment.open.iter().for_each(|number| bytes.extend_from_slice(&number.to_be_bytes()));
    bytes.into()
}

fn cursor_from_wire(bytes: &[u8]) -> Result<Option<InboxCursor>, Refusal> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (how, rest) = bytes.split_first()?;
        let (active_ms, rest) = rest.split_first_chunk::<8>()?;
        let (conversation, rest) = rest.split_first_chunk::<16>()?;
        let (end, rest) = rest.split_first_chunk::<8>()?;
        let conversation = ConversationId(*conversation);
        let active_ms = u64::from_be_bytes(*active_ms);
        let place = match how {
            0 | 1 => Place { stands: true, pinned: *how == 1, active_ms, conversation },
            2 => Place::moved(conversation),
            _ => return None,
        };
        let (open, rest) = rest.as_chunks::<8>();
        let open: Vec<u64> = open.iter().map(|number| u64::from_be_bytes(*number)).collect();
        let moment = Moment { end: u64::from_be_bytes(*end), open };
        let whole = rest.is_empty() && moment.open.len() <= MOMENT_OPEN_MAX;
        whole.then_some(InboxCursor { place, moment })
    };
    let cursor = read();
    let wrong = "after: take it from InboxReply.next of the page before, or leave it out";
    cursor.map(Some).ok_or_else(|| Refusal::malformed(wrong))
}

async fn set_marks(
    session: &DeviceSession,
    set: &wire::SetMarks,
) -> Result<wire::InboxReply, Refusal> {
    let (user, store) = (&session.identity().user, session.inner.store.as_ref());
    let id = conversation_id(&set.conversation_id)?;
    let now_ms = clock::now_ms();
    let change = MarksChange {
        muted_until_ms: set.muted_until_ms.map(|until| (until > 0).then_some(until)),
        archived: set.archived,
        pinned_ms: set.pinned.map(|pinned| pinned.then_some(now_ms)),
        marked_unread: set.marked_unread,
    };
    if change == MarksChange::default() {
        return Err(Refusal::malformed("set: no mark is named"));
    }
    let marks = store.change_marks(user, id, &change).await?.ok_or_else(Refusal::no_member)?;
    let telling = Telling {
        user: user.clone(),
        device: Some(session.identity().device.clone()),
        time_ms: now_ms,
        what: What::Marks { conversation: id, marks },
    };
    told::tell(&session.inner, vec![telling]).await?;
    let query = InboxQuery { only: Some(id), limit: 1, now_ms, ..InboxQuery::default() };
    let page = store.inbox(user, &query).await?;
    let items = page.items.iter().map(|item| item_to_wire(item, now_ms)).collect();
    Ok(wire::InboxReply { items, ..wire::InboxReply::default() })
}

fn item_to_wire(item: &Item, now_ms: u64) -> wire::Item {
    let (preview, preview_cut) = match &item.preview {
        Some(entry) => {
            let (entry, cut) = preview(entry, now_ms);
            (Some(entry), cut)
        }
        None => (None, false),
    };
    wire::Item {
        conversation_id: Bytes::copy_from_slice(item.conversation.as_bytes()),
        direct: item.kind == ConversationKind::Direct,
        title: item.title.clone(),
        peer: item.peer.as_ref().map(ToString::to_string).unwrap_or_default(),
        members: item.members,
        head_seq: item.head_seq.0,
        head_chain: Bytes::copy_from_slice(item.head_chain.wire()),
        group_version: item.group_version,
        role: crate::wire::role_to_wire(item.role) as i32,
        tag: item.tag,
        visible_seq: item.visible_seq.0,
        active_ms: item.active_ms,
        preview,
        preview_cut,
        unread: item.unread,
        mentions: item.mentions,
        delivered: item.cursors.delivered.0,
        read: item.cursors.read.0,
        muted_until_ms: item.marks.muted_until_ms.unwrap_or(0),
        archived: item.marks.archived,
        pinned_ms: item.marks.pinned_ms.unwrap_or(0),
        marked_unread: item.marks.marked_unread,
    }
}

/// An entry, and whether something was left out: an item has a bounded size, whatever the entry.
fn preview(entry: &Entry, now_ms: u64) -> (log_wire::Entry, bool) {
    let mut shown = crate::wire::entry_to_wire(entry, now_ms);
    let mut cut = shown.body.len() > limits::PREVIEW_BYTES_MAX;
    shown.body.truncate(limits::PREVIEW_BYTES_MAX);
    cut |= cut_names(&mut shown.mentions);
    if let Some(membership) = &mut shown.membership {
        cut |= cut_names(&mut membership.users) | cut_names(&mut membership.roles);
    }
    if let Some(text) = shown.details.as_mut().and_then(|details| details.description.as_mut()) {
        let end = text.floor_char_boundary(limits::PREVIEW_BYTES_MAX);
        cut |= end < text.len();
        text.truncate(end);
    }
    (shown, cut)
}

fn cut_names<T>(names: &mut Vec<T>) -> bool {
    let over = names.len() > limits::PREVIEW_NAMES_MAX;
    names.truncate(limits::PREVIEW_NAMES_MAX);
    over
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_core::change::{Change, DetailsChange};
    use godwit_core::entry::{ChainHash, EntryKind};
    use godwit_core::ids::{DeviceId, MessageId, Seq, UserId};
    use godwit_core::membership::Role;

    fn entry(kind: EntryKind, body: Bytes) -> Entry {
        Entry {
            conversation: ConversationId([1; 16]),
            seq: Seq(3),
            chain: ChainHash::ZERO,
            kind,
            message_id: MessageId([1; 16]),
            sender: UserId::new("alice").unwrap(),
            device: DeviceId::new("phone").unwrap(),
            time_ms: 1,
            body,
            reply_to: None,
            target: None,
            mentions: Vec::new(),
            number: 3,
            expires_ms: None,
            body_gone: false,
        }
    }

    #[test]
    fn cursors_come_back_and_others_are_refused() {
        let id = ConversationId([9; 16]);
        let places = [(false, 0), (true, 1_700_000_000_000), (true, u64::MAX)]
            .map(|(pinned, active_ms)| Place { stands: true, pinned, active_ms, conversation: id });
        for (place, open) in places.into_iter().chain([Place::moved(id)]).zip([0, 1, 64, 3]) {
            let moment = Moment { end: 1 << 40, open: (7..7 + open).collect() };
            let cursor = InboxCursor { place, moment };
            assert_eq!(cursor_from_wire(&cursor_to_wire(cursor.clone())), Ok(Some(cursor)));
        }
        assert_eq!(cursor_from_wire(b""), Ok(None));
        let cursor = |open| InboxCursor { place: places[1], moment: Moment { end: 7, open } };
        let good = cursor_to_wire(cursor(vec![]));
        let long = cursor_to_wire(cursor(vec![1; MOMENT_OPEN_MAX + 1]));
        let mut odd = good.to_vec();
        odd[0] = 3;
        for bad in [&good[..32], &[&good[..], b"x"].concat(), &odd, &long, b"\0"] {
            assert!(cursor_from_wire(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn previews_are_bounded() {
        let cut = |entry: &Entry| {
            let (shown, cut) = preview(entry, 5);
            (shown, cut)
        };
        let (shown, was) = cut(&entry(EntryKind::Message, Bytes::from(vec![b'x'; 256])));
        assert!(shown.body.len() == 256 && !was);
        let (shown, was) = cut(&entry(EntryKind::Message, Bytes::from(vec![b'x'; 257])));
        assert!(shown.body.len() == 256 && was);
        let users: Vec<_> = (0..20).map(|n| UserId::new(&format!("u{n}")).unwrap()).collect();
        let mut message = entry(EntryKind::Message, Bytes::new());
        message.mentions.clone_from(&users);
        let (shown, was) = cut(&message);
        assert!(shown.mentions.len() == limits::PREVIEW_NAMES_MAX && was);
        let added = Change::Added { group_version: 2, users, role: Role::Member, first_tag: 3 };
        let (shown, was) = cut(&entry(EntryKind::Membership, added.to_body()));
        assert!(shown.membership.unwrap().users.len() == limits::PREVIEW_NAMES_MAX && was);
        let description = Some("ä".repeat(200));
        let details = Change::Details(DetailsChange { description, ..DetailsChange::default() });
        let (shown, was) = cut(&entry(EntryKind::Details, details.to_body()));
        assert!(shown.details.unwrap().description.unwrap() == "ä".repeat(128) && was);
        let (shown, was) =
            cut(&Entry { body_gone: true, ..entry(EntryKind::Message, Bytes::new()) });
        assert!(shown.body_gone && !was);
    }
}
