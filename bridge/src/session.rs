//! One connected device: its publishes going up, its feeds coming down.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use godwit_core::cursor::{Feed, Mark, Opening};
use godwit_core::edge::{
    Ack, Code, Delivery, Downlink, Message, Outcome, Publish, Qos, Session, SubscribeRequest, Task,
};
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Identity, Seq};
use godwit_core::presence::Epoch;
use godwit_core::tasks::contain;
use godwit_proto::conversation::v1 as wire;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::fate::{self, About, Waiting};
use crate::feeds::Feeds;
use crate::inner::Inner;
use crate::topic::{self, Target, Up};
use crate::wire::Rendered;
use crate::wish::Wish;
use crate::{
    clock, delay, ingest, limits, metrics, presence, pull, query, receipts, retry, told, typing,
};

/// A device's session above the broker.
pub(crate) struct DeviceSession {
    pub(crate) inner: Arc<Inner>,
    pub(crate) link: Arc<dyn Downlink>,
    /// The number of the connection: later ones have higher ones.
    pub(crate) epoch: Epoch,
    /// The store keeps it beyond the connection.
    pub(crate) kept: bool,
    /// The store has a row of it, that goes or expires from the connection's end on: also when what
    /// was kept before is kept no more.
    is_stored: bool,
    pub(crate) feeds: Mutex<Feeds>,
    /// Sends that are too fast; taken before all other locks.
    pub(crate) line: Mutex<delay::Line>,
    /// Requests on `q/`; held alone.
    pub(crate) questions: Mutex<query::Line>,
    /// There is room again for who found none, or the connection has ended.
    pub(crate) relieved: Notify,
    /// A send with QoS 0 was lost, and that was said.
    pub(crate) lost_qos_0: AtomicBool,
    /// Itself, for the tasks that it starts.
    pub(crate) me: std::sync::Weak<Self>,
}

impl DeviceSession {
    pub(crate) fn new(
        inner: Arc<Inner>,
        link: Arc<dyn Downlink>,
        (kept, was_kept): (bool, bool),
        feeds: Feeds,
    ) -> Arc<Self> {
        let epoch = inner.presence.next_epoch();
        let feeds = Mutex::new(feeds);
        Arc::new_cyclic(|me| Self {
            inner,
            link,
            epoch,
            kept,
            is_stored: kept || was_kept,
            feeds,
            line: Mutex::default(),
            questions: Mutex::default(),
            relieved: Notify::new(),
            lost_qos_0: AtomicBool::new(false),
            me: me.clone(),
        })
    }

    /// Starts a task of this device. One that dies is told and ends the connection (0x80), so that
    /// nothing waits for it: what the device misses is read from the store when it comes back.
    pub(crate) fn start(
        &self,
        task: &'static str,
        work: impl Future<Output = ()> + std::marker::Send + 'static,
    ) {
        let link = Arc::clone(&self.link);
        tokio::spawn(contain(task, work, move |death| {
            ::metrics::counter!(metrics::TASKS_DIED, "task" => task).increment(1);
            let device = link.identity();
            tracing::error!(stage = "session", %death, device.id = %device, "its connection ends");
            link.close(Code::UNSPECIFIED);
        }));
    }

    pub(crate) fn identity(&self) -> &Identity {
        self.link.identity()
    }

    /// Stage 7 for one entry: pushed when the device is live in this log, else left to be read.
    pub(crate) fn offer(&self, rendered: &Rendered<'_>) {
        let entry = rendered.entry();
        let mut feeds = self.feeds.lock();
        // What was held back while the group was large is read, now that it is served again.
        let mut released = false;
        for feed in [Feed::Log, Feed::Plain] {
            let Some(wish) = feeds.wish(feed, entry.conversation) else { continue };
            if feeds.grow(feed, entry.conversation, entry.seq) {
                released |= feeds.release_one(feed, entry.conversation);
                continue;
            }
            if feeds.was_read(feed, entry.conversation, entry.seq) {
                continue;
            }
            if feeds.opening || feeds.storing {
                feeds.lag(feed, entry.conversation, entry.seq, entry.seq);
                continue;
            }
            let mark = Mark { feed, conversation: entry.conversation, seq: entry.seq };
            if !self.shows(feed, rendered, wish) {
                if feeds.unconfirmed == 0 {
                    self.note(&[mark]);
                }
                continue;
            }
            if self.push(&mut feeds, rendered, wish, mark) {
                ::metrics::counter!(metrics::DELIVERIES, "way" => "pushed").increment(1);
            } else {
                feeds.lag(feed, entry.conversation, entry.seq, entry.seq);
            }
        }
        drop(feeds);
        if released {
            pull::start(self);
        }
    }

    /// Whether this device gets the entry on this feed: its own sends come back to a plain client
    /// only, unless it said no-local.
    pub(crate) fn shows(&self, feed: Feed, rendered: &Rendered<'_>, wish: Wish) -> bool {
        let entry = rendered.entry();
        let identity = self.identity();
        let own = entry.sender == identity.user && entry.device == identity.device;
        rendered.is_shown(feed) && !(own && (feed == Feed::Log || wish.no_local))
    }

    /// Queues a delivery; `false`: there is no room.
    pub(crate) fn push(
        &self,
        feeds: &mut Feeds,
        rendered: &Rendered<'_>,
        wish: Wish,
        mark: Mark,
    ) -> bool {
        let delivery = Delivery {
            message: rendered.message(mark.feed),
            qos: wish.qos,
            retain: false,
            mark: Some(mark),
            identifier: wish.identifier,
        };
        let taken = self.link.deliver(delivery).is_ok();
        feeds.unconfirmed += usize::from(taken);
        if taken && !self.is_receipt(rendered.entry(), wish) {
            feeds.receipts.uncount(mark);
        }
        taken
    }

    /// Whether others want to know that the entry has arrived here.
    fn is_receipt(&self, entry: &Entry, wish: Wish) -> bool {
        wish.qos == Qos::AtLeastOnce && entry.sender != self.identity().user
    }

    /// Announcements were lost: the log is read from `next`.
    pub(crate) fn fall_behind(&self, conversation: ConversationId, next: Seq, target: Seq) {
        for feed in [Feed::Log, Feed::Plain] {
            self.fall_behind_in(feed, conversation, next, target);
        }
    }

    /// As [`DeviceSession::fall_behind`], for one feed.
    pub(crate) fn fall_behind_in(
        &self,
        feed: Feed,
        conversation: ConversationId,
        next: Seq,
        target: Seq,
    ) {
        {
            let mut feeds = self.feeds.lock();
            if feeds.wish(feed, conversation).is_none() {
                return;
            }
            if feeds.grow(feed, conversation, target) {
                feeds.release_one(feed, conversation);
            } else {
                feeds.lag(feed, conversation, next, target);
            }
        }
        pull::start(self);
    }

    /// The user is no member any more, from this entry of the log on.
    pub(crate) fn cut(&self, removal: &Entry) {
        let (conversation, at) = (removal.conversation, removal.seq);
        self.inner.presence.watch.cut(self, conversation);
        let wish = {
            let mut feeds = self.feeds.lock();
            feeds.cut(conversation, at);
            feeds.receipts.cut(conversation);
            if feeds.names_users() {
                self.inner.acquainted.look_again(self);
            }
            feeds.wish_topic(&Target::Control)
        };
        if self.kept {
            // It stands in the store, and is told until it is acknowledged.
            if let Some(me) = self.me.upgrade() {
                told::start(&me, Feed::Control);
            }
        } else if let Some(wish) = wish {
            let control = wire::Control {
                kind: wire::control::Kind::Revoked as i32,
                conversation_id: conversation.0.to_vec().into(),
                by: removal.sender.to_string(),
                time_ms: removal.time_ms,
                seq: at.0,
                ..wire::Control::default()
            };
            // A hint: whoever misses it learns by the next refused send.
            let _ = self.send(crate::wire::message("x", &control), wish);
        }
    }

    /// Queues a message that is no part of a log; `Err`: there is no room.
    pub(crate) fn send(&self, message: Arc<Message>, wish: Wish) -> Result<(), Delivery> {
        self.link.deliver(Delivery {
            message,
            qos: wish.qos,
            retain: false,
            mark: None,
            identifier: wish.identifier,
        })
    }

    /// Notes confirmed places, if the session is kept.
    pub(crate) fn note(&self, marks: &[Mark]) {
        if self.kept {
            self.inner.cursors.note(self.identity(), marks);
        }
    }

    pub(crate) fn wants_fates(&self) -> bool {
        self.feeds.lock().wish_topic(&Target::Fates).is_some()
    }

    pub(crate) fn add_fate(&self, fate: wire::Fate) {
        self.feeds.lock().fates.push(fate);
    }

    /// Sends what waits for `a`, as far as there is room.
    pub(crate) fn flush_fates(&self) {
        let mut feeds = self.feeds.lock();
        let Some(wish) = feeds.wish_topic(&Target::Fates) else {
            feeds.fates = Vec::new();
            return;
        };
        while !feeds.fates.is_empty() {
            let count = feeds.fates.len().min(limits::FATES_PER_MESSAGE);
            let fates = wire::Fates { fates: feeds.fates[..count].to_vec() };
            if self.send(crate::wire::message("a", &fates), wish).is_err() {
                if feeds.fates.len() > limits::FATES_MAX {
                    tracing::debug!(stage = "ack", "a device does not read its fates");
                    self.link.close(Code::QUOTA_EXCEEDED);
                }
                return;
            }
            feeds.fates.drain(..count);
        }
        feeds.fates = Vec::new();
    }

    /// Answers a publish that did not become a send.
    pub(crate) fn refuse(self: &Arc<Self>, about: About, outcome: Outcome, ack: Ack) {
        let waiting = Waiting { ack, session: Arc::clone(self), about, since: Instant::now() };
        let label = if outcome.code == Code::QUOTA_EXCEEDED { "throttled" } else { "malformed" };
        fate::answer(vec![(waiting, outcome, label)]);
    }

    /// The device knows how far its own user has read there.
    pub(crate) fn knows_own(&self, conversation: ConversationId, read: Seq) {
        self.feeds.lock().receipts.knows_own(conversation, read);
    }

    /// Stage 3.
    pub(crate) fn ingest(
        self: &Arc<Self>,
        conversation: ConversationId,
        draft: Result<ingest::Draft, ingest::Bad>,
        ack: Ack,
    ) {
        match draft {
            Ok(draft) => delay::pass(self, conversation, draft, ack),
            Err(ingest::Bad { cmid, outcome }) => {
                self.refuse(About { conversation: Some(conversation), cmid }, outcome, ack);
            }
        }
    }

    /// Gives a send its id and time, and the committer the send.
    pub(crate) fn submit(
        self: &Arc<Self>,
        conversation: ConversationId,
        draft: ingest::Draft,
        ack: Ack,
    ) {
        let (inner, cmid) = (&self.inner, draft.cmid.clone());
        let body_max = inner.options.body_bytes_max;
        match ingest::into_send(draft, conversation, self.identity(), &inner.ids, body_max) {
            Ok(send) => {
                let (about, session) = (About::of(&send), Arc::clone(self));
                let waiting = Waiting { ack, session, about, since: Instant::now() };
                inner.committer.submit(send, waiting);
            }
            Err(outcome) => {
                self.refuse(About { conversation: Some(conversation), cmid }, outcome, ack);
            }
        }
    }

    /// Ends the session here and puts its end in the store's queue; gives what completes when it is
    /// stored, if it is to be.
    fn close(&self, expiry_s: u32) -> Option<oneshot::Receiver<()>> {
        self.line.lock().clear();
        self.questions.lock().clear();
        self.feeds.lock().closed = true;
        self.relieved.notify_waiters();
        self.inner.online.remove(&self.identity().user, self);
        self.inner.acquainted.leave(self);
        typing::closed(self);
        presence::closed(self);
        self.is_stored.then(|| {
            self.inner.openings.close(Opening {
                device: self.identity().clone(),
                clean: false,
                expiry_s,
                time_ms: clock::now_ms(),
            })
        })
    }
}

impl Session for DeviceSession {
    fn publish(&self, publish: Publish, ack: Ack) {
        let Some(me) = self.me.upgrade() else { return };
        match topic::parse_up(&publish.message.topic) {
            Ok(Up::Send(conversation)) => {
                me.ingest(conversation, ingest::draft_from_wire(&publish.message.payload), ack);
            }
            Ok(Up::Plain(conversation, cmid)) => {
                me.ingest(conversation, ingest::draft_from_plain(&publish.message, cmid), ack);
            }
            Ok(Up::Query(method)) => query::start(&me, method, publish.message, ack),
            Ok(Up::Receipts) => receipts::publish(&me, publish.message.payload, ack),
            Ok(Up::Typing(conversation)) => {
                typing::publish(&me, conversation, &publish.message.payload, ack);
            }
            Ok(Up::Presence) => presence::publish(&me, &publish.message.payload, ack),
            Err(reason) => {
                let outcome = Outcome::refused(Code::PAYLOAD_INVALID, reason);
                fate::refuse(&me, &About::default(), outcome, ack);
            }
        }
    }

    fn subscribe(&self, requests: Vec<SubscribeRequest>) -> Task<'_, Vec<Code>> {
        Box::pin(self.subscribe_all(requests))
    }

    fn unsubscribe(&self, filters: Vec<String>) -> Task<'_, Vec<Code>> {
        Box::pin(self.unsubscribe_all(filters))
    }

    fn confirmed(&self, marks: &[Mark]) {
        let receipts = {
            let mut feeds = self.feeds.lock();
            feeds.unconfirmed = feeds.unconfirmed.saturating_sub(marks.len());
            feeds.receipts.counted(marks)
        };
        self.note(marks);
        let receipts = receipts.as_deref().unwrap_or(marks);
        let of_logs: Vec<Mark>;
        let receipts = if receipts.iter().all(|mark| mark.feed.is_log()) {
            receipts
        } else {
            of_logs = receipts.iter().filter(|mark| mark.feed.is_log()).copied().collect();
            &of_logs
        };
        // In a large group each message would be a write for each member, of which nobody is told.
        let quiet = |mark: &Mark| self.inner.directory.is_large(mark.conversation);
        let user = &self.identity().user;
        if receipts.iter().any(quiet) {
            let told: Vec<Mark> = receipts.iter().filter(|mark| !quiet(mark)).copied().collect();
            self.inner.receipts.delivered(user, &told);
        } else {
            self.inner.receipts.delivered(user, receipts);
        }
    }

    fn writable(&self) {
        let (fates, receipts, typists) = {
            let feeds = self.feeds.lock();
            (!feeds.fates.is_empty(), feeds.receipts.is_stuck(), !feeds.typists.is_empty())
        };
        if fates {
            self.flush_fates();
        }
        if receipts {
            receipts::flush(self);
        }
        if typists {
            typing::flush(self);
        }
        self.relieved.notify_waiters();
        pull::start(self);
        told::go_on(self);
    }

    fn closed(&self, expiry_s: u32) -> Task<'static, ()> {
        let stored = self.close(expiry_s);
        Box::pin(async move {
            if let Some(stored) = stored {
                // An error: the process ends.
                let _ = stored.await;
            }
        })
    }
}

/// Whether a device's user may publish to this mounted topic as things stand: asked for a will, whose
/// publish nobody would see refused.
pub(crate) async fn may_publish(inner: &Inner, who: &Identity, topic: &str) -> Result<(), Outcome> {
    let conversation = match topic::parse_up(topic) {
        Ok(Up::Send(id) | Up::Plain(id, _) | Up::Typing(id)) => id,
        Ok(Up::Query(_) | Up::Receipts | Up::Presence) => return Ok(()),
        Err(reason) => return Err(Outcome::refused(Code::TOPIC_NAME_INVALID, reason)),
    };
    match inner.directory.member(conversation, &who.user).await {
        Ok(Some(member)) if member.role.may_send() => Ok(()),
        Ok(_) => {
            let reason = "not allowed to publish to the topic of the will";
            Err(Outcome::refused(Code::NOT_AUTHORIZED, reason))
        }
        Err(error) => {
            retry::note("conversation", &error);
            Err(Outcome::throttled(Duration::from_secs(1)))
        }
    }
}
