//! `q/groups`: conversations created, looked at and changed.

mod ask;
mod view;

use godwit_core::change::{Ask, ChangeRequest, Refused};
use godwit_core::commit::SendKey;
use godwit_core::edge::Code;
use godwit_core::ids::{ClientMessageId, ConversationId, MessageId};
use godwit_core::membership::Conversation;
use godwit_core::people::Claim;
use godwit_core::store::Error;
use godwit_proto::group::v1 as wire;

use super::refusal::{Refusal, conversation_id};
use crate::session::DeviceSession;
use crate::{clock, control};
use ask::Asked;
use view::Page;

pub(super) async fn reply(
    session: &DeviceSession,
    request: wire::GroupRequest,
) -> wire::GroupReply {
    let id = request.id;
    match answer(session, request).await {
        Ok(reply) => wire::GroupReply { id, ..reply },
        Err(refusal) => wire::GroupReply {
            id,
            code: refusal.code(),
            retry_after_ms: refusal.retry_after_ms(),
            group: (refusal.group_version > 0).then(|| wire::Group {
                group_version: refusal.group_version,
                ..wire::Group::default()
            }),
            reason: refusal.reason.into_owned(),
            ..wire::GroupReply::default()
        },
    }
}

async fn answer(
    session: &DeviceSession,
    request: wire::GroupRequest,
) -> Result<wire::GroupReply, Refusal> {
    let cmid = match request.cmid.as_str() {
        "" => None,
        cmid => {
            Some(ClientMessageId::new(cmid).map_err(|e| Refusal::malformed(format!("cmid {e}")))?)
        }
    };
    let Some(asked) = request.ask else {
        return Err(Refusal::malformed("nothing is asked: one of the fields of ask must be set"));
    };
    let named = || conversation_id(&request.conversation_id);
    match ask::read(asked)? {
        Asked::Get(get) if get.peer.is_empty() => look(session, named()?, &get).await,
        Asked::Get(get) => {
            let id = with_peer(session, &request.conversation_id, &get.peer).await?;
            look(session, id, &get).await
        }
        Asked::Create(_) if !request.conversation_id.is_empty() => {
            Err(Refusal::malformed("conversation_id: it is given to a new conversation, leave it"))
        }
        Asked::Create(create) => make(session, cmid, create).await,
        Asked::Change(ask) => change(session, named()?, cmid, ask).await,
    }
}

async fn look(
    session: &DeviceSession,
    id: ConversationId,
    get: &wire::Get,
) -> Result<wire::GroupReply, Refusal> {
    let (inner, user) = (&session.inner, &session.identity().user);
    // A stranger learns it from one row, however many members there are.
    let found = match inner.store.member(id, user).await? {
        Some(_) => inner.store.conversation(id).await?,
        None => None,
    };
    let conversation = found.filter(|c| c.member(user).is_some());
    let conversation = conversation.ok_or_else(|| refusal(&Refused::Unknown))?;
    let page = Page { after: &get.after_user, limit: get.limit };
    let mut group = view::group(&conversation, page);
    if get.receipts {
        view::add_receipts(inner, user, &conversation, &mut group).await?;
    }
    if get.pins {
        view::add_pins(inner, user, &conversation, &mut group).await?;
    }
    Ok(wire::GroupReply { group: Some(group), ..wire::GroupReply::default() })
}

/// The direct conversation with a user.
async fn with_peer(
    session: &DeviceSession,
    conversation_id: &[u8],
    peer: &str,
) -> Result<ConversationId, Refusal> {
    if !conversation_id.is_empty() {
        let reason = "conversation_id or peer: one of them says which conversation it is";
        return Err(Refusal::malformed(reason));
    }
    let peer = ask::user("peer", peer)?;
    let found = session.inner.store.direct(&session.identity().user, &peer).await?;
    found.ok_or_else(|| refusal(&Refused::Unknown))
}

/// What is created is named after the key, so that a repeated request finds what the first one made;
/// the key is claimed for this request, so that another one does not.
async fn make(
    session: &DeviceSession,
    cmid: Option<ClientMessageId>,
    create: ask::Create,
) -> Result<wire::GroupReply, Refusal> {
    let (inner, identity, time_ms) = (&session.inner, session.identity(), clock::now_ms());
    if let Some(cmid) = &cmid {
        let (caller, asked) = (identity.to_string(), create.fingerprint());
        let text = SendKey::Change(cmid.clone()).to_stored();
        match inner.store.claim_key(&caller, &text, &asked, time_ms).await? {
            Claim::Yours => {}
            Claim::Another => return Err(refusal(&Refused::KeyReused)),
        }
    }
    let message_id = inner.ids.next(time_ms);
    let new = create.into_new(identity, &key(cmid, message_id), message_id, time_ms);
    let made = control::create(inner, &new, Some(&identity.user)).await.map_err(unsure)?;
    let conversation = made.map_err(|refused| refusal(&refused))?;
    if conversation.member(&identity.user).is_none() {
        // It was created by an earlier request with this key; the user has left since.
        return Err(refusal(&Refused::Unknown));
    }
    let group = Some(view::group(&conversation, Page::default()));
    let existed = conversation.id != new.id;
    Ok(wire::GroupReply { group, existed, ..wire::GroupReply::default() })
}

async fn change(
    session: &DeviceSession,
    conversation: ConversationId,
    cmid: Option<ClientMessageId>,
    ask: Ask,
) -> Result<wire::GroupReply, Refusal> {
    let (inner, identity, time_ms) = (&session.inner, session.identity(), clock::now_ms());
    let message_id = inner.ids.next(time_ms);
    let request = ChangeRequest {
        conversation,
        actor: Some(identity.clone()),
        ask,
        stamp: None,
        adding: None,
        key: key(cmid, message_id),
        message_id,
        time_ms,
    };
    let changed = control::change(inner, &request).await.map_err(unsure)?;
    let (entry, conversation) = changed.map_err(|refused| refusal(&refused))?;
    // Who has left is not told what became of the group.
    let present = |c: &Conversation| c.member(&identity.user).is_some();
    let group = present(&conversation).then(|| view::group(&conversation, Page::default()));
    // Without one, whoever was to be added is invited.
    let seq = entry.map_or(0, |entry| entry.seq.0);
    Ok(wire::GroupReply { group, seq, ..wire::GroupReply::default() })
}

fn key(cmid: Option<ClientMessageId>, message_id: MessageId) -> SendKey {
    cmid.map_or(SendKey::Server(message_id), SendKey::Change)
}

/// A change whose answer was lost may have been made.
fn unsure(error: Error) -> Refusal {
    let away = matches!(error, Error::Unavailable(_));
    let refusal = Refusal::from(error);
    if away {
        let reason = "the store is away, and it is not known whether this was done; ask again with \
                      the same cmid";
        return Refusal { reason: reason.into(), ..refusal };
    }
    refusal
}

/// The one table from a refused change to what its asker is told.
fn refusal(refused: &Refused) -> Refusal {
    let code = match refused {
        Refused::Unknown | Refused::Forbidden(_) | Refused::Unvetted(_) => Code::NOT_AUTHORIZED,
        Refused::Stale(_) => Code::STALE_GROUP,
        Refused::Direct
        | Refused::KeyReused
        | Refused::Nothing(_)
        | Refused::NoMember(_)
        | Refused::LastOwner
        | Refused::Full { .. }
        | Refused::Malformed(_) => Code::PAYLOAD_INVALID,
    };
    let group_version = match refused {
        Refused::Stale(stamp) => stamp.group_version,
        _ => 0,
    };
    Refusal { group_version, ..Refusal::new(code, refused.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use godwit_core::ids::{Seq, UserId};
    use godwit_core::membership::Stamp;

    #[test]
    fn every_refusal_has_its_code() {
        let stamp = Stamp { group_version: 7, details_seq: Seq(1) };
        let table = [
            (Refused::Unknown, 0x87),
            (Refused::Forbidden("no"), 0x87),
            (Refused::Unvetted(Vec::new()), 0x87),
            (Refused::Stale(stamp), 0x83),
            (Refused::Direct, 0x99),
            (Refused::Nothing("x"), 0x99),
            (Refused::NoMember(UserId::new("eve").unwrap()), 0x99),
            (Refused::LastOwner, 0x99),
            (Refused::KeyReused, 0x99),
            (Refused::Full { max: 3 }, 0x99),
            (Refused::Malformed("x".to_owned()), 0x99),
        ];
        for (refused, code) in table {
            let told = refusal(&refused);
            assert_eq!((told.code(), told.reason.as_ref()), (code, refused.to_string().as_str()));
            assert_eq!(told.group_version > 0, matches!(refused, Refused::Stale(_)));
        }
    }

    #[test]
    fn a_lost_answer_says_so() {
        let told = unsure(Error::Unavailable("gone".into()));
        assert_eq!((told.code(), told.retry_after_ms() > 0), (0x97, true));
        assert!(told.reason.contains("same cmid"));
        assert_eq!(unsure(Error::Broken("odd".into())).code(), 0x80);
    }
}
