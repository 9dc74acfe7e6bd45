//! `p` up: what a device says of itself, checked and taken.

use std::sync::Arc;

use bytes::Bytes;
use godwit_core::edge::{Ack, Code, Outcome};
use godwit_core::ids::ConversationId;
use godwit_core::presence::Declared;
use godwit_core::store::Error;
use godwit_proto::presence::v1 as wire;
use prost::Message as _;

use crate::directory::Known;
use crate::fate::{self, About};
use crate::retry::ASK_AGAIN;
use crate::session::DeviceSession;
use crate::{limits, pull, retry, watch};

/// What a device says of itself.
struct Word {
    declared: Declared,
    open: Vec<ConversationId>,
}

fn read(payload: &Bytes) -> Result<Word, Outcome> {
    let refused = |reason: String| Outcome::refused(Code::PAYLOAD_INVALID, reason);
    let said = wire::Presence::decode(payload.clone()).map_err(|error| {
        refused(format!("the payload is not godwit.presence.v1.Presence: {error}"))
    })?;
    let declared = match wire::presence::State::try_from(said.state) {
        // A device that says nothing is in the foreground.
        Ok(wire::presence::State::Unspecified | wire::presence::State::Foreground) => {
            Declared::Foreground
        }
        Ok(wire::presence::State::Away) => Declared::Away,
        Ok(wire::presence::State::Background) => Declared::Background,
        Err(_) => return Err(refused("state: FOREGROUND, AWAY or BACKGROUND".to_owned())),
    };
    if said.open.len() > limits::OPEN_MAX {
        let (count, max) = (said.open.len(), limits::OPEN_MAX);
        return Err(refused(format!("{count} conversations are open, at most {max} may be")));
    }
    let mut open = Vec::with_capacity(said.open.len());
    for bytes in &said.open {
        let id = ConversationId::from_slice(bytes)
            .map_err(|_| refused("open: a conversation id must be 16 bytes".to_owned()))?;
        if !open.contains(&id) {
            open.push(id);
        }
    }
    Ok(Word { declared, open })
}

/// A device has published on `p`: all of it is taken, or nothing.
///
/// A Last Will on `p` comes here too, through the session that has ended: it says no more than the
/// end itself, whatever is in it.
pub(crate) fn publish(session: &Arc<DeviceSession>, payload: &Bytes, ack: Ack) {
    let word = match read(payload) {
        Ok(word) => word,
        Err(outcome) => return fate::refuse(session, &About::default(), outcome, ack),
    };
    let said = {
        let mut feeds = session.feeds.lock();
        if feeds.closed {
            return ack.settle(Outcome::SUCCESS);
        }
        let stance = feeds.stance_mut();
        stance.said += 1;
        stance.said
    };
    if let Some(open) = all_cached(session, &word.open) {
        take(session, said, word.declared, &open);
        return ack.settle(Outcome::SUCCESS);
    }
    {
        let mut feeds = session.feeds.lock();
        if feeds.queries >= limits::QUERIES_MAX {
            drop(feeds);
            let outcome = Outcome::throttled(ASK_AGAIN);
            return fate::refuse(session, &About::default(), outcome, ack);
        }
        feeds.queries += 1;
    }
    let speaker = Arc::clone(session);
    session.start("presence of a device", async move {
        let session = speaker;
        let outcome = match all_read(&session, &word.open).await {
            Ok(Some(open)) => {
                take(&session, said, word.declared, &open);
                Outcome::SUCCESS
            }
            Ok(None) => {
                let reason = "open: not a member of one of these conversations";
                Outcome::refused(Code::NOT_AUTHORIZED, reason)
            }
            Err(error) => {
                retry::note("presence", &error);
                Outcome::throttled(ASK_AGAIN)
            }
        };
        session.feeds.lock().queries -= 1;
        if outcome.code.is_error() {
            fate::refuse(&session, &About::default(), outcome, ack);
        } else {
            ack.settle(outcome);
        }
    });
}

/// Conversations of which the user is a member.
type Open = Vec<(ConversationId, Arc<Known>)>;

/// `None`: one of them must be read.
fn all_cached(session: &DeviceSession, ids: &[ConversationId]) -> Option<Open> {
    let cached = |id: &ConversationId| {
        let known = session.inner.directory.cached(*id)?;
        known.member(&session.identity().user).is_some().then_some((*id, known))
    };
    ids.iter().map(cached).collect()
}

/// `None`: the user is no member of one of them.
async fn all_read(session: &DeviceSession, ids: &[ConversationId]) -> Result<Option<Open>, Error> {
    let (directory, user) = (&session.inner.directory, &session.identity().user);
    let mut open = Vec::with_capacity(ids.len());
    for id in ids {
        match directory.known_to(*id, user).await? {
            Some(known) => open.push((*id, known)),
            None => return Ok(None),
        }
    }
    Ok(Some(open))
}

/// Takes a word that was found good, unless the device has said another meanwhile, or is gone.
fn take(session: &Arc<DeviceSession>, said: u64, declared: Declared, open: &Open) {
    if !watch::look(session, said, declared, open) {
        return;
    }
    super::declared(session, declared);
    if declared != Declared::Background {
        pull::start(session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(state: i32, open: Vec<Vec<u8>>) -> Bytes {
        let open = open.into_iter().map(Bytes::from).collect();
        wire::Presence { state, open }.encode_to_vec().into()
    }

    #[test]
    fn words() {
        use wire::presence::State;
        let word = read(&Bytes::new()).unwrap();
        assert_eq!((word.declared, word.open.len()), (Declared::Foreground, 0));
        let id = |i: u8| vec![i; 16];
        let word = read(&payload(State::Away as i32, vec![id(1), id(2), id(1)])).unwrap();
        assert_eq!(word.declared, Declared::Away);
        assert_eq!(word.open, [ConversationId([1; 16]), ConversationId([2; 16])]);
        let word = read(&payload(State::Background as i32, (0..16).map(id).collect())).unwrap();
        assert_eq!((word.declared, word.open.len()), (Declared::Background, 16));
        let table = [
            (payload(9, vec![]), "state"),
            (payload(1, (0..17).map(id).collect()), "17 conversations"),
            (payload(1, vec![id(1), vec![1; 15]]), "16 bytes"),
            (Bytes::from_static(b"\xff"), "Presence"),
        ];
        for (payload, word) in table {
            let outcome = read(&payload).map(|_| ()).unwrap_err();
            assert_eq!(outcome.code, Code::PAYLOAD_INVALID);
            assert!(format!("{outcome:?}").contains(word), "{outcome:?}");
        }
    }
}
