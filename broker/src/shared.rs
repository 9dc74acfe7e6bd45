//! What all connections share, and what they do with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use godwit_core::edge::{
    Ack, Action, Admitted, Code, Gate, Message, Outcome, Publish, Qos, Session, SubscribeRequest,
    Upstream,
};
use godwit_core::ids::UserId;
use godwit_core::tasks::Supervisor;
use tokio::sync::{Semaphore, watch};

use crate::account::Accounts;
use crate::client::{Client, DueWill, Registry, Will};
use crate::clock::{now_s, unix_ms};
use crate::filter::Wish;
use crate::journal::Journal;
use crate::listen::Places;
use crate::metrics;
use crate::options::Options;
use crate::router::Router;

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) upstream: Option<Arc<dyn Upstream>>,
    pub(crate) registry: Arc<Registry>,
    /// What each user has here.
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) router: Router,
    /// Connections that have a task.
    pub(crate) alive: AtomicUsize,
    /// Sessions that have ended and are not stored as ended yet.
    pub(crate) ending: Arc<AtomicUsize>,
    /// Places for CONNECTs with a long token.
    pub(crate) large_hellos: Arc<Places>,
    /// Permits to tell connections beyond the census why they are closed.
    pub(crate) refusals: Arc<Semaphore>,
    /// Is told when a task dies that all clients need.
    pub(crate) supervisor: Arc<Supervisor>,
    /// Tells operators who was refused, and who has left.
    pub(crate) journal: Journal,
    /// `true`: no connection is let in any more.
    pub(crate) stop: watch::Sender<bool>,
}

impl Shared {
    /// Publishes to plain topics; answers how it went. `retain`: to be kept, as whose.
    pub(crate) fn publish_plain(
        &self,
        message: &Arc<Message>,
        qos: Qos,
        retain: Option<Option<&UserId>>,
        from: Option<&Arc<Client>>,
    ) -> Outcome {
        if let Some(owner) = retain
            && !self.router.retain(message, qos, owner)
        {
            return Outcome::refused(Code::QUOTA_EXCEEDED, "no room for more retained messages");
        }
        match self.router.publish(message, qos, retain.is_some(), from) {
            0 => Outcome { code: Code::NO_SUBSCRIBERS, detail: godwit_core::edge::Detail::None },
            _ => Outcome::SUCCESS,
        }
    }

    /// Puts a plain filter in force; `asked`: the client has, just now, so it is owed what is retained
    /// as MQTT 5's retain handling says. `Err`: the client has too many.
    pub(crate) fn subscribe_plain(
        &self,
        client: &Arc<Client>,
        filter: &str,
        request: &SubscribeRequest,
        asked: bool,
    ) -> Result<(), ()> {
        let new = client.add_filter(filter, self.options.subscriptions_max)?;
        // 0: always, 1: when the subscription is new, 2: never.
        let wanted = match request.subscription.options >> 4 & 0b11 {
            0 => true,
            1 => new,
            _ => false,
        };
        self.router.subscribe(filter, client, Wish::of(request), asked && wanted);
        Ok(())
    }

    /// Ends a plain filter; `false`: there was none.
    pub(crate) fn unsubscribe_plain(&self, client: &Arc<Client>, filter: &str) -> bool {
        let removed = client.remove_filter(filter);
        if removed {
            self.router.unsubscribe(filter, client);
        }
        removed
    }

    /// The session of a client is over: its plain filters and, if nothing holds it, itself go.
    pub(crate) fn end_session(&self, client: &Arc<Client>) {
        for filter in client.take_filters() {
            self.router.unsubscribe(&filter, client);
        }
        self.registry.forget(client);
    }

    /// Ends a session above. What it still has to store is waited for by nobody but the shutdown.
    pub(crate) fn close(&self, session: &Arc<dyn Session>, expiry_s: u32) {
        // A panic up there must not keep the client's place from others.
        let Ok(stored) = catch_unwind(AssertUnwindSafe(|| session.closed(expiry_s))) else {
            tracing::error!(stage = "session", "the end of a session panicked");
            return;
        };
        let ending = Ending::new(&self.ending);
        let end = async move {
            stored.await;
            drop(ending);
        };
        tokio::spawn(self.supervisor.watch_part("end of a session", end));
    }

    /// Publishes a will, if its client may still publish there.
    pub(crate) fn fire(&self, due: DueWill) {
        let DueWill { will, admitted, session, .. } = due;
        let Will { message, qos, retain, .. } = will;
        let grant = self.gate.authorize(&admitted, Action::Publish(&message.topic));
        match session {
            Some(session) if grant.mounted => {
                session.publish(Publish { message, qos, retain }, Ack::NONE);
            }
            _ if !grant.plain.is_empty() => {
                let owner = admitted.identity.as_ref().map(|identity| &identity.user);
                self.publish_plain(&Arc::new(message), qos, retain.then_some(owner), None);
            }
            _ => metrics::refused(Code::NOT_AUTHORIZED),
        }
    }
}

/// Counts down also when the task is cut off.
struct Ending(Arc<AtomicUsize>);

impl Ending {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A will that is due now or later, but not after the right of its client has ended.
pub(crate) fn due_will(
    will: Will,
    admitted: Arc<Admitted>,
    session: Option<Arc<dyn Session>>,
) -> DueWill {
    let right_s = admitted.expires_ms.map_or(u32::MAX, |at_ms| {
        u32::try_from(at_ms.saturating_sub(unix_ms()).div_ceil(1000)).unwrap_or(u32::MAX)
    });
    // The clock counts whole seconds: one more, so that no will comes early.
    let delay_s = if will.delay_s == 0 { 0 } else { will.delay_s.saturating_add(1) };
    let due_s = now_s().saturating_add(delay_s.min(right_s));
    DueWill { will, admitted, session, due_s }
}
