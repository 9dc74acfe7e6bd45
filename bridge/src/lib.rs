//! The bridge: between MQTT topics and durable conversations.
//!
//! A message's way through it, by the stages of DESIGN.md:
//! 3. [`topic`] says what a name means; [`ingest`]: a publish becomes a validated send, which
//!    [`delay`] lets pass as fast as it may;
//! 4. [`committer`]: many sends become one transaction of the store ([`recover`]: also when its
//!    answer was lost);
//! 5. [`fate`]: each sender is told, by PUBACK and on `a`;
//! 6. [`route`]: a committed entry finds the members' devices ([`directory`], [`online`]). An
//!    announcement tells of it, or else the outbox's stream ([`events`]); what is missing is read
//!    from the log ([`mend`]);
//! 7. [`session`] pushes it to a device that is live in the log, [`pull`] reads the log for one
//!    that lags ([`feeds`] knows which it is, [`mounted`] what the device wants);
//! 8. [`cursors`]: what a device has confirmed is stored behind it.
//!
//! [`large`] takes the fan-out of large groups out of stages 6 and 7, [`notices`] tells devices in
//! the background of it; [`rates`] bounds stage 3.
//!
//! [`direct`]: REST sends the same way, without a connection.
//!
//! What is asked goes another way: [`query`] answers `q/{method}`, [`control`] creates and changes
//! conversations, for `q/groups` and for REST alike, in turn with the commits; [`offers`]: groups that
//! nobody is put into without an own yes.
//!
//! Beside the log: [`told`] says on `x` and `o` what concerns the user alone. And what passes:
//! [`receipts`] (stored, then told); [`typing`]; [`presence`] (what devices say of
//! themselves: [`stance`]; who looks at whom: [`rooms`] and [`watch`]; who may ask for whom: [`acquainted`]). What it asks of users, it
//! asks [`people`], and notes in [`seen`].
//!
//! At the end [`drain`] tells the devices.
//!
//! It refuses to know sockets, packets and SQL: the broker is behind [`godwit_core::edge`], the
//! store behind [`godwit_core::store`], other bridges behind [`godwit_core::bus`].
//!
//! Lock order: line of delayed sends, route, online shard, rooms, feeds, (mailbox of the link | dirty
//! cursors); all others are held alone, or last. No lock is held across an await; the two asynchronous
//! ones (a lane's turn, the receipts' turn) are, on purpose.

mod acquainted;
mod asked;
mod clock;
mod committer;
mod control;
mod cursors;
mod delay;
mod deliver;
mod direct;
mod directory;
mod drain;
mod events;
mod faded;
mod fate;
mod feeds;
mod ingest;
mod inner;
mod large;
mod limits;
mod mend;
mod metrics;
mod mounted;
mod notices;
mod offers;
mod online;
mod openings;
mod options;
mod outbox;
mod pace;
mod people;
mod places;
mod presence;
mod pull;
mod pulse;
mod query;
mod rates;
mod receipts;
mod recover;
mod retry;
mod rooms;
mod route;
mod seen;
mod session;
mod stance;
mod subscriptions;
mod told;
mod topic;
mod typing;
mod watch;
mod wire;
mod wish;

use std::sync::Arc;
use std::time::{Duration, Instant};

use godwit_core::bus::{
    Announce, Announcement, Commits, Control, Cut, Listen, Post, Signal, Stream,
};
use godwit_core::change::{ChangeRequest, Refused};
use godwit_core::cursor::{Feed, Opened, Opening};
use godwit_core::edge::{Begin, Begun, Code, Downlink, Outcome, Task, Upstream};
use godwit_core::entry::Entry;
use godwit_core::ids::{DeviceId, Identity, UserId};
use godwit_core::membership::{Conversation, NewConversation};
use godwit_core::notice::Telling;
use godwit_core::receipt::{Report, Verdict};
use godwit_core::store::{Pending, Store};
use godwit_core::tasks::Supervisor;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

pub use crate::options::Options;
pub use crate::topic::{TOPICS, Topic, Way};

/// Gives the bridge's metrics their help. Once the recorder is there.
pub fn describe_metrics() {
    metrics::describe();
}

use crate::feeds::Feeds;
use crate::inner::Inner;
use crate::session::DeviceSession;
use crate::wish::Wish;

/// What the bridge stands on.
#[derive(Clone)]
pub struct Ports {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// Its own announcements go there; it is made to listen by whoever starts it.
    pub announce: Arc<dyn Announce>,
    /// The outbox's events. The bridge joins it before a session begins.
    pub stream: Arc<dyn Stream>,
    /// Is told when one of its tasks dies.
    pub supervisor: Arc<Supervisor>,
}

/// The bridge of one process.
pub struct Bridge {
    inner: Arc<Inner>,
    lanes: Mutex<Vec<JoinHandle<()>>>,
    /// Stores who was seen; it ends when it is told to.
    noting: Mutex<Option<JoinHandle<()>>>,
    /// Tasks that are cut off at the end.
    clocks: Mutex<Vec<JoinHandle<()>>>,
}

impl Bridge {
    /// Starts the bridge's tasks on the current tokio runtime. `process`: random bits that set
    /// this process's message ids, and its place in the stream, apart from all others'.
    #[must_use]
    pub fn start(ports: Ports, options: Options, process: u64) -> Arc<Self> {
        let Ports { store, announce, stream, supervisor } = ports;
        let people = Arc::new(people::People::new(Arc::clone(&store)));
        let receipts = Arc::new(receipts::Receipts::new(
            Arc::clone(&store),
            Arc::clone(&announce),
            Arc::clone(&people),
            &options,
        ));
        tokio::spawn(supervisor.watch("receipts", Arc::clone(&receipts).run()));
        let (teller, strangers) = receipts::Teller::new(options.receipt_delay);
        let teller = Arc::new(teller);
        tokio::spawn(supervisor.watch("telling of receipts", Arc::clone(&teller).run()));
        let committer = Arc::new(committer::Committer::new(
            Arc::clone(&store),
            Arc::clone(&announce),
            options.clone(),
        ));
        let cursors = Arc::new(cursors::Cursors::new(Arc::clone(&store), options.cursor_delay));
        tokio::spawn(supervisor.watch("cursors", Arc::clone(&cursors).run()));
        let lanes = committer.start(&supervisor);
        let rates = rates::Rates::new(&options);
        let inner = Arc::new(Inner {
            directory: directory::Directory::new(Arc::clone(&store), options.large_group_members),
            options,
            ids: clock::MessageIds::new(process),
            online: online::Online::new(),
            openings: openings::Openings::start(&store, &cursors, &supervisor),
            committer,
            cursors,
            people,
            announce,
            acquainted: acquainted::Acquainted::default(),
            typing: typing::Typing::new(),
            presence: presence::Presences::new(),
            seen: seen::Seen::default(),
            large: large::Large::new(),
            notices: notices::Notices::default(),
            rates,
            asked: asked::Asked::default(),
            receipts,
            teller,
            pulls: Semaphore::new(limits::PULLS_MAX),
            events: outbox::Events::new(Arc::clone(&store), stream, process),
            supervisor,
            store,
        });
        let strangers = receipts::Teller::look_up(Arc::downgrade(&inner), strangers);
        tokio::spawn(inner.supervisor.watch_part("members for receipts", strangers));
        let noting = Mutex::new(Some(seen::start(&inner)));
        let mut clocks = vec![typing::start(&inner), acquainted::start(&inner)];
        clocks.extend(presence::start(&inner));
        clocks.extend([large::start(&inner), notices::start(&inner)]);
        let line = Arc::new(events::Line::default());
        let follow = events::follow(Arc::clone(&inner), Arc::clone(&line));
        clocks.push(tokio::spawn(inner.supervisor.watch("events of the outbox", follow)));
        let heal = events::heal(Arc::clone(&inner), line);
        clocks.push(tokio::spawn(inner.supervisor.watch("healing", heal)));
        Arc::new(Self { inner, lanes: Mutex::new(lanes), noting, clocks: Mutex::new(clocks) })
    }

    /// Tells every device on `x` that the server goes away, and when to come back. Call it before the
    /// broker ends the connections.
    pub fn drain(&self) {
        drain::tell(&self.inner);
    }

    /// Commits what waits, stores the cursors, and ends. New sends are answered 0x97 from now on.
    /// Call it after the broker has ended the connections.
    pub async fn shutdown(&self, timeout: Duration) {
        self.inner.supervisor.stop();
        self.inner.committer.stop();
        let lanes = std::mem::take(&mut *self.lanes.lock());
        let finish = async {
            for lane in lanes {
                let _ = lane.await;
            }
            self.inner.cursors.flushed().await;
            self.inner.receipts.store_gathered().await;
            presence::stop(&self.inner);
            self.inner.seen.stop();
            let noting = self.noting.lock().take();
            if let Some(noting) = noting {
                let _ = noting.await;
            }
        };
        if tokio::time::timeout(timeout, finish).await.is_err() {
            tracing::warn!(
                "the store did not take everything in time; unacknowledged sends will come again"
            );
        }
        for clock in std::mem::take(&mut *self.clocks.lock()) {
            clock.abort();
        }
    }

    /// Forgets the routes of all conversations that nothing is at work on, as happens one by one when
    /// there are too many. It changes nothing that a device sees; for tests and for a process that is
    /// short of memory.
    pub fn forget_routes(&self) {
        self.inner.directory.evict_all();
    }

    /// How many conversations have a route now.
    #[must_use]
    pub fn routes(&self) -> usize {
        self.inner.directory.len()
    }

    async fn begin(&self, link: Arc<dyn Downlink>, begin: Begin) -> Result<Begun, Outcome> {
        // What commits after the session's begin comes by event at the latest.
        self.inner.events.joined().await;
        let opening = Opening {
            device: link.identity().clone(),
            clean: begin.clean,
            expiry_s: begin.expiry_s,
            time_ms: clock::now_ms(),
        };
        // Without anything to resume or to keep, no connect waits for the store, so sockets open
        // also while it is away.
        let afresh = begin.clean && begin.expiry_s == 0;
        let opened = if afresh && self.inner.openings.forget(opening.clone()) {
            Opened::default()
        } else {
            let wait = Outcome::throttled(Duration::from_secs(1));
            self.inner.openings.open(opening).await.ok_or(wait)?
        };
        let mut feeds = Feeds::new(opened.present);
        for subscription in &opened.subscriptions {
            if let Some(target) = topic::parse_filter(&subscription.filter) {
                // Beyond a bound that has become lower since, the rest is not in force.
                let max = self.inner.options.subscriptions_max;
                let _ = feeds.put(target, Wish::of(subscription), max);
            }
        }
        let named = feeds.named_users();
        let kept = (begin.expiry_s > 0, opened.present);
        let session = DeviceSession::new(Arc::clone(&self.inner), Arc::clone(&link), kept, feeds);
        self.inner.online.add(&link.identity().user, Arc::clone(&session));
        presence::opened(&session);
        named.iter().for_each(|user| self.inner.acquainted.named(&session, user));
        if !named.is_empty() {
            self.inner.acquainted.look_again(&session);
        }
        if opened.present {
            session.start("looking up what a device missed", catch_up(Arc::clone(&session)));
        }
        Ok(Begun { session, present: opened.present, subscriptions: opened.subscriptions })
    }
}

impl Upstream for Bridge {
    fn open(&self, link: Arc<dyn Downlink>, begin: Begin) -> Task<'_, Result<Begun, Outcome>> {
        Box::pin(self.begin(link, begin))
    }

    fn may_publish<'a>(
        &'a self,
        who: &'a Identity,
        topic: &'a str,
    ) -> Task<'a, Result<(), Outcome>> {
        Box::pin(session::may_publish(&self.inner, who, topic))
    }
}

impl Listen for Bridge {
    fn announced(&self, announcements: &[Announcement]) {
        for announcement in announcements {
            route::announced(&self.inner, announcement.clone());
        }
    }

    fn signalled(&self, signals: &[Signal]) {
        let inner = &self.inner;
        for signal in signals {
            match signal {
                Signal::Receipt { conversation, user, cursors, share_reads } => {
                    receipts::signalled(inner, *conversation, user, *cursors, *share_reads);
                }
                // Whoever judges tokens looks, and cuts: see `Cut`.
                Signal::Revoked => {}
                Signal::UserChanged { user } => presence::user_changed(inner, user),
                Signal::Told(telling) => told::signalled(inner, telling),
                Signal::Typing { conversation, user, tag, active } => {
                    let (conversation, user) = (*conversation, user.clone());
                    let news = typing::News { conversation, user, tag: *tag, active: *active };
                    typing::signalled(inner, news);
                }
                Signal::Presence { user, presence } => {
                    presence::signalled(inner, user, *presence);
                }
            }
        }
    }
}

impl Cut for Bridge {
    fn cut(&self, user: &UserId, device: Option<&DeviceId>) {
        self.inner.online.each(user, |session| {
            if device.is_none_or(|device| session.identity().device == *device) {
                session.link.close(Code::NOT_AUTHORIZED);
            }
        });
    }
}

impl Control for Bridge {
    fn create<'a>(
        &'a self,
        new: &'a NewConversation,
        creator: Option<&'a UserId>,
    ) -> Pending<'a, Result<Conversation, Refused>> {
        Box::pin(control::create(&self.inner, new, creator))
    }

    fn change<'a>(
        &'a self,
        request: &'a ChangeRequest,
    ) -> Pending<'a, Result<(Option<Entry>, Conversation), Refused>> {
        Box::pin(control::change(&self.inner, request))
    }

    fn tell(&self, telling: Telling) -> Pending<'_, ()> {
        Box::pin(told::tell(&self.inner, vec![telling]))
    }

    fn send(&self, post: Post) -> Task<'_, Outcome> {
        Box::pin(direct::send(&self.inner, post))
    }

    fn report<'a>(&'a self, report: &'a Report) -> Pending<'a, Verdict> {
        Box::pin(self.inner.receipts.report(report.clone()))
    }

    fn commits(&self) -> Commits {
        self.inner.committer.pulse.commits(Instant::now())
    }
}

/// Looks up what a kept session has missed. Until it is known, announced entries only make the
/// device lag, so nothing overtakes what is older.
async fn catch_up(session: Arc<DeviceSession>) {
    for feed in [Feed::Log, Feed::Plain] {
        if session.feeds.lock().reads(feed) && !find_missed(&session, feed).await {
            return;
        }
    }
    session.feeds.lock().opening = false;
    pull::start(&session);
    told::start(&session, Feed::Control);
    told::start(&session, Feed::Own);
}

/// `false`: the connection has ended.
async fn find_missed(session: &DeviceSession, feed: Feed) -> bool {
    let (mut after, mut backoff) = (None, retry::Backoff::new());
    loop {
        let store = &session.inner.store;
        match store.behind(session.identity(), feed, after, limits::BEHIND_PAGE).await {
            Ok(found) => {
                let mut feeds = session.feeds.lock();
                for behind in &found {
                    if feeds.wish(feed, behind.conversation).is_some() {
                        let (next, head) = (behind.delivered_seq.next(), behind.head_seq);
                        feeds.lag(feed, behind.conversation, next, head);
                    }
                }
                after = found.last().map(|behind| behind.conversation);
                if found.len() < limits::BEHIND_PAGE as usize {
                    return true;
                }
            }
            Err(error) => {
                retry::note("behind", &error);
                if session.feeds.lock().closed {
                    return false;
                }
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}
