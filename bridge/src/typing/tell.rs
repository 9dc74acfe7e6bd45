//! `t/{cid}` down: who types is told to the other members' devices on screen.

use std::sync::Arc;

use godwit_core::cursor::Scope;
use godwit_core::edge::{Message, Qos};
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::tasks::contain;
use godwit_proto::presence::v1 as wire;
use prost::Message as _;

use crate::directory::Known;
use crate::inner::Inner;
use crate::session::DeviceSession;
use crate::topic::Target;
use crate::wish::Wish;
use crate::{metrics, retry};

/// What the devices of the other members are told.
#[derive(Debug, Clone)]
pub(crate) struct News {
    pub(crate) conversation: ConversationId,
    pub(crate) user: UserId,
    pub(crate) tag: u32,
    pub(crate) active: bool,
}

/// Someone types, at this bridge or another: the other members' devices here are told.
pub(crate) fn signalled(inner: &Arc<Inner>, news: News) {
    if let Some(known) = inner.directory.cached(news.conversation) {
        return tell(inner, &known, &news);
    }
    let Ok(permit) = Arc::clone(&inner.typing.lookups).try_acquire_owned() else { return };
    let inner = Arc::clone(inner);
    let look_up = async move {
        match inner.directory.known(news.conversation).await {
            Ok(Some(known)) => tell(&inner, &known, &news),
            Ok(None) => {}
            Err(error) => retry::note("conversation", &error),
        }
        drop(permit);
    };
    tokio::spawn(contain("typing in a conversation", look_up, |death| {
        metrics::signal_lost(&death);
    }));
}

fn tell(inner: &Inner, known: &Known, news: &News) {
    // The end is told also of one who is no member any more, and in a group that has grown large.
    if news.active && (known.large || known.member(&news.user).is_none()) {
        return;
    }
    let topic = Target::Typing(Scope::One(news.conversation));
    let message = render(news.conversation, news.tag, news.active);
    let mut told = 0;
    for other in known.others(&news.user) {
        inner.online.each(&other.user, |session| {
            let mut feeds = session.feeds.lock();
            let wish = if feeds.is_background() { None } else { feeds.wish_topic(&topic) };
            let Some(wish) = wish else { return };
            let wish = Wish { qos: Qos::AtMostOnce, ..wish };
            let sent = session.send(Arc::clone(&message), wish).is_ok();
            feeds.typists.told(news.conversation, news.tag, news.active, sent);
            told += u64::from(sent);
        });
    }
    ::metrics::counter!(metrics::TYPING).increment(told);
}

/// Tells a device of the ends that it had no room for, as far as it has now.
pub(crate) fn flush(session: &DeviceSession) {
    let mut feeds = session.feeds.lock();
    while let Some((conversation, tag)) = feeds.typists.first() {
        if let Some(wish) = feeds.wish_topic(&Target::Typing(Scope::One(conversation))) {
            let wish = Wish { qos: Qos::AtMostOnce, ..wish };
            if session.send(render(conversation, tag, false), wish).is_err() {
                return;
            }
        }
        feeds.typists.remove_first();
    }
    feeds.typists = super::owed::Owed::default();
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
