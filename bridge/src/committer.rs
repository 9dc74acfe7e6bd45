//! Stage 4: many senders' messages in one transaction.
//!
//! Sends wait in lanes; a conversation always uses the same lane, so its sends keep their order.
//! Each lane has one commit under way; what comes meanwhile is the next batch. A store that is
//! away leaves the batch in place: it is tried again, PUBACKs withheld. No send waits longer than
//! `hold_max`, whatever it waits for: the batches before it, or its own.
//!
//! A send is refused here only if the store has rejected its own values, alone and never before with
//! an answer that was lost ([`Error::Rejected`]). Every other failure leaves it unknown: withheld.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use godwit_core::bus::{Announce, Announcement};
use godwit_core::change::{ChangeRequest, Refused};
use godwit_core::commit::{Committed, Fate, ReadTo, Send};
use godwit_core::edge::{Code, Outcome};
use godwit_core::entry::Entry;
use godwit_core::ids::Seq;
use godwit_core::limits::BATCH_BYTES_MAX;
use godwit_core::membership::{Conversation, NewConversation};
use godwit_core::receipt::Cursors;
use godwit_core::store::{Error, Range, Store};
use godwit_core::tasks::Supervisor;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::fate::{self, Waiting};
use crate::inner::Inner;
use crate::options::Options;
use crate::pulse::Pulse;
use crate::{metrics, recover, retry};

#[derive(Default)]
struct Queue {
    sends: VecDeque<(Send, Waiting)>,
}

/// One commit at a time.
#[derive(Default)]
struct Lane {
    queue: Mutex<Queue>,
    filled: Notify,
    /// Held from the begin of a commit to its announcement: both have the log's order.
    turn: tokio::sync::Mutex<()>,
}

/// All lanes.
pub(crate) struct Committer {
    store: Arc<dyn Store>,
    announce: Arc<dyn Announce>,
    options: Options,
    lanes: Vec<Lane>,
    /// Sends without an answer, queued or held by a lane, and the bytes of their bodies.
    sends: AtomicUsize,
    bytes: AtomicUsize,
    queued: ::metrics::Gauge,
    pub(crate) pulse: Pulse,
    stopping: AtomicBool,
}

/// What a lane has taken out of its queue, until each send is answered.
struct Batch<'a> {
    committer: &'a Committer,
    sends: Vec<Send>,
    waiting: Vec<Waiting>,
    /// How many sends and bytes are given back at the end.
    weight: (usize, usize),
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let (sends, bytes) = self.weight;
        self.committer.bytes.fetch_sub(bytes, Ordering::Relaxed);
        let left = self.committer.sends.fetch_sub(sends, Ordering::Relaxed) - sends;
        self.committer.show(left);
    }
}

impl Committer {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        announce: Arc<dyn Announce>,
        options: Options,
    ) -> Self {
        let lanes: Vec<_> = (0..options.commit_lanes.max(1)).map(|_| Lane::default()).collect();
        Self {
            pulse: Pulse::new(lanes.len()),
            queued: ::metrics::gauge!(metrics::QUEUE_SENDS),
            store,
            announce,
            options,
            lanes,
            sends: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    /// Starts the lanes; each ends when its queue is empty after [`Committer::stop`].
    pub(crate) fn start(
        self: &Arc<Self>,
        supervisor: &Arc<Supervisor>,
    ) -> Vec<tokio::task::JoinHandle<()>> {
        let start = |lane| {
            let run = Arc::clone(self).run(lane);
            tokio::spawn(supervisor.watch("lane of commits", run))
        };
        (0..self.lanes.len()).map(start).collect()
    }

    /// No more sends are taken; those that wait are still committed.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for lane in &self.lanes {
            lane.filled.notify_one();
        }
    }

    /// Queues a send, or tells its sender to wait.
    pub(crate) fn submit(&self, send: Send, waiting: Waiting) {
        let (sends, bytes) = (&self.sends, send.body.len());
        let full = sends.load(Ordering::Relaxed) >= self.options.queue_sends_max
            || self.bytes.load(Ordering::Relaxed) + bytes > self.options.queue_bytes_max;
        if full || self.stopping.load(Ordering::SeqCst) {
            let outcome = Outcome::throttled(Duration::from_secs(1));
            return fate::answer(vec![(waiting, outcome, "throttled")]);
        }
        self.show(sends.fetch_add(1, Ordering::Relaxed) + 1);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let lane = &self.lanes[lane_of(send.conversation.as_bytes(), self.lanes.len())];
        lane.queue.lock().sends.push_back((send, waiting));
        lane.filled.notify_one();
    }

    /// Creates a conversation, and announces the entry that tells of it before anybody can say a
    /// word there by this process.
    pub(crate) async fn create(&self, new: &NewConversation) -> Result<Conversation, Error> {
        let lane = &self.lanes[lane_of(new.id.as_bytes(), self.lanes.len())];
        let _turn = lane.turn.lock().await;
        let made = self.store.create(new).await?;
        // At the log's end, a repeated request announces it again: the answer to the first may have
        // been lost. The direct conversation that two users had was announced when it was made.
        if made.id == new.id && made.head_seq == Seq::ZERO.next() {
            let first =
                self.store.read_log(made.id, Range::above(Seq::ZERO), 1, usize::MAX).await?;
            let group_version = made.group_version;
            let first = first.into_iter().flat_map(|page| page.entries);
            let first = first.map(|entry| Announcement { entry: Arc::new(entry), group_version });
            self.announce.announce(&first.collect::<Vec<_>>());
        }
        Ok(made)
    }

    /// Changes members, roles or details in turn with the commits of the conversation's lane, and
    /// announces it.
    pub(crate) async fn change(
        &self,
        request: &ChangeRequest,
    ) -> Result<Result<(Entry, Conversation), Refused>, Error> {
        let lane = &self.lanes[lane_of(request.conversation.as_bytes(), self.lanes.len())];
        let _turn = lane.turn.lock().await;
        let changed = self.store.change(request).await?;
        if let Ok((entry, conversation)) = &changed
            // A repeated request is told of an entry that was announced, unless the answer to the
            // first one was lost. Only at the log's end that is not seen as a gap by itself, and
            // only there announcing it again does no harm.
            && (entry.message_id == request.message_id || entry.seq == conversation.head_seq)
        {
            self.announce.announce(&[Announcement {
                entry: Arc::new(entry.clone()),
                group_version: conversation.group_version,
            }]);
        }
        Ok(changed)
    }

    async fn run(self: Arc<Self>, number: usize) {
        let lane = &self.lanes[number];
        loop {
            let mut batch = self.take(lane);
            if batch.sends.is_empty() {
                if self.stopping.load(Ordering::SeqCst) {
                    return;
                }
                lane.filled.notified().await;
                if !self.options.batch_delay.is_zero() {
                    tokio::time::sleep(self.options.batch_delay).await;
                }
                continue;
            }
            self.pulse.lane(number, Some(Instant::now()));
            let _turn = lane.turn.lock().await;
            self.commit(&mut batch).await;
            self.pulse.lane(number, None);
        }
    }

    /// The next batch of a lane, bounded in sends and bytes.
    fn take(&self, lane: &Lane) -> Batch<'_> {
        let mut queue = lane.queue.lock();
        let (mut sends, mut waiting, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some((send, _)) = queue.sends.front() {
            let over = bytes + send.body.len() > BATCH_BYTES_MAX && !sends.is_empty();
            if over || sends.len() >= self.options.batch_sends_max {
                break;
            }
            if let Some((send, who)) = queue.sends.pop_front() {
                bytes += send.body.len();
                sends.push(send);
                waiting.push(who);
            }
        }
        drop(queue);
        Batch { committer: self, weight: (sends.len(), bytes), sends, waiting }
    }

    /// Shows how many sends are without an answer.
    fn show(&self, sends: usize) {
        // A gauge may round.
        #[allow(clippy::cast_precision_loss)]
        self.queued.set(sends as f64);
    }

    async fn commit(&self, batch: &mut Batch<'_>) {
        let begun = Instant::now();
        let (sends, waiting) = self.in_time(
            std::mem::take(&mut batch.sends),
            std::mem::take(&mut batch.waiting),
            begun,
        );
        let Some(oldest) = waiting.iter().map(|w| w.since).min() else { return };
        metrics::stage("queue", begun.saturating_duration_since(oldest));
        let deadline = oldest + self.options.hold_max;
        let mut lost = false;
        match self.commit_until(&sends, deadline, &mut lost).await {
            Ok(committed) => {
                // A histogram may round.
                #[allow(clippy::cast_precision_loss)]
                ::metrics::histogram!(metrics::COMMIT_SENDS).record(sends.len() as f64);
                ::metrics::histogram!(metrics::COMMIT_SECONDS).record(begun.elapsed());
                metrics::stage("commit", begun.elapsed());
                ::metrics::counter!(metrics::COMMITS, "result" => "done").increment(1);
                self.finish(committed, waiting);
            }
            Err(Error::Unavailable(_)) => withhold(waiting),
            Err(error) => self.commit_singly(sends, waiting, lost, &error).await,
        }
    }

    /// Lets those go who have waited for `hold_max` already: the batches before took all of it.
    fn in_time(
        &self,
        sends: Vec<Send>,
        waiting: Vec<Waiting>,
        now: Instant,
    ) -> (Vec<Send>, Vec<Waiting>) {
        let late = |who: &Waiting| who.since + self.options.hold_max <= now;
        if !waiting.iter().any(late) {
            return (sends, waiting);
        }
        let (gone, left): (Vec<_>, Vec<_>) =
            sends.into_iter().zip(waiting).partition(|(_, who)| late(who));
        withhold(gone.into_iter().map(|(_, who)| who).collect());
        left.into_iter().unzip()
    }

    /// Tries until the store answers or the deadline has passed. `lost`: the answer to a try was
    /// lost, so the sends may be committed whatever comes after it.
    async fn commit_until(
        &self,
        sends: &[Send],
        deadline: Instant,
        lost: &mut bool,
    ) -> Result<Committed, Error> {
        let mut backoff = retry::Backoff::new();
        loop {
            let tried = self.store.commit(sends, &self.options.policy);
            // What is cut off is undone, or was done whole: a later try finds it by its keys.
            let tried = tokio::time::timeout_at(deadline.into(), tried).await;
            let tried = tried.unwrap_or_else(|late| Err(Error::Unavailable(Box::new(late))));
            match tried {
                Ok(mut committed) => {
                    self.pulse.succeeded(Instant::now());
                    if *lost {
                        recover::reclaim(self.store.as_ref(), sends, &mut committed).await;
                    }
                    return Ok(committed);
                }
                Err(error @ Error::Unavailable(_)) => {
                    *lost = true;
                    self.pulse.failed(Instant::now());
                    retry::note("commit", &error);
                    let wait = backoff.next();
                    if Instant::now() + wait >= deadline {
                        return Err(error);
                    }
                    tokio::time::sleep(wait).await;
                }
                Err(error) => {
                    // What is one send's own says nothing of the store.
                    if matches!(error, Error::Broken(_)) {
                        self.pulse.failed(Instant::now());
                    }
                    return Err(error);
                }
            }
        }
    }

    /// One send breaks its batch: the others shall not suffer for it. `lost`: see
    /// [`Committer::commit_until`]; then nobody is told that nothing was stored.
    async fn commit_singly(
        &self,
        sends: Vec<Send>,
        waiting: Vec<Waiting>,
        lost: bool,
        error: &Error,
    ) {
        tracing::error!(stage = "commit", %error, sends = sends.len(), "a batch broke");
        for (send, who) in sends.into_iter().zip(waiting) {
            let (deadline, mut lost) = (who.since + self.options.hold_max, lost);
            let tried = self.commit_until(std::slice::from_ref(&send), deadline, &mut lost).await;
            let error = match tried {
                Ok(committed) => {
                    self.finish(committed, vec![who]);
                    continue;
                }
                Err(error) => error,
            };
            tracing::error!(
                stage = "commit",
                %error,
                conversation.id = %send.conversation,
                "a send cannot be committed"
            );
            match error {
                Error::Rejected(_) if !lost => {
                    let reason = "the store cannot hold this; nothing was stored";
                    let outcome = Outcome::refused(Code::PAYLOAD_INVALID, reason);
                    fate::answer(vec![(who, outcome, "malformed")]);
                }
                _ => withhold(vec![who]),
            }
        }
    }

    /// Stages 5 and 6: the senders are told, then everybody else.
    fn finish(&self, committed: Committed, waiting: Vec<Waiting>) {
        let begun = Instant::now();
        let told_by = note_read(&waiting, &committed.read);
        let told = waiting.into_iter().zip(committed.fates).map(|(who, fate): (_, Fate)| {
            let (outcome, label) = fate::outcome(fate);
            (who, outcome, label)
        });
        fate::answer(told.collect());
        let announcements: Vec<_> = committed
            .entries
            .into_iter()
            .map(|(entry, group_version)| Announcement { entry: Arc::new(entry), group_version })
            .collect();
        if !announcements.is_empty() {
            self.announce.announce(&announcements);
        }
        if let Some(inner) = told_by {
            inner.receipts.sent(committed.read);
        }
        metrics::stage("ack", begun.elapsed());
    }
}

/// Who sends knows what that has read. Returns where the others are told of it.
fn note_read(waiting: &[Waiting], read: &[(ReadTo, Cursors)]) -> Option<Arc<Inner>> {
    if read.is_empty() {
        return None;
    }
    let sessions: HashMap<_, _> =
        waiting.iter().map(|who| (who.session.identity(), &who.session)).collect();
    for (to, _) in read {
        if let Some(session) = sessions.get(&to.from) {
            session.knows_own(to.conversation, to.seq);
        }
    }
    waiting.first().map(|who| Arc::clone(&who.session.inner))
}

/// Whether a try was committed is not known: no code may be given.
fn withhold(waiting: Vec<Waiting>) {
    ::metrics::counter!(metrics::COMMITS, "result" => "withheld").increment(1);
    for who in waiting {
        fate::count_lost(&who.session, &who.ack, &who.about, "withheld", &Outcome::WITHHELD);
        who.ack.settle(Outcome::WITHHELD);
    }
}

/// The lane of a conversation; its id is random.
fn lane_of(conversation: &[u8; 16], lanes: usize) -> usize {
    let mut last = [0; 8];
    last.copy_from_slice(&conversation[8..]);
    // The remainder is below `lanes`, a usize.
    usize::try_from(u64::from_be_bytes(last) % (lanes as u64)).unwrap_or_default()
}
