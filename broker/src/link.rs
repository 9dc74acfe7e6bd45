//! One connection as others see it: a mailbox that anyone may fill and one task empties.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::Waker;

use godwit_core::edge::{Code, Delivery, Downlink, Outcome, Version};
use godwit_core::ids::Identity;
use parking_lot::Mutex;

use crate::clock::now_s;

/// A queued delivery, and whether it came from a plain topic (then it waits with its client) or from
/// above (then it waits here, and the log has it).
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) delivery: Delivery,
    pub(crate) plain: bool,
    /// When it came, for the message's expiry.
    pub(crate) since_s: u32,
}

impl Queued {
    pub(crate) fn new(delivery: Delivery, plain: bool) -> Self {
        Self { delivery, plain, since_s: now_s() }
    }

    /// What it counts in the queue's bound of bytes.
    pub(crate) fn bytes(&self) -> usize {
        Self::bytes_of(&self.delivery)
    }

    /// What this delivery counts in a queue's bound of bytes.
    pub(crate) fn bytes_of(delivery: &Delivery) -> usize {
        delivery.message.payload.len() + delivery.message.topic.len() + 64
    }
}

/// What waits for the connection's task.
#[derive(Default)]
struct Mail {
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    settled: Vec<(u32, Outcome)>,
    close: Option<Code>,
    /// A delivery was given back; its giver is told when there is room.
    starved: bool,
    /// The task has ended: nothing is taken any more.
    ended: bool,
    /// The task is awake already.
    notified: bool,
    waker: Option<Waker>,
}

impl Mail {
    /// The waker to call, unless the task is awake.
    fn notify(&mut self) -> Option<Waker> {
        if std::mem::replace(&mut self.notified, true) { None } else { self.waker.clone() }
    }
}

/// What the task takes out in one go.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) settled: Vec<(u32, Outcome)>,
    pub(crate) close: Option<Code>,
}

/// One connection. Times are [`now_s`] seconds, 0: never.
pub(crate) struct Link {
    identity: Identity,
    version: Version,
    deliveries_max: usize,
    bytes_max: usize,
    /// When the client was last heard.
    pub(crate) heard_s: AtomicU32,
    /// Seconds of silence after which it is cut (one and a half keep alives).
    pub(crate) silence_s: AtomicU32,
    /// When its right ends, in milliseconds since 1970.
    pub(crate) expires_ms: AtomicU64,
    /// Since when it takes no bytes.
    pub(crate) stalled_s: AtomicU32,
    /// The server reads nothing from it for now: its silence is no sign.
    pub(crate) is_paused: AtomicBool,
    /// Something waits with the client for this connection.
    pub(crate) has_plain: AtomicBool,
    mail: Mutex<Mail>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({})", self.identity)
    }
}

impl Link {
    pub(crate) fn new(
        identity: Identity,
        version: Version,
        deliveries_max: usize,
        bytes_max: usize,
    ) -> Self {
        Self {
            identity,
            version,
            deliveries_max,
            bytes_max,
            heard_s: AtomicU32::new(now_s()),
            silence_s: AtomicU32::new(0),
            expires_ms: AtomicU64::new(0),
            stalled_s: AtomicU32::new(0),
            is_paused: AtomicBool::new(false),
            has_plain: AtomicBool::new(false),
            mail: Mutex::new(Mail::default()),
        }
    }

    /// Queues; `Err` gives back when full or ended.
    pub(crate) fn push(&self, queued: Queued) -> Result<(), Queued> {
        let waker = {
            let mut mail = self.mail.lock();
            if mail.ended || !self.has_room(&mail) {
                mail.starved = true;
                return Err(queued);
            }
            mail.queue_bytes += queued.bytes();
            mail.queue.push_back(queued);
            mail.notify()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    fn has_room(&self, mail: &Mail) -> bool {
        mail.queue.len() < self.deliveries_max && mail.queue_bytes < self.bytes_max
    }

    /// The task is being polled: it will be woken through `waker` for what comes from now on.
    pub(crate) fn watch(&self, waker: &Waker) -> Taken {
        let mut mail = self.mail.lock();
        mail.notified = false;
        if !mail.waker.as_ref().is_some_and(|w| w.will_wake(waker)) {
            mail.waker = Some(waker.clone());
        }
        Taken { settled: std::mem::take(&mut mail.settled), close: mail.close }
    }

    /// Takes deliveries for as long as `take` wants the next one.
    pub(crate) fn drain(&self, mut want: impl FnMut(&Queued) -> bool, out: &mut Vec<Queued>) {
        let mut mail = self.mail.lock();
        while mail.queue.front().is_some_and(&mut want) {
            if let Some(queued) = mail.queue.pop_front() {
                mail.queue_bytes -= queued.bytes();
                out.push(queued);
            }
        }
        if mail.queue.is_empty() {
            mail.queue = VecDeque::new();
        }
    }

    /// Deliveries that wait, and their bytes.
    pub(crate) fn queued(&self) -> (usize, usize) {
        let mail = self.mail.lock();
        (mail.queue.len(), mail.queue_bytes)
    }

    /// Whether someone whose delivery was given back may go on.
    pub(crate) fn relieved(&self) -> bool {
        let mut mail = self.mail.lock();
        let relieved = mail.starved && mail.queue.len() <= self.deliveries_max / 2;
        if relieved {
            mail.starved = false;
        }
        relieved
    }

    /// Ends the mailbox. What it holds is in the log.
    pub(crate) fn end(&self) {
        let mut mail = self.mail.lock();
        mail.ended = true;
        mail.waker = None;
        mail.settled = Vec::new();
        mail.queue = VecDeque::new();
        mail.queue_bytes = 0;
    }

    /// Something waits with the client for this connection.
    pub(crate) fn nudge(&self) {
        if self.has_plain.swap(true, Ordering::Relaxed) {
            // The task was told, and has not looked yet or has no room.
            return;
        }
        let waker = self.mail.lock().notify();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn heard(&self) {
        self.heard_s.store(now_s(), Ordering::Relaxed);
    }
}

impl Downlink for Link {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn version(&self) -> Version {
        self.version
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Delivery> {
        self.push(Queued::new(delivery, false)).map_err(|q| q.delivery)
    }

    fn room(&self) -> usize {
        let mut mail = self.mail.lock();
        if mail.ended || !self.has_room(&mail) {
            mail.starved = true;
            return 0;
        }
        self.deliveries_max - mail.queue.len()
    }

    fn settle(&self, ticket: u32, outcome: Outcome) {
        let waker = {
            let mut mail = self.mail.lock();
            if mail.ended {
                return;
            }
            mail.settled.push((ticket, outcome));
            mail.notify()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn close(&self, code: Code) {
        let waker = {
            let mut mail = self.mail.lock();
            mail.close.get_or_insert(code);
            mail.notify()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
