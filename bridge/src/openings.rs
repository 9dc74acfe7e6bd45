//! Sessions begin and end in batches, so that a storm of connects is a few statements.
//!
//! Both stand in one queue, which one task empties: what a device's connections did reaches the
//! store in their order, although none of them waits for the one before. A session that ends is in
//! the queue when [`Openings::close`] returns; who opens the next one stands behind it.
//!
//! The answer to an opening may be lost, with the store's or with the client's connection. Whoever
//! was to have the session then has none, so it is closed again before anything else happens: else it
//! would count as connected, and never expire.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use godwit_core::cursor::{Opened, Opening};
use godwit_core::ids::Identity;
use godwit_core::store::{Error, Store};
use godwit_core::tasks::Supervisor;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};

use crate::cursors::Cursors;
use crate::{limits, retry};

/// Who waits for what was kept. `None`: nobody, it is only to be forgotten.
type Asker = Option<oneshot::Sender<Opened>>;
/// Who waits until the end is noted.
type Ender = Option<oneshot::Sender<()>>;

/// One step of one device.
enum Step {
    Open(Opening, Asker),
    Close(Opening, Ender),
}

/// Steps of one kind that go into one statement.
enum Phase {
    Open(Vec<(Opening, Asker)>),
    Close(Vec<(Opening, Ender)>),
}

#[derive(Default)]
struct Queue {
    /// Openings are bounded by `limits::SESSIONS_WAITING_MAX`, ends by the sessions there are.
    steps: VecDeque<Step>,
    /// Openings among them.
    openings: usize,
    /// Since when the store has been at work with one statement, or failing.
    busy_since: Option<Instant>,
}

impl Queue {
    /// `false`: too many wait, or the store stands still and somebody would wait for it.
    fn push_opening(&mut self, opening: Opening, asker: Asker) -> bool {
        let stuck = self.busy_since.is_some_and(|at| at.elapsed() >= limits::OPENING_STUCK);
        if self.openings >= limits::SESSIONS_WAITING_MAX || (stuck && asker.is_some()) {
            return false;
        }
        self.openings += 1;
        self.steps.push_back(Step::Open(opening, asker));
        true
    }
}

/// The queue to the store.
pub(crate) struct Openings {
    store: Arc<dyn Store>,
    cursors: Arc<Cursors>,
    queue: Mutex<Queue>,
    wanted: Notify,
    /// Changes of subscriptions under way, by device.
    changes: Mutex<HashMap<Identity, watch::Sender<u32>>>,
}

impl Openings {
    /// Starts the task that empties the queue.
    pub(crate) fn start(
        store: &Arc<dyn Store>,
        cursors: &Arc<Cursors>,
        supervisor: &Arc<Supervisor>,
    ) -> Arc<Self> {
        let openings = Arc::new(Self {
            store: Arc::clone(store),
            cursors: Arc::clone(cursors),
            queue: Mutex::default(),
            wanted: Notify::new(),
            changes: Mutex::default(),
        });
        let run = Arc::clone(&openings).run();
        tokio::spawn(supervisor.watch("begins and ends of sessions", run));
        openings
    }

    /// What was kept for the device, at most `limits::OPENING_MAX` later; `None`: the store is away
    /// or slower than that, or too many wait.
    pub(crate) async fn open(&self, opening: Opening) -> Option<Opened> {
        let (tell, told) = oneshot::channel();
        let answer = async {
            self.no_change(&opening.device).await;
            if !self.push_opening(opening, Some(tell)) {
                return None;
            }
            told.await.ok()
        };
        tokio::time::timeout(limits::OPENING_MAX, answer).await.ok().flatten()
    }

    /// Forgets what was kept for a device that begins afresh and keeps nothing: there is nothing to
    /// wait for, and whatever it opens later comes behind this in the queue. With a store that is
    /// away just then, what was kept stays until its own expiry. `false`: the queue is full.
    pub(crate) fn forget(&self, opening: Opening) -> bool {
        self.push_opening(opening, None)
    }

    fn push_opening(&self, opening: Opening, asker: Asker) -> bool {
        let pushed = self.queue.lock().push_opening(opening, asker);
        if pushed {
            self.wanted.notify_one();
        }
        pushed
    }

    /// Notes the end. The receiver completes when it is stored, or given up by a broken store.
    pub(crate) fn close(&self, closing: Opening) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        self.queue.lock().steps.push_back(Step::Close(closing, Some(tell)));
        self.wanted.notify_one();
        told
    }

    /// A change of this device's subscriptions is under way until the result is dropped.
    pub(crate) fn change(self: &Arc<Self>, device: &Identity) -> Change {
        let mut changes = self.changes.lock();
        let count = changes.entry(device.clone()).or_insert_with(|| watch::Sender::new(0));
        count.send_modify(|count| *count += 1);
        Change { openings: Arc::clone(self), device: device.clone() }
    }

    /// Waits until none is under way: what it stores is part of what the next session finds.
    async fn no_change(&self, device: &Identity) {
        let count = self.changes.lock().get(device).map(watch::Sender::subscribe);
        if let Some(mut count) = count {
            // An error: the last one is over.
            let _ = count.wait_for(|count| *count == 0).await;
        }
    }

    async fn run(self: Arc<Self>) {
        loop {
            let phases = phases(self.take());
            if phases.is_empty() {
                self.wanted.notified().await;
            }
            for phase in phases {
                match phase {
                    Phase::Open(openings) => self.store_openings(openings).await,
                    Phase::Close(ends) => self.store_ends(ends).await,
                }
            }
        }
    }

    /// The next steps, without those whose asker has gone already.
    fn take(&self) -> Vec<Step> {
        let mut taken = Vec::new();
        let mut queue = self.queue.lock();
        while taken.len() < limits::SESSIONS_PER_STATEMENT {
            let Some(step) = queue.steps.pop_front() else { break };
            if let Step::Open(_, asker) = &step {
                queue.openings -= 1;
                if asker.as_ref().is_some_and(oneshot::Sender::is_closed) {
                    continue;
                }
            }
            taken.push(step);
        }
        taken
    }

    fn busy(&self, since: Option<Instant>) {
        self.queue.lock().busy_since = since;
    }

    async fn store_openings(&self, openings: Vec<(Opening, Asker)>) {
        let (openings, askers): (Vec<_>, Vec<_>) = openings.into_iter().unzip();
        self.busy(Some(Instant::now()));
        let opened = self.store.open_sessions(&openings).await;
        self.busy(None);
        let mut lost = Vec::new();
        match opened {
            Ok(opened) => {
                for ((opening, asker), opened) in openings.into_iter().zip(askers).zip(opened) {
                    if asker.is_some_and(|asker| asker.send(opened).is_err()) {
                        lost.push(opening);
                    }
                }
            }
            // The clients are told to come back: waiting here would only fill the queue. Whether
            // it was done is not known. A session of no expiry is left as it is: whoever opens it
            // next finds it over if it was, and kept as before if it was not.
            Err(error) => {
                retry::note("open_sessions", &error);
                lost.extend(openings.into_iter().filter(|opening| opening.expiry_s > 0));
            }
        }
        if !lost.is_empty() {
            // Before anything that the devices have asked for meanwhile.
            self.store_ends(lost.into_iter().map(|opening| (opening, None)).collect()).await;
        }
    }

    async fn store_ends(&self, ends: Vec<(Opening, Ender)>) {
        self.busy(Some(Instant::now()));
        // What was confirmed before the end is stored before it, so that the next session begins
        // behind it.
        self.cursors.flushed().await;
        let (ends, enders): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
        let mut backoff = retry::Backoff::new();
        while let Err(error) = self.store.close_sessions(&ends).await {
            retry::note("close_sessions", &error);
            if !matches!(error, Error::Unavailable(_)) {
                break;
            }
            tokio::time::sleep(backoff.next()).await;
        }
        self.busy(None);
        for ender in enders.into_iter().flatten() {
            let _ = ender.send(());
        }
    }
}

/// A change of a device's subscriptions under way.
pub(crate) struct Change {
    openings: Arc<Openings>,
    device: Identity,
}

impl Drop for Change {
    fn drop(&mut self) {
        let mut changes = self.openings.changes.lock();
        if let Some(count) = changes.get(&self.device) {
            count.send_modify(|count| *count -= 1);
            if *count.borrow() == 0 {
                changes.remove(&self.device);
            }
        }
    }
}

/// Steps of different devices may change places, those of one device may not: each goes into the
/// first phase of its kind that is not before its device's last one. Mostly there are two.
fn phases(steps: Vec<Step>) -> Vec<Phase> {
    let mut phases: Vec<Phase> = Vec::new();
    let mut last: HashMap<Identity, usize> = HashMap::new();
    for step in steps {
        // Ends in even phases, openings in odd ones: takeovers end first.
        let (device, odd) = match &step {
            Step::Open(opening, _) => (&opening.device, 1),
            Step::Close(closing, _) => (&closing.device, 0),
        };
        let at = last.get(device).copied().unwrap_or(0);
        let at = at + usize::from(at % 2 != odd);
        last.insert(device.clone(), at);
        while phases.len() <= at {
            phases.push(match phases.len() % 2 {
                0 => Phase::Close(Vec::new()),
                _ => Phase::Open(Vec::new()),
            });
        }
        match (&mut phases[at], step) {
            (Phase::Open(all), Step::Open(opening, asker)) => all.push((opening, asker)),
            (Phase::Close(all), Step::Close(closing, ender)) => all.push((closing, ender)),
            // The parity says that there are no others.
            _ => {}
        }
    }
    phases.retain(|phase| match phase {
        Phase::Open(all) => !all.is_empty(),
        Phase::Close(all) => !all.is_empty(),
    });
    phases
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(name: &str) -> Opening {
        let device = format!("{name}:d").parse().unwrap();
        Opening { device, clean: false, expiry_s: 60, time_ms: 1 }
    }

    fn steps(text: &str) -> Vec<Step> {
        let step = |word: &str| match word.split_once(':') {
            Some(("open", name)) => Step::Open(opening(name), None),
            _ => Step::Close(opening(word), None),
        };
        text.split(' ').map(step).collect()
    }

    fn shown(phases: &[Phase]) -> String {
        let names = |all: Vec<&Opening>| {
            let users: Vec<_> = all.iter().map(|o| o.device.user.as_str()).collect();
            users.join(",")
        };
        let phase = |phase: &Phase| match phase {
            Phase::Open(all) => format!("+{}", names(all.iter().map(|(o, _)| o).collect())),
            Phase::Close(all) => format!("-{}", names(all.iter().map(|(o, _)| o).collect())),
        };
        phases.iter().map(phase).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn connects_that_wait_for_the_store_are_bounded() {
        let mut queue = Queue::default();
        for n in 0..limits::SESSIONS_WAITING_MAX {
            assert!(queue.push_opening(opening(&n.to_string()), None));
        }
        assert!(!queue.push_opening(opening("more"), None));
        assert_eq!(queue.steps.len(), limits::SESSIONS_WAITING_MAX);
    }

    #[test]
    fn a_devices_steps_keep_their_order() {
        let table = [
            ("open:a open:b open:c", "+a,b,c"),
            ("a open:a b open:b", "-a,b +a,b"),
            ("open:a a open:a open:b b", "+a,b -a,b +a"),
            ("open:a open:a a a open:a", "+a,a -a,a +a"),
        ];
        for (given, expected) in table {
            assert_eq!(shown(&phases(steps(given))), expected, "{given}");
        }
        assert!(phases(Vec::new()).is_empty());
    }
}
