//! `t/{cid}` down: who types is told to the other members' devices on screen.

use std::sync::Arc;

use godwit_core::cursor::Scope;
use godwit_core::edge::{Message, Qos};
use godwit_core::ids::{ConversationId, UserId};
use godwit_proto::presence::v1 as wire;
use prost::Message as _;

use crate::directory::Known;
use crate::feeds::Wish;
use crate::inner::Inner;
use crate::topic::Target;
use crate::{metrics, retry};

/// Someone types, at this bridge or another: the other members' devices here are told.
pub(crate) fn signalled(
    inner: &Arc<Inner>,
    conversation: ConversationId,
    user: &UserId,
    active: bool,
) {
    if let Some(known) = inner.directory.cached(conversation) {
        return tell(inner, conversation, &known, user, active);
    }
    let Ok(permit) = Arc::clone(&inner.typing.lookups).try_acquire_owned() else { return };
    let (inner, user) = (Arc::clone(inner), user.clone());
    tokio::spawn(async move {
        match inner.directory.known(conversation).await {
            Ok(Some(known)) => tell(&inner, conversation, &known, &user, active),
            Ok(None) => {}
            Err(error) => retry::note("conversation", &error),
        }
        drop(permit);
    });
}

fn tell(inner: &Inner, conversation: ConversationId, known: &Known, user: &UserId, active: bool) {
    let Some(typist) = known.member(user).filter(|_| !known.large) else { return };
    let (topic, message) =
        (Target::Typing(Scope::One(conversation)), render(conversation, typist.tag, active));
    let mut told = 0;
    for other in known.others(user) {
        inner.online.each(&other.user, |session| {
            let wish = {
                let feeds = session.feeds.lock();
                if feeds.is_background() { None } else { feeds.wish_topic(&topic) }
            };
            if let Some(wish) = wish {
                let wish = Wish { qos: Qos::AtMostOnce, ..wish };
                told += u64::from(session.send(Arc::clone(&message), wish).is_ok());
            }
        });
    }
    ::metrics::counter!(metrics::TYPING).increment(told);
}

/// With a topic alias the packet has 8 bytes and the payload: at most 6 for a tag below 2^21.
fn render(conversation: ConversationId, tag: u32, active: bool) -> Arc<Message> {
    let state = if active { wire::typing::State::Start } else { wire::typing::State::Stop };
    let typing = wire::Typing { state: state as i32, tag };
    Arc::new(Message {
        topic: format!("t/{conversation}").into(),
        payload: typing.encode_to_vec().into(),
        properties: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G10: fixed header 2, topic length 2, properties length 1, topic alias 3.
    const ALIASED_PACKET_BYTES: usize = 8;

    #[test]
    fn a_typing_event_is_fourteen_bytes_at_most() {
        let conversation = ConversationId([7; 16]);
        for (tag, bytes) in [(1, 12), (127, 12), (10_000, 13), ((1 << 21) - 1, 14)] {
            for active in [true, false] {
                let message = render(conversation, tag, active);
                assert_eq!(ALIASED_PACKET_BYTES + message.payload.len(), bytes, "{tag}");
                let back = wire::Typing::decode(message.payload.clone()).unwrap();
                assert_eq!((back.tag, back.state == 1), (tag, active));
                assert_eq!(&*message.topic, format!("t/{conversation}"));
            }
        }
    }
}
