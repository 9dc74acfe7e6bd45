//! Stage 7 for receipts: what has moved finds the members' devices.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytestring::ByteString;
use godwit_core::cursor::Scope;
use godwit_core::edge::{Code, Message};
use godwit_core::ids::{ConversationId, Seq, UserId};
use godwit_core::membership::ConversationKind;
use godwit_core::receipt::Cursors;
use godwit_core::store::Error;
use godwit_proto::receipt::v1 as wire;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::directory::Known;
use crate::inner::Inner;
use crate::session::DeviceSession;
use crate::topic::Target;
use crate::{limits, metrics, retry};

/// A user has got further.
#[derive(Debug, Clone)]
pub(crate) struct News {
    conversation: ConversationId,
    user: UserId,
    cursors: Cursors,
    share_reads: bool,
}

/// The devices that are to be told soon, and the news whose members are not known yet.
pub(crate) struct Teller {
    /// How long news is gathered for a device: a little longer than reports are gathered for the
    /// store, so that the first of a burst, stored at once, and the rest of it are one receipt.
    window: Duration,
    /// Constant waits: the first is due first. Bounded by the connected devices.
    due: Mutex<VecDeque<(Instant, Weak<DeviceSession>)>>,
    scheduled: Notify,
    strangers: mpsc::Sender<News>,
}

impl Teller {
    /// The teller, and the news that it cannot place: for [`Teller::look_up`].
    pub(crate) fn new(delay: Duration) -> (Self, mpsc::Receiver<News>) {
        let (strangers, news) = mpsc::channel(limits::RECEIPTS_LOOKUPS_MAX);
        let (due, scheduled) = (Mutex::default(), Notify::new());
        (Self { window: delay + delay / 4, due, scheduled, strangers }, news)
    }

    /// The members of its conversation must be read first; `false`: too many wait for theirs.
    fn ask(&self, news: News) -> bool {
        self.strangers.try_send(news).is_ok()
    }

    fn schedule(&self, session: &DeviceSession) {
        let due = (Instant::now() + self.window, session.me.clone());
        self.due.lock().push_back(due);
        self.scheduled.notify_one();
    }

    /// Tells devices in time until the process ends.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let next = self.due.lock().front().map(|(at, _)| *at);
            let Some(at) = next else {
                self.scheduled.notified().await;
                continue;
            };
            tokio::time::sleep_until(at).await;
            let due = self.due.lock().pop_front();
            if let Some(session) = due.and_then(|(_, session)| session.upgrade()) {
                session.feeds.lock().receipts.scheduled = false;
                flush(&session);
            }
            // Thousands may be due at once; others have work, too.
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Places the news of conversations whose members must be read first, until the bridge is gone.
    pub(crate) async fn look_up(inner: Weak<Inner>, mut news: mpsc::Receiver<News>) {
        while let Some(news) = news.recv().await {
            let Some(inner) = inner.upgrade() else { return };
            match look_up_one(&inner, news.conversation).await {
                Ok(Some(known)) => place(&inner, &known, &news),
                Ok(None) => {}
                // What passes may be lost: whoever opens the conversation asks for its receipts.
                Err(error) => {
                    retry::note("conversation", &error);
                    ::metrics::counter!(metrics::RECEIPTS_DROPPED, "why" => "members").increment(1);
                }
            }
        }
    }
}

/// Reads the members, and of a direct conversation whom they block.
async fn look_up_one(
    inner: &Inner,
    conversation: ConversationId,
) -> Result<Option<Arc<Known>>, Error> {
    let known = inner.directory.known(conversation).await?;
    if let Some(known) = known.as_ref().filter(|known| known.kind == ConversationKind::Direct) {
        for member in &known.members {
            inner.people.of(&member.user).await?;
        }
    }
    Ok(known)
}

/// Whether the two of a direct conversation are to know nothing of each other, for one blocks the
/// other; `None`: that must be read first.
fn apart(inner: &Inner, known: &Known, user: &UserId) -> Option<bool> {
    if known.kind != ConversationKind::Direct {
        return Some(false);
    }
    let own = inner.people.cached(user)?;
    let mut apart = false;
    for other in known.others(user) {
        apart |= own.blocks(&other.user) || inner.people.cached(&other.user)?.blocks(user);
    }
    Some(apart)
}

/// A signal of the bus.
pub(crate) fn signalled(
    inner: &Inner,
    conversation: ConversationId,
    user: &UserId,
    cursors: Cursors,
    share_reads: bool,
) {
    let news = News { conversation, user: user.clone(), cursors, share_reads };
    let known = inner.directory.cached(conversation);
    match known.filter(|known| apart(inner, known, user).is_some()) {
        Some(known) => place(inner, &known, &news),
        None => {
            if !inner.teller.ask(news) {
                ::metrics::counter!(metrics::RECEIPTS_DROPPED, "why" => "members").increment(1);
            }
        }
    }
}

/// Gives news to the devices of the members; of a large group, to the user's own only.
fn place(inner: &Inner, known: &Known, news: &News) {
    let Cursors { delivered, read } = news.cursors;
    if known.member(&news.user).is_none() {
        return;
    }
    // What was read has arrived, also when nothing is said of that.
    let to_own = Cursors { delivered: delivered.max(read), read };
    inner.online.each(&news.user, |session| offer(session, news, to_own));
    let to_others = Cursors { delivered, read: if news.share_reads { read } else { Seq::ZERO } };
    // What is not known any more, a moment after it was read, is not told: what passes may be lost.
    if known.large
        || to_others == Cursors::default()
        || apart(inner, known, &news.user) != Some(false)
    {
        return;
    }
    for member in known.others(&news.user) {
        inner.online.each(&member.user, |session| offer(session, news, to_others));
    }
}

/// Queues news for one device, if it wants it.
fn offer(session: &DeviceSession, news: &News, cursors: Cursors) {
    let mut feeds = session.feeds.lock();
    let topic = Target::Receipts(Scope::One(news.conversation));
    if feeds.closed || feeds.wish_topic(&topic).is_none() {
        return;
    }
    let receipts = &mut feeds.receipts;
    // Of its own user a device wants to know what another one has read.
    let own = news.user == session.identity().user;
    if own && !receipts.knows_own(news.conversation, cursors.read) {
        return;
    }
    if !receipts.put(news.conversation, &news.user, cursors) {
        tracing::debug!(stage = "deliver", "a device does not read its receipts");
        session.link.close(Code::QUOTA_EXCEEDED);
        return;
    }
    if !std::mem::replace(&mut receipts.scheduled, true) {
        session.inner.teller.schedule(session);
    }
}

/// Tells a device what waits, as far as there is room; the rest waits for room.
pub(crate) fn flush(session: &DeviceSession) {
    let mut feeds = session.feeds.lock();
    while let Some((conversation, users)) = feeds.receipts.first(limits::RECEIPTS_PER_MESSAGE) {
        let count = users.len();
        if let Some(wish) = feeds.wish_topic(&Target::Receipts(Scope::One(conversation))) {
            let message = render(conversation, &users);
            if session.send(Arc::new(message), wish).is_err() {
                return;
            }
            ::metrics::counter!(metrics::RECEIPTS_TOLD).increment(1);
        }
        feeds.receipts.told(count);
    }
}

fn render(conversation: ConversationId, users: &[(&UserId, Cursors)]) -> Message {
    let receipts = users.iter().map(|(user, cursors)| wire::UserReceipt {
        user: user.to_string(),
        delivered: cursors.delivered.0,
        read: cursors.read.0,
    });
    Message {
        topic: ByteString::from(format!("r/{conversation}")),
        payload: wire::ReceiptUpdates { receipts: receipts.collect() }.encode_to_vec().into(),
        properties: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_that_wait_for_members_are_bounded() {
        let (teller, mut waiting) = Teller::new(Duration::ZERO);
        let news = || News {
            conversation: ConversationId([1; 16]),
            user: UserId::new("alice").unwrap(),
            cursors: Cursors::default(),
            share_reads: true,
        };
        for _ in 0..limits::RECEIPTS_LOOKUPS_MAX {
            assert!(teller.ask(news()));
        }
        assert!(!teller.ask(news()), "the next one is left out");
        assert!(waiting.try_recv().is_ok() && teller.ask(news()), "until there is room");
    }
}
