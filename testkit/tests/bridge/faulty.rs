//! A store that fails when it is told to.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use godwit_core::change::{ChangeRequest, Refused};
use godwit_core::commit::{Committed, Send};
use godwit_core::cursor::{Behind, Feed, Move, Opened, Opening, SubscriptionChange};
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Identity, Seq, UserId};
use godwit_core::inbox::{Badge, Checked, InboxPage, InboxQuery, Inboxes, Marks, MarksChange};
use godwit_core::membership::{Conversation, Left, Member, NewConversation, Stay};
use godwit_core::notice::{Notice, Telling};
use godwit_core::offer::Offer;
use godwit_core::people::{
    Claim, Device, People, Revocation, TooMany, TooManyUnseen, User, UserChange,
};
use godwit_core::policy::{Invited, Policy, Strangers};
use godwit_core::receipt::{Receipt, Report, Verdict};
use godwit_core::store::{Error, OutboxEvent, Page, Pending, Prune, Pruned, Range, Store};
use godwit_store_sqlite::SqliteStore;
use tokio::sync::watch;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is done, and the answer is lost.
    Lost,
    /// It is not done; trying again may help.
    Away,
    /// It is not done, and trying again at once does not help.
    Broken,
    /// It is not done: the store has read its values and can never hold them.
    Rejected,
}

/// A real store whose commits and reports fail by a script.
pub(super) struct Faulty {
    store: Arc<SqliteStore>,
    script: Mutex<VecDeque<Fault>>,
    whole: AtomicU64,
    /// The next read of a log is a fault of the program.
    mad: AtomicBool,
    /// Of what is kept for devices.
    sessions: Mutex<VecDeque<Fault>>,
    /// Whether the members of conversations, once read, are held back.
    held: watch::Sender<bool>,
    /// How many are.
    holding: watch::Sender<usize>,
}

impl Faulty {
    pub(super) fn new(store: Arc<SqliteStore>) -> Arc<Self> {
        let (held, holding) = (watch::Sender::new(false), watch::Sender::new(0));
        Arc::new(Self {
            store,
            script: Mutex::default(),
            mad: AtomicBool::new(false),
            sessions: Mutex::default(),
            whole: AtomicU64::new(0),
            held,
            holding,
        })
    }

    /// Answers to reads of members are held back until [`Faulty::let_go`], and grow old.
    pub(super) fn hold_members(&self) {
        self.held.send_replace(true);
    }

    /// Waits until one is.
    pub(super) async fn holds_members(&self) {
        let mut holding = self.holding.subscribe();
        godwit_testkit::within("a read of members", holding.wait_for(|count| *count > 0))
            .await
            .expect("the store is alive");
    }

    pub(super) fn let_go(&self) {
        self.held.send_replace(false);
    }

    /// The next commits or reports fail like this, one each.
    pub(super) fn will(&self, faults: &[Fault]) {
        self.script.lock().expect("no panic under the lock").extend(faults);
    }

    /// The next read of a log panics.
    pub(super) fn will_panic_over_a_log(&self) {
        self.mad.store(true, Ordering::SeqCst);
    }

    /// How often a conversation was read with all its members.
    pub(super) fn whole_reads(&self) -> u64 {
        self.whole.load(Ordering::SeqCst)
    }

    /// The next openings of sessions or changes of subscriptions fail like this, one each.
    pub(super) fn will_in_sessions(&self, faults: &[Fault]) {
        self.sessions.lock().expect("no panic under the lock").extend(faults);
    }

    /// Whether every fault has happened.
    pub(super) fn is_through(&self) -> bool {
        self.script.lock().expect("no panic under the lock").is_empty()
    }

    async fn fail<T>(&self, done: Pending<'_, T>) -> Result<T, Error> {
        Self::fail_by(&self.script, done).await
    }

    async fn fail_by<T>(script: &Mutex<VecDeque<Fault>>, done: Pending<'_, T>) -> Result<T, Error> {
        let fault = script.lock().expect("no panic under the lock").pop_front();
        match fault {
            None => done.await,
            Some(Fault::Lost) => {
                done.await?;
                Err(Error::Unavailable("the answer was lost".into()))
            }
            Some(Fault::Away) => Err(Error::Unavailable("away".into())),
            Some(Fault::Broken) => Err(Error::Broken("broken".into())),
            Some(Fault::Rejected) => Err(Error::Rejected("no text".into())),
        }
    }
}

/// Methods that are the real store's.
macro_rules! as_it_is {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $name<'a>(&'a self $(, $argument: $type)*) -> Pending<'a, $answer> {
            self.store.$name($($argument),*)
        })*
    };
}

impl Store for Faulty {
    fn commit<'a>(&'a self, batch: &'a [Send], policy: &'a Policy) -> Pending<'a, Committed> {
        Box::pin(self.fail(self.store.commit(batch, policy)))
    }

    fn conversation(&self, id: ConversationId) -> Pending<'_, Option<Conversation>> {
        self.whole.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let found = self.store.conversation(id).await;
            let mut held = self.held.subscribe();
            self.holding.send_modify(|count| *count += 1);
            let _ = held.wait_for(|held| !held).await;
            self.holding.send_modify(|count| *count -= 1);
            found
        })
    }

    fn open_sessions<'a>(&'a self, batch: &'a [Opening]) -> Pending<'a, Vec<Opened>> {
        Box::pin(Self::fail_by(&self.sessions, self.store.open_sessions(batch)))
    }

    fn change_subscriptions<'a>(
        &'a self,
        device: &'a Identity,
        change: &'a SubscriptionChange,
    ) -> Pending<'a, ()> {
        Box::pin(Self::fail_by(&self.sessions, self.store.change_subscriptions(device, change)))
    }

    fn read_log(
        &self,
        id: ConversationId,
        range: Range,
        limit: u32,
        bytes_max: usize,
    ) -> Pending<'_, Option<Page>> {
        assert!(!self.mad.swap(false, Ordering::SeqCst), "as it was asked to");
        self.store.read_log(id, range, limit, bytes_max)
    }

    as_it_is! {
        create(new: &'a NewConversation) -> Conversation;
        direct(one: &'a UserId, other: &'a UserId) -> Option<ConversationId>;
        change(request: &'a ChangeRequest) -> Result<(Entry, Conversation), Refused>;
        stays(id: ConversationId, after: Option<(Seq, UserId)>, limit: u32) -> Vec<Stay>;
        left(user: &'a UserId, since_ms: u64, limit: u32) -> Vec<Left>;
        member(id: ConversationId, user: &'a UserId) -> Option<Member>;
        acquainted(user: &'a UserId, among: &'a [UserId]) -> Vec<UserId>;
        conversations_of(user: &'a UserId, after: Option<ConversationId>, limit: u32)
            -> Vec<Conversation>;
        close_sessions(batch: &'a [Opening]) -> ();
        behind(device: &'a Identity, feed: Feed, after: Option<ConversationId>, limit: u32)
            -> Vec<Behind>;
        move_cursors(moves: &'a [Move]) -> ();
        invite(user: &'a UserId, others: &'a [UserId], strangers: &'a Strangers, time_ms: u64)
            -> Invited;
        offer(offers: &'a [Offer]) -> ();
        offers(user: &'a UserId, since_ms: u64) -> Vec<Offer>;
        take_offer(user: &'a UserId, conversation: ConversationId) -> ();
        tell(tellings: &'a [Telling]) -> ();
        notices(device: &'a Identity, feed: Feed, after: Option<Seq>, limit: u32)
            -> Option<Vec<Notice>>;
        outbox(limit: u32) -> Vec<OutboxEvent>;
        outbox_done(ids: &'a [i64]) -> ();
        prune(prune: Prune) -> Pruned;
        ping() -> ();
        probe() -> ();
    }
}

impl Inboxes for Faulty {
    fn report<'a>(&'a self, reports: &'a [Report]) -> Pending<'a, Vec<Verdict>> {
        Box::pin(self.fail(self.store.report(reports)))
    }

    as_it_is! {
        inbox(user: &'a UserId, query: &'a InboxQuery) -> InboxPage;
        badge(user: &'a UserId, now_ms: u64) -> Badge;
        change_marks(user: &'a UserId, conversation: ConversationId, change: &'a MarksChange)
            -> Option<Marks>;
        receipts(conversation: ConversationId) -> Vec<Receipt>;
        pins(conversation: ConversationId, limit: u32) -> Vec<Entry>;
        check_inboxes(after: Option<ConversationId>, limit: u32, repair: bool) -> Checked;
    }
}

impl People for Faulty {
    as_it_is! {
        user(id: &'a UserId) -> User;
        change_user(id: &'a UserId, change: &'a UserChange) -> Result<User, User>;
        note_seen(seen: &'a [(UserId, u64)]) -> ();
        devices(user: &'a UserId) -> Vec<Device>;
        note_devices(connected: &'a [(Identity, u64)]) -> ();
        name_device(device: &'a Identity, name: &'a str) -> Option<Device>;
        revoke_device(device: &'a Identity, time_ms: u64, barred: Option<bool>)
            -> Result<Device, TooManyUnseen>;
        admit_device(device: &'a Identity) -> Option<Device>;
        revocations(after: u64, limit: u32) -> Vec<Revocation>;
        forget_unseen(before_ms: u64, limit: u32) -> Vec<Identity>;
        blocks(user: &'a UserId) -> Vec<UserId>;
        blocked_by(user: &'a UserId, among: &'a [UserId]) -> Vec<UserId>;
        block(user: &'a UserId, other: &'a UserId, on: bool, time_ms: u64)
            -> Result<Vec<ConversationId>, TooMany>;
        claim_key(caller: &'a str, key: &'a str, fingerprint: &'a [u8; 32], time_ms: u64) -> Claim;
    }
}
