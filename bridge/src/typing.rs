//! `t/{cid}`, both ways: who types, told to the other members on screen.
//!
//! The sender's bridge decides what is passed on ([`godwit_core::typing`]); it travels as a signal,
//! and every bridge tells the devices that it has. All of it may be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use godwit_core::bus::Signal;
use godwit_core::cursor::Scope;
use godwit_core::edge::{Ack, Code, Message, Outcome, Qos};
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::membership::ConversationKind;
use godwit_core::typing::{Board, Forward, Input};
use godwit_proto::presence::v1 as wire;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::directory::Known;
use crate::feeds::Wish;
use crate::inner::Inner;
use crate::session::DeviceSession;
use crate::topic::Target;
use crate::{limits, metrics, retry};

/// Who types at this bridge's devices.
pub(crate) struct Typing {
    board: Mutex<Board>,
    /// Rows on the board: mostly none, and then no message looks for its sender there.
    rows: AtomicUsize,
    /// The board has an earlier deadline.
    wanted: Notify,
    /// Bounds the reads for conversations and users that are not cached.
    lookups: Arc<Semaphore>,
}

impl Typing {
    pub(crate) fn new() -> Self {
        Self {
            board: Mutex::new(Board::new(limits::TYPISTS_MAX)),
            rows: AtomicUsize::new(0),
            wanted: Notify::new(),
            lookups: Arc::new(Semaphore::new(limits::LOOKUPS_MAX)),
        }
    }

    /// Does something to the board; wakes the task when its next deadline has become earlier.
    fn on_board<T>(&self, act: impl FnOnce(&mut Board) -> T) -> T {
        let mut board = self.board.lock();
        let before = board.next_deadline();
        let done = act(&mut board);
        let after = board.next_deadline();
        self.rows.store(usize::from(!board.is_empty()), Ordering::Relaxed);
        drop(board);
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.wanted.notify_one();
        }
        done
    }

    /// The user's message has arrived, which ends the typing without a word.
    pub(crate) fn clear(&self, conversation: ConversationId, user: &UserId) {
        if self.rows.load(Ordering::Relaxed) > 0 {
            self.on_board(|board| board.clear(conversation, user));
        }
    }
}

/// A device has published on `t/{cid}`. With QoS 0 a refusal is told to nobody.
pub(crate) fn publish(
    session: &Arc<DeviceSession>,
    conversation: ConversationId,
    payload: &Bytes,
    ack: Ack,
) {
    let input = match read(payload) {
        Ok(input) => input,
        Err(outcome) => return ack.settle(outcome),
    };
    if session.feeds.lock().closed {
        // The will of a connection that is gone: nobody types there.
        return ack.settle(Outcome::SUCCESS);
    }
    let inner = &session.inner;
    let known = inner.directory.cached(conversation);
    if let Some(may) = known.and_then(|known| may_type(inner, &known, session)) {
        return said(session, conversation, input, may, ack);
    }
    let Ok(permit) = Arc::clone(&inner.typing.lookups).try_acquire_owned() else {
        return ack.settle(Outcome::throttled(crate::session::ASK_AGAIN));
    };
    let session = Arc::clone(session);
    tokio::spawn(async move {
        let may = look_up(&session, conversation).await;
        drop(permit);
        match may {
            Ok(may) => said(&session, conversation, input, may, ack),
            Err(error) => {
                retry::note("typing", &error);
                ack.settle(Outcome::throttled(crate::session::ASK_AGAIN));
            }
        }
    });
}

/// What the payload says; nothing at all is a START.
fn read(payload: &Bytes) -> Result<Input, Outcome> {
    let refused = |reason| Err(Outcome::refused(Code::PAYLOAD_INVALID, reason));
    let Ok(typing) = wire::Typing::decode(payload.clone()) else {
        return refused("the payload is not godwit.presence.v1.Typing, nor empty");
    };
    match wire::typing::State::try_from(typing.state) {
        Ok(wire::typing::State::Stop) => Ok(Input::Stop),
        Ok(_) => Ok(Input::Active),
        Err(_) => refused("state: START, RENEW or STOP"),
    }
}

/// What became of the right to type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    Type,
    /// Nobody is told, and nothing is wrong: a large group.
    Idle,
    No(&'static str),
}

/// `None`: not known without asking the store.
fn may_type(inner: &Inner, known: &Known, session: &DeviceSession) -> Option<May> {
    let user = &session.identity().user;
    // Absence is asked anew: the user may just have been added by another process.
    let member = known.member(user)?;
    if !member.role.may_send() {
        return Some(May::No("your role only reads here"));
    }
    if known.large {
        return Some(May::Idle);
    }
    if known.kind == ConversationKind::Direct {
        for other in known.others(user) {
            if inner.people.cached(&other.user)?.blocks(user) {
                return Some(May::No("you may not send here"));
            }
        }
    }
    Some(May::Type)
}

async fn look_up(
    session: &DeviceSession,
    conversation: ConversationId,
) -> Result<May, godwit_core::store::Error> {
    const STRANGER: May = May::No("not a member of this conversation");
    let (inner, user) = (&session.inner, &session.identity().user);
    let mut known = inner.directory.known(conversation).await?;
    if known.as_ref().is_some_and(|known| known.member(user).is_none()) {
        known = inner.directory.read(conversation).await?;
    }
    let Some(known) = known.filter(|known| known.member(user).is_some()) else {
        return Ok(STRANGER);
    };
    if known.kind == ConversationKind::Direct {
        for other in known.others(user) {
            inner.people.of(&other.user).await?;
        }
    }
    // Whatever was forgotten again meanwhile is asked for by the next key.
    Ok(may_type(inner, &known, session).unwrap_or(May::Idle))
}

fn said(session: &DeviceSession, conversation: ConversationId, input: Input, may: May, ack: Ack) {
    match may {
        May::Type => {
            let (typing, user) = (&session.inner.typing, &session.identity().user);
            let now = Instant::now();
            let forward = typing.on_board(|board| board.handle(conversation, user, input, now));
            pass_on(&session.inner, forward);
        }
        May::Idle => {}
        May::No(reason) => return ack.settle(Outcome::refused(Code::NOT_AUTHORIZED, reason)),
    }
    ack.settle(Outcome::SUCCESS);
}

fn pass_on(inner: &Inner, forward: Option<Forward>) {
    if let Some(Forward { conversation, user, active }) = forward {
        inner.announce.signal(&[Signal::Typing { conversation, user, active }]);
    }
}

/// Starts keeping the board's deadlines.
pub(crate) fn start(inner: &Arc<Inner>) -> JoinHandle<()> {
    tokio::spawn(run(Arc::clone(inner)))
}

async fn run(inner: Arc<Inner>) {
    let typing = &inner.typing;
    loop {
        let deadline = typing.board.lock().next_deadline();
        match deadline {
            Some(deadline) => tokio::select! {
                () = tokio::time::sleep_until(deadline.into()) => {}
                () = typing.wanted.notified() => continue,
            },
            None => {
                typing.wanted.notified().await;
                continue;
            }
        }
        loop {
            let due = typing.on_board(|board| board.poll(Instant::now()));
            if due.is_none() {
                break;
            }
            pass_on(&inner, due);
        }
    }
}

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

    #[test]
    fn payloads() {
        use wire::typing::State;
        let typing = |state: i32| wire::Typing { state, tag: 0 }.encode_to_vec().into();
        assert_eq!(read(&Bytes::new()).unwrap(), Input::Active);
        assert_eq!(read(&typing(State::Start as i32)).unwrap(), Input::Active);
        assert_eq!(read(&typing(State::Renew as i32)).unwrap(), Input::Active);
        assert_eq!(read(&typing(State::Stop as i32)).unwrap(), Input::Stop);
        for bad in [typing(9), Bytes::from_static(b"\xff"), Bytes::from_static(b"typing")] {
            assert_eq!(read(&bad).unwrap_err().code, Code::PAYLOAD_INVALID);
        }
    }
}
