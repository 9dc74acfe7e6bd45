//! Stage 3: a publish becomes a validated send, or is refused with a reason.

use bytes::Bytes;
use godwit_core::commit::{Act, Send, SendKey};
use godwit_core::edge::{Code, Message, Outcome};
use godwit_core::entry::ChainHash;
use godwit_core::ids::{ClientMessageId, ConversationId, Identity, MessageId, Seq, UserId};
use godwit_core::limits::MENTIONS_MAX;
use godwit_proto::conversation::v1 as wire;
use prost::Message as _;

use crate::clock::{MessageIds, now_ms};

/// What a publish brings besides its conversation.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) cmid: Option<ClientMessageId>,
    pub(crate) act: Act,
    pub(crate) body: Bytes,
    pub(crate) group_version: Option<u64>,
    pub(crate) previous_chain: Option<[u8; ChainHash::WIRE_LEN]>,
    pub(crate) expiry_s: Option<u32>,
    /// The server's own key, for a send whose client gave one elsewhere (REST).
    pub(crate) key: Option<MessageId>,
    /// A message marks its conversation read up to itself.
    pub(crate) reads: bool,
}

fn malformed(reason: impl Into<std::borrow::Cow<'static, str>>) -> Outcome {
    Outcome::refused(Code::PAYLOAD_INVALID, reason)
}

/// A publish that cannot become a send.
#[derive(Debug)]
pub(crate) struct Bad {
    /// Its key, as far as it has one: the sender's name for what is refused.
    pub(crate) cmid: Option<ClientMessageId>,
    pub(crate) outcome: Outcome,
}

/// Reads the payload of `s/{cid}`.
pub(crate) fn draft_from_wire(payload: &Bytes) -> Result<Draft, Bad> {
    let unnamed = |reason: String| Bad { cmid: None, outcome: malformed(reason) };
    let send = wire::Send::decode(payload.clone())
        .map_err(|e| unnamed(format!("the payload is not godwit.conversation.v1.Send: {e}")))?;
    let cmid = ClientMessageId::new(&send.cmid).map_err(|e| unnamed(format!("cmid {e}")))?;
    draft(send, &cmid).map_err(|outcome| Bad { cmid: Some(cmid), outcome })
}

fn draft(send: wire::Send, cmid: &ClientMessageId) -> Result<Draft, Outcome> {
    let act = act(&send)?;
    let previous_chain = if send.previous_chain.is_empty() {
        None
    } else {
        let chain = send.previous_chain.as_ref().try_into();
        Some(chain.map_err(|_| malformed("previous_chain must be 8 bytes, or absent"))?)
    };
    Ok(Draft {
        cmid: Some(cmid.clone()),
        act,
        body: send.body,
        group_version: send.group_version,
        previous_chain,
        expiry_s: (send.expiry_s > 0).then_some(send.expiry_s),
        key: None,
        reads: !send.keep_unread,
    })
}

/// What a send does. Whatever makes no sense together is refused, so that no client finds out only
/// later that a part of it was not looked at.
fn act(send: &wire::Send) -> Result<Act, Outcome> {
    use wire::EntryType as Type;
    let kind = Type::try_from(send.r#type)
        .map_err(|_| malformed(format!("type: {} is not known to this version", send.r#type)))?;
    if matches!(kind, Type::Unspecified | Type::Message) {
        if send.target > 0 {
            return Err(malformed(
                "target: a MESSAGE has none; to answer another one, name it in reply_to",
            ));
        }
        let reply_to = (send.reply_to > 0).then_some(Seq(send.reply_to));
        return Ok(Act::Message { reply_to, mentions: mentions(&send.mentions)? });
    }
    if matches!(kind, Type::Membership | Type::Details) {
        return Err(malformed(
            "type: MEMBERSHIP and DETAILS are not sent but asked for on q/groups",
        ));
    }
    let name = kind.as_str_name().trim_start_matches("ENTRY_TYPE_");
    let only = [
        (send.reply_to > 0, "reply_to"),
        (!send.mentions.is_empty() && kind != Type::Edit, "mentions"),
        (send.keep_unread, "keep_unread"),
        (send.expiry_s > 0, "expiry_s"),
    ];
    if let Some((_, field)) = only.into_iter().find(|(set, _)| *set) {
        return Err(malformed(format!("{field}: only a MESSAGE has it, this is of type {name}")));
    }
    if send.target == 0 {
        return Err(malformed(format!(
            "target: a send of type {name} names the sequence of the message that it is about"
        )));
    }
    if matches!(kind, Type::Deletion | Type::Pin | Type::Unpin) && !send.body.is_empty() {
        return Err(malformed(format!("body: a send of type {name} has none")));
    }
    let target = Seq(send.target);
    Ok(match kind {
        Type::Edit => Act::Edit { target, mentions: mentions(&send.mentions)? },
        Type::Deletion => Act::Delete { target },
        Type::Pin => Act::Pin { target },
        Type::Unpin => Act::Unpin { target },
        // The other types were answered above.
        _ => Act::React { target },
    })
}

/// Whom a message names, each once.
fn mentions(names: &[String]) -> Result<Vec<UserId>, Outcome> {
    if names.len() > MENTIONS_MAX {
        return Err(malformed(format!(
            "mentions: {} users are named, at most {MENTIONS_MAX} are allowed",
            names.len()
        )));
    }
    let mut users = Vec::with_capacity(names.len());
    for name in names {
        let user = UserId::new(name).map_err(|e| malformed(format!("mentions: a user id {e}")))?;
        if !users.contains(&user) {
            users.push(user);
        }
    }
    Ok(users)
}

/// Reads a plain client's publish; the key stands in the topic or in the user property `cmid`.
pub(crate) fn draft_from_plain(
    message: &Message,
    cmid: Option<ClientMessageId>,
) -> Result<Draft, Bad> {
    let properties = message.properties.as_deref();
    let named = properties.and_then(|p| p.user.iter().find(|(name, _)| name == "cmid"));
    let cmid = match (cmid, named) {
        (Some(cmid), _) => Some(cmid),
        (None, Some((_, value))) => {
            let unnamed = |reason| Bad { cmid: None, outcome: malformed(reason) };
            let cmid = ClientMessageId::new(value);
            Some(cmid.map_err(|e| unnamed(format!("user property cmid {e}")))?)
        }
        (None, None) => None,
    };
    Ok(Draft {
        cmid,
        act: Act::MESSAGE,
        body: message.payload.clone(),
        group_version: None,
        previous_chain: None,
        expiry_s: properties.and_then(|p| p.expiry_s),
        key: None,
        reads: !properties
            .is_some_and(|p| p.user.iter().any(|(n, v)| n == "unread" && v == "keep")),
    })
}

/// Checks what does not need the store and gives the send its id and time.
pub(crate) fn into_send(
    draft: Draft,
    conversation: ConversationId,
    from: &Identity,
    ids: &MessageIds,
    body_bytes_max: usize,
) -> Result<Send, Outcome> {
    if draft.body.len() > body_bytes_max {
        return Err(malformed(format!(
            "the body has {} bytes, at most {body_bytes_max} are allowed",
            draft.body.len()
        )));
    }
    let time_ms = now_ms();
    let message_id = ids.next(time_ms);
    Ok(Send {
        conversation,
        from: from.clone(),
        key: draft.cmid.map_or(SendKey::Server(draft.key.unwrap_or(message_id)), SendKey::Client),
        message_id,
        act: draft.act,
        body: draft.body,
        group_version: draft.group_version,
        previous_chain: draft.previous_chain,
        expires_ms: draft.expiry_s.map(|s| time_ms + u64::from(s) * 1000),
        time_ms,
        reads: draft.reads,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_are_uuid_7_rising_and_distinct() {
        let ids = MessageIds::new(0x1234_5678_9abc_def0);
        let made: Vec<_> = (0..1000).map(|i| ids.next(1_700_000_000_000 + i)).collect();
        for pair in made.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for id in &made {
            assert_eq!(id.0[6] >> 4, 7);
            assert_eq!(id.0[8] >> 6, 0b10);
        }
    }

    #[test]
    fn wire_sends_are_checked() {
        use wire::EntryType as Type;
        let good = wire::Send { cmid: "k".into(), body: "hi".into(), ..Default::default() };
        let draft = draft_from_wire(&good.encode_to_vec().into()).unwrap();
        assert_eq!((&draft.body[..], draft.act), (&b"hi"[..], Act::MESSAGE));
        let typed = |kind: Type| wire::Send { r#type: kind as i32, target: 5, ..good.clone() };
        let bare = |kind: Type| wire::Send { body: Bytes::new(), ..typed(kind) };
        let target = Seq(5);
        let acts = [
            (typed(Type::Edit), Act::edit(target)),
            (bare(Type::Deletion), Act::Delete { target }),
            (typed(Type::Reaction), Act::React { target }),
            (bare(Type::Reaction), Act::React { target }),
            (bare(Type::Pin), Act::Pin { target }),
            (bare(Type::Unpin), Act::Unpin { target }),
        ];
        for (send, act) in acts {
            assert_eq!(draft_from_wire(&send.encode_to_vec().into()).unwrap().act, act);
        }
        let fifty_one = vec!["bob".to_owned(); 51];
        let table = [
            (wire::Send { cmid: String::new(), ..good.clone() }, "cmid"),
            (wire::Send { cmid: "a/b".into(), ..good.clone() }, "cmid"),
            (typed(Type::Membership), "q/groups"),
            (typed(Type::Details), "q/groups"),
            (wire::Send { r#type: 99, ..good.clone() }, "type: 99"),
            (wire::Send { r#type: -1, ..good.clone() }, "type: -1"),
            (typed(Type::Message), "reply_to"),
            (typed(Type::Unspecified), "target"),
            (wire::Send { target: 0, ..typed(Type::Edit) }, "EDIT names"),
            (typed(Type::Deletion), "body: a send of type DELETION has none"),
            (typed(Type::Pin), "body"),
            (typed(Type::Unpin), "body"),
            (wire::Send { reply_to: 1, ..typed(Type::Reaction) }, "reply_to: only a MESSAGE"),
            (wire::Send { mentions: vec!["bob".into()], ..typed(Type::Reaction) }, "mentions"),
            (
                wire::Send { mentions: vec!["b/b".into()], ..typed(Type::Edit) },
                "mentions: a user id",
            ),
            (wire::Send { keep_unread: true, ..typed(Type::Edit) }, "keep_unread: only a MESSAGE"),
            (wire::Send { expiry_s: 1, ..typed(Type::Edit) }, "expiry_s"),
            (wire::Send { mentions: fifty_one, ..good.clone() }, "at most 50"),
            (wire::Send { mentions: vec!["b/b".into()], ..good.clone() }, "mentions: a user id"),
            (wire::Send { previous_chain: "short".into(), ..good.clone() }, "previous_chain"),
        ];
        for (send, word) in table {
            let Bad { cmid, outcome } = draft_from_wire(&send.encode_to_vec().into()).unwrap_err();
            assert_eq!(outcome.code, Code::PAYLOAD_INVALID);
            assert_eq!(cmid.is_some(), send.cmid == "k", "the refusal has the send's name");
            assert!(format!("{outcome:?}").contains(word), "{outcome:?}");
        }
        assert!(draft_from_wire(&Bytes::from_static(b"\xff\xff")).is_err());
        let twice = wire::Send { mentions: vec!["bob".into(), "bob".into()], reply_to: 3, ..good };
        let draft = draft_from_wire(&twice.encode_to_vec().into()).unwrap();
        let mentions = vec![UserId::new("bob").unwrap()];
        assert_eq!(draft.act, Act::Message { reply_to: Some(Seq(3)), mentions });
    }

    #[test]
    fn a_plain_key_may_stand_in_a_property() {
        let properties = godwit_core::edge::Properties {
            user: vec![("cmid".into(), "k-1".into())],
            ..Default::default()
        };
        let message = Message { properties: Some(Box::new(properties)), ..Message::default() };
        let draft = draft_from_plain(&message, None).unwrap();
        assert_eq!(draft.cmid.unwrap().as_str(), "k-1");
        let draft = draft_from_plain(&Message::default(), None).unwrap();
        assert_eq!(draft.cmid, None);
    }
}
