//! One connection's steady state: a hand-written future that keeps nothing for what is not
//! happening.
//!
//! Reading and writing go through buffers that all connections of a thread share; a connection
//! owns bytes only while a packet is incomplete or a write is stuck. Each turn: outcomes and
//! requests from the mailbox, PUBACKs in order, deliveries as the window allows, one write, then
//! what the client has sent. Reading pauses while a write is stuck, a subscription is being
//! stored, the quota is used up, or too many publishes wait.
//!
//! What takes a store has a task of its own, and the connection waits for its result only: a
//! connection may end, or stop polling, at any point, and a store's future that is not polled holds
//! what others wait for.

use std::cell::RefCell;
use std::future::Future as _;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use godwit_core::edge::{Admitted, Code, Outcome, Session, SubscribeRequest, Version};
use tokio::io::AsyncWrite as _;
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use crate::account::Seat;
use crate::acks::Acks;
use crate::alias;
use crate::client::{Client, Will};
use crate::clock::now_s;
use crate::codec::Codec;
use crate::inflight::Inflight;
use crate::limits::{OUTPUT_BYTES_HIGH, READ_BYTES, TURNS_MAX};
use crate::link::Link;
use crate::listen::Socket;
use crate::quota::Quota;
use crate::reply;
use crate::shared::Shared;

thread_local! {
    static INPUT: RefCell<BytesMut> = RefCell::default();
    static OUTPUT: RefCell<BytesMut> = RefCell::default();
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// What the client is told (MQTT 5); `None`: nothing, it has gone by itself.
    pub(crate) code: Option<Code>,
    /// For the log and MQTT 5's reason string.
    pub(crate) why: &'static str,
    /// The client said goodbye: no will.
    pub(crate) goodbye: bool,
}

impl End {
    pub(crate) const fn cut(code: Code, why: &'static str) -> Self {
        Self { code: Some(code), why, goodbye: false }
    }

    pub(crate) const fn lost(why: &'static str) -> Self {
        Self { code: None, why, goodbye: false }
    }
}

/// A change of subscriptions that the session above is storing, in a task of its own: one at a time.
pub(crate) struct Busy {
    pub(crate) kind: BusyKind,
    /// Answers a code for each filter that was given to it. Dropped, it goes on.
    pub(crate) task: JoinHandle<Vec<Code>>,
}

pub(crate) enum BusyKind {
    /// For each filter: refused with a code, or given to the session with these plain filters.
    Subscribe(NonZeroU16, Vec<(SubscribeRequest, Result<Vec<String>, Code>)>),
    /// Each filter, with the plain ones that it stands for.
    Unsubscribe(NonZeroU16, Vec<(String, Vec<String>)>),
    /// The right to them has ended; nobody asked.
    Revoked,
}

/// The connection ends once what is committed was told, or at the deadline.
struct Draining {
    end: End,
    deadline: Pin<Box<Sleep>>,
}

/// How long a draining connection waits for outcomes.
const DRAIN_MAX: Duration = Duration::from_secs(3);

pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) client: Arc<Client>,
    pub(crate) link: Arc<Link>,
    pub(crate) session: Option<Arc<dyn Session>>,
    pub(crate) admitted: Arc<Admitted>,
    pub(crate) version: Version,
    pub(crate) peer: SocketAddr,
    pub(crate) socket: Socket,
    pub(crate) codec: Codec,
    pub(crate) acks: Acks,
    pub(crate) inflight: Inflight,
    pub(crate) inward: Option<Box<alias::Inward>>,
    pub(crate) outward: Option<Box<alias::Outward>>,
    pub(crate) alias_max: u16,
    pub(crate) quota: Option<Box<Quota>>,
    pub(crate) busy: Option<Box<Busy>>,
    /// The client named an authentication method and may send fresh tokens.
    pub(crate) may_refresh: bool,
    /// A fresh token is being judged, in a task of its own.
    pub(crate) refresh: Option<JoinHandle<Result<Admitted, Outcome>>>,
    /// Lost messages that the CONNACK names, until the client has shown that it came.
    pub(crate) told_dropped: u64,
    /// Whether plain deliveries go before logged ones, in turns.
    pub(crate) plain_first: bool,
    /// Reading pauses until then: 3.1.1's only way to be told of a quota.
    pub(crate) pause: Option<Pin<Box<Sleep>>>,
    pub(crate) will: Option<Box<Will>>,
    pub(crate) expiry_s: u32,
    /// Its place among its user's devices.
    _seat: Option<Seat>,
    draining: Option<Box<Draining>>,
    pub(crate) input: BytesMut,
    pub(crate) output: BytesMut,
}

/// What the handshake has settled.
pub(crate) struct Entered {
    pub(crate) client: Arc<Client>,
    pub(crate) link: Arc<Link>,
    pub(crate) session: Option<Arc<dyn Session>>,
    pub(crate) admitted: Arc<Admitted>,
    /// The window of deliveries, and what an earlier connection left for it.
    pub(crate) inflight: Inflight,
    pub(crate) alias_max: u16,
    pub(crate) will: Option<Box<Will>>,
    pub(crate) expiry_s: u32,
    pub(crate) may_refresh: bool,
    pub(crate) seat: Option<Seat>,
}

impl Connection {
    /// `input`: what was read after the CONNECT already.
    pub(crate) fn new(
        shared: Arc<Shared>,
        version: Version,
        (socket, peer): (Socket, SocketAddr),
        codec: Codec,
        input: BytesMut,
        entered: Entered,
    ) -> Self {
        Self {
            shared,
            client: entered.client,
            link: entered.link,
            session: entered.session,
            admitted: entered.admitted,
            version,
            peer,
            socket,
            codec,
            acks: Acks::default(),
            inflight: entered.inflight,
            inward: None,
            outward: None,
            alias_max: entered.alias_max,
            quota: None,
            busy: None,
            may_refresh: entered.may_refresh,
            refresh: None,
            told_dropped: 0,
            plain_first: false,
            pause: None,
            will: entered.will,
            expiry_s: entered.expiry_s,
            _seat: entered.seat,
            draining: None,
            input,
            output: BytesMut::new(),
        }
    }

    /// Runs until the connection ends.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let taken = self.link.watch(cx.waker());
        for (ticket, outcome) in taken.settled {
            self.acks.settle(ticket, outcome);
        }
        // A client that comes back may have said goodbye on this connection just before: what it
        // has sent is read first.
        if let Some(code) = taken.close
            && code != Code::TAKEN_OVER
            && let Some(end) = self.asked_to_close(code)
        {
            return Poll::Ready(self.last_words(cx, end));
        }
        let borrowed = self.output.is_empty();
        if borrowed {
            self.output = OUTPUT.take();
        }
        let mut polled = self.poll_turns(cx);
        if polled.is_pending() && taken.close == Some(Code::TAKEN_OVER) {
            polled = Poll::Ready(End::cut(Code::TAKEN_OVER, "another connection has the session"));
        }
        if let Poll::Ready(end) = polled {
            polled = Poll::Ready(self.last_words(cx, end));
        }
        if polled.is_ready() {
            // What is left is written by the farewell.
            return polled;
        }
        if borrowed {
            let mut shared = std::mem::take(&mut self.output);
            if !shared.is_empty() {
                // Stuck: from here on the bytes are the connection's own, and stay where they are.
                self.output = BytesMut::from(&shared[..]);
            }
            shared.clear();
            OUTPUT.set(shared);
        } else if self.output.is_empty() {
            self.output = BytesMut::new();
        }
        polled
    }

    /// Someone wants the connection to end: at once, or (shutdown) after what waits.
    fn asked_to_close(&mut self, code: Code) -> Option<End> {
        let end = End::cut(code, "closed by the server");
        let graceful = matches!(code, Code::SERVER_SHUTTING_DOWN | Code::USE_ANOTHER_SERVER);
        if graceful {
            // What was queued before (when to come back) goes out before the goodbye.
            self.fill();
        }
        if !graceful || self.acks.is_empty() {
            return Some(end);
        }
        if self.draining.is_none() {
            let deadline = Box::pin(tokio::time::sleep(DRAIN_MAX));
            self.draining = Some(Box::new(Draining { end, deadline }));
        }
        None
    }

    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        for _ in 0..TURNS_MAX {
            match self.turn(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(end) => return Poll::Ready(end),
            }
        }
        // Others first; this one goes on in the next round.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One turn; `false`: nothing more to do until woken.
    fn turn(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        self.poll_busy(cx)?;
        self.poll_refresh(cx)?;
        self.release_acks()?;
        let more = self.fill();
        if self.poll_flush(cx)?.is_pending() {
            return Ok(false);
        }
        if let Some(draining) = &mut self.draining {
            let over = draining.deadline.as_mut().poll(cx).is_ready();
            return if over || self.acks.is_empty() { Err(draining.end) } else { Ok(false) };
        }
        let read = self.poll_input(cx)?;
        // Last, so that what came and what waits go before what is owed.
        let replayed = self.replay();
        Ok(read || more || replayed)
    }

    /// Stage 5.
    fn release_acks(&mut self) -> Result<(), End> {
        while let Some((packet_id, outcome)) = self.acks.pop_ready() {
            if outcome.detail == godwit_core::edge::Detail::Withheld {
                return Err(End::cut(Code::SERVER_BUSY, "a publish could not be committed"));
            }
            if self.version == Version::V3 && !outcome.code.is_final() {
                // 3.1.1 cannot be told to wait, and an acknowledgement would mean "done".
                return Err(End::cut(outcome.code, "a publish is refused only for now"));
            }
            if let Some(packet_id) = NonZeroU16::new(packet_id) {
                reply::puback(&self.codec, packet_id, &outcome, &mut self.output);
            }
        }
        Ok(())
    }

    fn poll_busy(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let Some(busy) = &mut self.busy else { return Ok(()) };
        let Poll::Ready(codes) = Pin::new(&mut busy.task).poll(cx) else { return Ok(()) };
        let codes = codes.map_err(|_| End::cut(Code::UNSPECIFIED, "a subscription's task died"))?;
        if let Some(busy) = self.busy.take() {
            self.finish_busy(busy.kind, &codes);
        }
        Ok(())
    }

    fn poll_refresh(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let Some(refresh) = &mut self.refresh else { return Ok(()) };
        let Poll::Ready(verdict) = Pin::new(refresh).poll(cx) else { return Ok(()) };
        self.refresh = None;
        let verdict = verdict.map_err(|_| End::cut(Code::UNSPECIFIED, "a token's judge died"))?;
        self.refreshed(verdict)
    }

    /// Writes all there is; `Pending`: the client takes no more for now.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        let mut written = 0;
        let state = loop {
            if written == self.output.len() {
                break Pin::new(&mut self.socket).poll_flush(cx).map(|flushed| flushed.map(|()| 0));
            }
            match Pin::new(&mut self.socket).poll_write(cx, &self.output[written..]) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => written += count,
                other => break other,
            }
        };
        let stuck = state.is_pending();
        if written == self.output.len() {
            self.output.clear();
        } else {
            let _ = self.output.split_to(written);
        }
        let since_s = if stuck { now_s() } else { 0 };
        let stalled_s = &self.link.stalled_s;
        if !stuck || written > 0 || stalled_s.load(Ordering::Relaxed) == 0 {
            stalled_s.store(since_s, Ordering::Relaxed);
        }
        match state {
            Poll::Ready(Ok(_)) => Ok(Poll::Ready(())),
            Poll::Ready(Err(_)) => Err(End::lost("the client cannot be written to")),
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    /// Whether a packet may be handled now.
    fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.pause = None;
        }
        // Beyond Receive Maximum nothing is read: 3.1.1 knows no such bound, and common clients of
        // MQTT 5 go beyond it after an outage. What they send waits in the kernel's buffers.
        let full = self.acks.len() >= usize::from(self.shared.options.receive_maximum);
        self.busy.is_none()
            && self.refresh.is_none()
            && !full
            && self.output.len() < OUTPUT_BYTES_HIGH
    }

    /// Reads and handles; `true`: something was done.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let may_read = self.may_read(cx);
        if self.link.is_paused.swap(!may_read, Ordering::Relaxed) && may_read {
            // Its silence counts from now on.
            self.link.heard();
        }
        if !may_read {
            return Ok(!self.output.is_empty());
        }
        let mut buffer = std::mem::take(&mut self.input);
        let shared = buffer.is_empty();
        if shared {
            buffer = INPUT.take();
        }
        let result = self.read_into(cx, &mut buffer);
        if shared {
            if !buffer.is_empty() {
                self.input = BytesMut::from(&buffer[..]);
            }
            buffer.clear();
            INPUT.set(buffer);
        } else if !buffer.is_empty() {
            self.input = buffer;
        }
        result
    }

    fn read_into(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Result<bool, End> {
        if self.handle_all(cx, buffer)? {
            // Its answers first.
            return Ok(true);
        }
        if !self.may_read(cx) {
            return Ok(false);
        }
        buffer.reserve(READ_BYTES);
        let socket = Pin::new(&mut self.socket);
        match ready_or(tokio_util::io::poll_read_buf(socket, cx, buffer)) {
            None => Ok(false),
            Some(Ok(0)) => Err(End::lost("the client closed the connection")),
            Some(Ok(_)) => {
                self.link.heard();
                self.handle_all(cx, buffer)?;
                Ok(true)
            }
            Some(Err(_)) => Err(End::lost("the connection broke")),
        }
    }

    /// Handles whole packets for as long as it may; `true`: there was one.
    fn handle_all(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Result<bool, End> {
        let mut any = false;
        while !buffer.is_empty() && self.may_read(cx) {
            match self.codec.decode(buffer) {
                Ok(Some(packet)) => {
                    any = true;
                    self.handle(packet.into())?;
                }
                Ok(None) => break,
                Err(error) => return Err(End::cut(error.code, error.what)),
            }
        }
        Ok(any)
    }
}

fn ready_or<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Runs a connection to its end.
pub(crate) struct Run<'a>(pub(crate) &'a mut Connection);

impl std::future::Future for Run<'_> {
    type Output = End;

    /// A panic ends this connection like any other end: its session is closed, its place is free.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        match catch_unwind(AssertUnwindSafe(|| self.0.poll(cx))) {
            Ok(polled) => Poll::Ready(ready!(polled)),
            Err(_) => {
                // Half a packet may stand there.
                self.0.output.clear();
                tracing::error!(stage = "session", "a connection's task panicked and is ended");
                Poll::Ready(End::lost("a fault of the server"))
            }
        }
    }
}
