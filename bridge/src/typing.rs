//! `t/{cid}`, both ways: who types, told to the other members on screen.
//!
//! The sender's bridge decides what is passed on ([`godwit_core::typing`]); it travels as a signal,
//! and every bridge tells the devices that it has. All of it may be lost.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use godwit_core::bus::Signal;
use godwit_core::edge::{Ack, Code, Outcome};
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::membership::ConversationKind;
use godwit_core::policy::NOT_HERE;
use godwit_core::presence::Epoch;
use godwit_core::typing::{Board, Forward, Input, Typist};
use godwit_proto::presence::v1 as wire;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::directory::Known;
use crate::inner::Inner;
use crate::retry::ASK_AGAIN;
use crate::session::DeviceSession;
use crate::{limits, retry};

mod owed;
mod tell;

pub(crate) use owed::Owed;
pub(crate) use tell::{News, flush, signalled};

/// What devices have said while it is looked up whether they may, by connection and conversation.
type Lines = HashMap<(Epoch, ConversationId), VecDeque<(Input, Ack)>>;

/// Who types at this bridge's devices.
pub(crate) struct Typing {
    board: Mutex<Board>,
    /// Rows on the board: mostly none, and then no message looks for its sender there.
    rows: AtomicUsize,
    /// The board has an earlier deadline.
    wanted: Notify,
    /// Bounds the reads for conversations and users that are not cached.
    lookups: Arc<Semaphore>,
    /// In order, so that no STOP overtakes its START. At most `limits::LOOKUPS_MAX` lines of
    /// `limits::TYPING_LINE_MAX`.
    lines: Mutex<Lines>,
}

impl Typing {
    pub(crate) fn new() -> Self {
        Self {
            board: Mutex::new(Board::new(limits::TYPISTS_MAX)),
            rows: AtomicUsize::new(0),
            wanted: Notify::new(),
            lookups: Arc::new(Semaphore::new(limits::LOOKUPS_MAX)),
            lines: Mutex::default(),
        }
    }

    /// Puts it behind what waits of the same device; gives it back when nothing does.
    fn line_up(&self, key: (Epoch, ConversationId), said: (Input, Ack)) -> Option<(Input, Ack)> {
        let mut lines = self.lines.lock();
        let Some(line) = lines.get_mut(&key) else { return Some(said) };
        if line.len() < limits::TYPING_LINE_MAX {
            line.push_back(said);
            return None;
        }
        drop(lines);
        said.1.settle(Outcome::throttled(ASK_AGAIN));
        None
    }

    /// The next of a line; `None`: the line is over.
    fn next_in_line(&self, key: (Epoch, ConversationId)) -> Option<(Input, Ack)> {
        let mut lines = self.lines.lock();
        let next = lines.get_mut(&key).and_then(VecDeque::pop_front);
        if next.is_none() {
            lines.remove(&key);
        }
        next
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

    /// As [`Typing::on_board`], if anybody is there.
    fn if_typing(&self, act: impl FnOnce(&mut Board)) {
        if self.rows.load(Ordering::Relaxed) > 0 {
            self.on_board(act);
        }
    }

    /// The user's message has arrived, which ends the typing without a word.
    pub(crate) fn clear(&self, conversation: ConversationId, user: &UserId) {
        self.if_typing(|board| board.clear(conversation, user));
    }

    /// The user may not type there any more.
    pub(crate) fn end(&self, conversation: ConversationId, user: &UserId) {
        self.if_typing(|board| board.end(conversation, user));
    }

    /// Whom the user blocks may have changed.
    pub(crate) fn parted(&self, user: &UserId) {
        self.if_typing(|board| board.parted(user));
    }
}

/// A connection has ended.
pub(crate) fn closed(session: &DeviceSession) {
    session.inner.typing.if_typing(|board| board.left(session.epoch));
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
    let (inner, key) = (&session.inner, (session.epoch, conversation));
    let Some((input, ack)) = inner.typing.line_up(key, (input, ack)) else { return };
    let known = inner.directory.cached(conversation);
    if let Some(may) = known.and_then(|known| may_type(inner, &known, session)) {
        return said(session, conversation, input, may, ack);
    }
    let Ok(permit) = Arc::clone(&inner.typing.lookups).try_acquire_owned() else {
        return ack.settle(Outcome::throttled(ASK_AGAIN));
    };
    inner.typing.lines.lock().insert(key, VecDeque::from([(input, ack)]));
    let typist = Arc::clone(session);
    session.start("typing of a device", async move {
        let session = typist;
        let may = look_up(&session, conversation).await;
        if let Err(error) = &may {
            retry::note("typing", error);
        }
        while let Some((input, ack)) = session.inner.typing.next_in_line(key) {
            match may {
                Ok(ref may) => said(&session, conversation, input, may.clone(), ack),
                Err(_) => ack.settle(Outcome::throttled(ASK_AGAIN)),
            }
        }
        drop(permit);
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
#[derive(Debug, Clone, PartialEq, Eq)]
enum May {
    /// By this tag, and to this other member of a direct conversation.
    Type(u32, Option<UserId>),
    /// Nobody is told, and nothing is wrong: a large group, or someone whom the user blocks.
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
    if known.kind != ConversationKind::Direct {
        return Some(May::Type(member.tag, None));
    }
    let Some(other) = known.others(user).next() else {
        return Some(May::Type(member.tag, None));
    };
    if inner.people.cached(&other.user)?.blocks(user) {
        return Some(May::No(NOT_HERE));
    }
    if inner.people.cached(user)?.blocks(&other.user) {
        return Some(May::Idle);
    }
    Some(May::Type(member.tag, Some(other.user.clone())))
}

async fn look_up(
    session: &DeviceSession,
    conversation: ConversationId,
) -> Result<May, godwit_core::store::Error> {
    const STRANGER: May = May::No("not a member of this conversation");
    let (inner, user) = (&session.inner, &session.identity().user);
    let Some(known) = inner.directory.known_to(conversation, user).await? else {
        return Ok(STRANGER);
    };
    if known.kind == ConversationKind::Direct {
        for member in &known.members {
            inner.people.of(&member.user).await?;
        }
    }
    // Whatever was forgotten again meanwhile is asked for by the next key.
    Ok(may_type(inner, &known, session).unwrap_or(May::Idle))
}

fn said(session: &DeviceSession, conversation: ConversationId, input: Input, may: May, ack: Ack) {
    match may {
        May::Type(tag, peer) => {
            let (user, peer, source) = (&session.identity().user, peer.as_ref(), session.epoch);
            let from = Typist { conversation, user, tag, peer, source };
            let now = Instant::now();
            let forward = session.inner.typing.on_board(|board| board.handle(from, input, now));
            pass_on(&session.inner, forward);
            if session.feeds.lock().closed {
                // Gone while it was looked up.
                closed(session);
            }
        }
        May::Idle => {}
        May::No(reason) => return ack.settle(Outcome::refused(Code::NOT_AUTHORIZED, reason)),
    }
    ack.settle(Outcome::SUCCESS);
}

fn pass_on(inner: &Inner, forward: Option<Forward>) {
    if let Some(Forward { conversation, user, tag, active }) = forward {
        inner.announce.signal(&[Signal::Typing { conversation, user, tag, active }]);
    }
}

/// Starts keeping the board's deadlines.
pub(crate) fn start(inner: &Arc<Inner>) -> JoinHandle<()> {
    tokio::spawn(inner.supervisor.watch("typing", run(Arc::clone(inner))))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_device_says_while_it_is_looked_up_is_bounded() {
        let (typing, key) = (Typing::new(), (Epoch(1), ConversationId([1; 16])));
        let said = || (Input::Active, Ack::NONE);
        assert!(typing.line_up(key, said()).is_some(), "nothing waits: it is looked up");
        typing.lines.lock().insert(key, VecDeque::new());
        for _ in 0..limits::TYPING_LINE_MAX + 3 {
            assert!(typing.line_up(key, said()).is_none(), "it waits, or is answered");
        }
        let waiting = std::iter::from_fn(|| typing.next_in_line(key)).count();
        assert_eq!(waiting, limits::TYPING_LINE_MAX);
        assert!(typing.lines.lock().is_empty());
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
