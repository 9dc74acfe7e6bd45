//! A device below the bridge: a link with little room that confirms what it takes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use godwit_core::cursor::Mark;
use godwit_core::edge::{Ack, Code, Delivery, Detail, Downlink, Outcome, Session, Version};
use godwit_core::ids::Identity;
use tokio::sync::Notify;

/// What became of a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Committed { seq: u64, duplicate: bool },
    Other(Outcome),
}

#[derive(Default)]
struct State {
    queued: Vec<Mark>,
    received: Vec<(String, u64)>,
    /// What is no log entry.
    told: Vec<(String, Bytes)>,
    fates: HashMap<u32, Fate>,
    starved: bool,
    /// The connection is over.
    ended: bool,
    /// The bridge wants it to be.
    closed: Option<Code>,
    /// Its queue is full for what is no entry, too.
    stopped: bool,
}

pub(super) struct Device {
    identity: Identity,
    version: Version,
    room: usize,
    tickets: AtomicU32,
    state: Mutex<State>,
    changed: Notify,
    session: OnceLock<Arc<dyn Session>>,
    /// Held while it confirms.
    confirming: Mutex<()>,
    /// Itself, for the answers that it waits for.
    me: std::sync::Weak<Self>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Device({})", self.identity)
    }
}

impl Device {
    pub(super) fn new(identity: Identity, room: usize) -> Arc<Self> {
        Self::speaking(Version::V5, identity, room)
    }

    pub(super) fn speaking(version: Version, identity: Identity, room: usize) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            identity,
            version,
            room,
            tickets: AtomicU32::new(0),
            state: Mutex::default(),
            changed: Notify::new(),
            session: OnceLock::new(),
            confirming: Mutex::default(),
            me: me.clone(),
        })
    }

    /// From now on what was delivered is confirmed as it comes.
    pub(super) fn attach(self: &Arc<Self>, session: &Arc<dyn Session>) {
        self.session.set(Arc::clone(session)).unwrap_or_else(|_| panic!("attached twice"));
        let me = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let changed = me.changed.notified();
                me.confirm();
                changed.await;
            }
        });
    }

    /// The connection breaks: what was not confirmed has not arrived. What has, on a topic.
    pub(super) fn end(&self, topic: &str) -> Vec<u64> {
        let _confirming = self.confirming.lock().expect("no panic under the lock");
        let mut state = self.state.lock().expect("no panic under the lock");
        state.ended = true;
        let open = std::mem::take(&mut state.queued).len();
        let arrived = state.received.len() - open;
        state.received.truncate(arrived);
        state.received.iter().filter(|(t, _)| t == topic).map(|(_, seq)| *seq).collect()
    }

    fn confirm(&self) {
        let Some(session) = self.session.get() else { return };
        let _confirming = self.confirming.lock().expect("no panic under the lock");
        let (marks, starved) = {
            let mut state = self.state.lock().expect("no panic under the lock");
            (std::mem::take(&mut state.queued), std::mem::take(&mut state.starved))
        };
        if !marks.is_empty() {
            session.confirmed(&marks);
        }
        if starved {
            session.writable();
        }
    }

    pub(super) fn expect(&self) -> (u32, Ack) {
        let ticket = self.tickets.fetch_add(1, Ordering::SeqCst);
        let link = self.me.upgrade().expect("the device is alive");
        (ticket, Ack::new(link, ticket))
    }

    pub(super) async fn fate(&self, ticket: u32) -> Fate {
        self.wait(|state| state.fates.get(&ticket).cloned()).await
    }

    /// From now on its queue is full.
    pub(super) fn stop_taking(&self) {
        self.state.lock().expect("no panic under the lock").stopped = true;
    }

    /// Whether the bridge has ended the connection.
    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().expect("no panic under the lock").closed.is_some()
    }

    /// Why the bridge has ended the connection, once it has.
    pub(super) async fn closed(&self) -> Code {
        self.wait(|state| state.closed).await
    }

    /// The sequences that came on a topic, once `last` is among them.
    pub(super) async fn received_until(&self, topic: &str, last: u64) -> Vec<u64> {
        self.wait(|state| {
            let all = state.received.iter().filter(|(t, _)| t == topic).map(|(_, seq)| *seq);
            let all: Vec<_> = all.collect();
            all.contains(&last).then_some(all)
        })
        .await
    }

    /// What came on a topic of no log, once one of it is `wanted`.
    pub(super) async fn told_until(
        &self,
        topic: &str,
        wanted: impl Fn(Bytes) -> bool,
    ) -> Vec<Bytes> {
        self.wait(|state| {
            let all = state.told.iter().filter(|(t, _)| t == topic);
            let all: Vec<_> = all.map(|(_, payload)| payload.clone()).collect();
            all.iter().any(|payload| wanted(payload.clone())).then_some(all)
        })
        .await
    }

    async fn wait<T>(&self, found: impl Fn(&State) -> Option<T>) -> T {
        godwit_testkit::until("the bridge's answer", async || {
            found(&self.state.lock().expect("no panic under the lock"))
        })
        .await
    }
}

impl Downlink for Device {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn version(&self) -> Version {
        self.version
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Delivery> {
        {
            let mut state = self.state.lock().expect("no panic under the lock");
            // What is no entry has a place of its own.
            let room = self.room + usize::from(delivery.mark.is_none());
            if state.ended || state.stopped || state.queued.len() >= room {
                state.starved = true;
                return Err(delivery);
            }
            let topic = delivery.message.topic.to_string();
            match delivery.mark {
                Some(mark) => {
                    state.queued.push(mark);
                    state.received.push((topic, mark.seq.0));
                }
                None => state.told.push((topic, delivery.message.payload.clone())),
            }
        }
        self.changed.notify_one();
        Ok(())
    }

    fn room(&self) -> usize {
        let mut state = self.state.lock().expect("no panic under the lock");
        let room = if state.ended { 0 } else { self.room.saturating_sub(state.queued.len()) };
        state.starved |= room == 0;
        room
    }

    fn settle(&self, ticket: u32, outcome: Outcome) {
        let fate = match outcome.detail {
            Detail::Committed { seq, duplicate, .. } => Fate::Committed { seq: seq.0, duplicate },
            _ => Fate::Other(outcome),
        };
        self.state.lock().expect("no panic under the lock").fates.insert(ticket, fate);
        self.changed.notify_one();
    }

    fn close(&self, code: Code) {
        self.state.lock().expect("no panic under the lock").closed.get_or_insert(code);
        self.changed.notify_one();
    }
}
