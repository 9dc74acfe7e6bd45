//! `x` and `o` down: what concerns a user beside the logs ([`godwit_core::notice`]).
//!
//! A kept session reads it from the store, above its cursor, which its acknowledgements move: a signal
//! only says that there is something. All others are told by the signal itself.

use std::sync::Arc;

use godwit_core::bus::Signal;
use godwit_core::cursor::{Feed, Mark, NO_CONVERSATION, Scope, SubscriptionChange};
use godwit_core::edge::{Delivery, Message};
use godwit_core::ids::{ConversationId, Seq};
use godwit_core::limits::NOTICES_PAGE;
use godwit_core::notice::{Notice, Telling, What};
use godwit_core::store::Error;
use godwit_proto::{conversation::v1 as log_wire, inbox::v1 as wire};

use crate::inner::Inner;
use crate::retry;
use crate::session::DeviceSession;
use crate::topic::Target;

const fn target(feed: Feed) -> Target {
    match feed {
        Feed::Own => Target::Own,
        Feed::Log | Feed::Plain | Feed::Control => Target::Control,
    }
}

/// What reaches a feed, or is reached by it.
pub(crate) const fn targets(feed: Feed) -> [Target; 3] {
    [Target::Everything, Target::OneLevel, target(feed)]
}

/// Notes what the user's devices are to be told, and tells those that are connected.
pub(crate) async fn tell(inner: &Inner, tellings: Vec<Telling>) -> Result<(), Error> {
    inner.store.tell(&tellings).await?;
    let signals: Vec<_> = tellings.into_iter().map(Signal::Told).collect();
    inner.announce.signal(&signals);
    Ok(())
}

/// The devices connected here are told.
pub(crate) fn signalled(inner: &Inner, telling: &Telling) {
    let feed = telling.what.feed();
    inner.online.each(&telling.user, |session| {
        if telling.device.as_ref() == Some(&session.identity().device) {
            return;
        }
        if session.kept {
            return start(session, feed);
        }
        // Who is removed is told where it is cut.
        if matches!(telling.what, What::Removed { .. }) {
            return;
        }
        let wish = session.feeds.lock().wish_topic(&target(feed));
        if let Some(wish) = wish {
            let notice = Notice {
                seq: Seq::ZERO,
                device: telling.device.clone(),
                time_ms: telling.time_ms,
                what: telling.what.clone(),
            };
            // As of all that a session without a past is told: what does not fit is lost.
            let _ = session.send(render(&notice), wish);
        }
    });
}

/// Reads what a kept session has to be told.
pub(crate) fn start(session: &Arc<DeviceSession>, feed: Feed) {
    {
        let mut feeds = session.feeds.lock();
        if !session.kept || feeds.closed || !feeds.reads(feed) {
            return;
        }
        let place = feeds.told.of(feed);
        place.again = true;
        if std::mem::replace(&mut place.running, true) {
            return;
        }
    }
    session.start("telling a device of its user", run(Arc::clone(session), feed));
}

/// The queue has room again.
pub(crate) fn go_on(session: &DeviceSession) {
    for feed in [Feed::Control, Feed::Own] {
        let stuck = std::mem::take(&mut session.feeds.lock().told.of(feed).stuck);
        if stuck && let Some(me) = session.me.upgrade() {
            start(&me, feed);
        }
    }
}

async fn run(session: Arc<DeviceSession>, feed: Feed) {
    let mut backoff = retry::Backoff::new();
    loop {
        let after = {
            let mut feeds = session.feeds.lock();
            let closed = feeds.closed;
            let place = feeds.told.of(feed);
            if closed || !std::mem::take(&mut place.again) {
                place.running = false;
                return;
            }
            place.after
        };
        let store = &session.inner.store;
        match store.notices(session.identity(), feed, after, NOTICES_PAGE).await {
            Ok(Some(page)) => give(&session, feed, &page),
            // Subscribed by a version that kept no place: from now on.
            Ok(None) => {
                let start = vec![(feed, Scope::All)];
                let change = SubscriptionChange { start, ..SubscriptionChange::default() };
                if let Err(error) = store.change_subscriptions(session.identity(), &change).await {
                    retry::note("change_subscriptions", &error);
                }
            }
            Err(error) => {
                retry::note("notices", &error);
                session.feeds.lock().told.of(feed).again = true;
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

/// Queues a page, as far as there is room.
fn give(session: &DeviceSession, feed: Feed, page: &[Notice]) {
    let mut feeds = session.feeds.lock();
    let Some(wish) = feeds.wish_topic(&target(feed)) else { return };
    for notice in page {
        let mark = Mark { feed, conversation: NO_CONVERSATION, seq: notice.seq };
        if notice.device.as_ref() == Some(&session.identity().device) {
            if feeds.unconfirmed == 0 {
                session.note(&[mark]);
            }
        } else {
            let delivery = Delivery {
                message: render(notice),
                qos: wish.qos,
                retain: false,
                mark: Some(mark),
                identifier: wish.identifier,
            };
            if session.link.deliver(delivery).is_err() {
                feeds.told.of(feed).stuck = true;
                return;
            }
            feeds.unconfirmed += 1;
        }
        feeds.told.of(feed).after = Some(notice.seq);
    }
    if !page.is_empty() {
        feeds.told.of(feed).again = true;
    }
}

fn render(notice: &Notice) -> Arc<Message> {
    let id = |id: ConversationId| id.0.to_vec().into();
    let (number, time_ms) = (notice.seq.0, notice.time_ms);
    let control = |kind: log_wire::control::Kind, conversation, seq: Seq, by: String| {
        let (kind, conversation_id, seq) = (kind as i32, id(conversation), seq.0);
        log_wire::Control { kind, conversation_id, by, time_ms, seq, number, ..Default::default() }
    };
    let own = match &notice.what {
        What::Removed { conversation, seq, by } => {
            let kind = log_wire::control::Kind::Revoked;
            return crate::wire::message("x", &control(kind, *conversation, *seq, by.to_string()));
        }
        What::Role { conversation, seq, by, role } => {
            let kind = log_wire::control::Kind::RoleChanged;
            let role = crate::wire::role_to_wire(*role) as i32;
            let control = control(kind, *conversation, *seq, by.to_string());
            return crate::wire::message("x", &log_wire::Control { role, ..control });
        }
        What::Invited { conversation, by, role } => {
            let kind = log_wire::control::Kind::Invited;
            let role = crate::wire::role_to_wire(*role) as i32;
            let control = control(kind, *conversation, Seq::ZERO, by.to_string());
            return crate::wire::message("x", &log_wire::Control { role, ..control });
        }
        What::Marks { conversation, marks } => wire::own_update::What::Marks(wire::OwnMarks {
            conversation_id: id(*conversation),
            muted_until_ms: marks.muted_until_ms.unwrap_or(0),
            archived: marks.archived,
            pinned_ms: marks.pinned_ms.unwrap_or(0),
            marked_unread: marks.marked_unread,
        }),
        What::Read { conversation, seq } => wire::own_update::What::Read(wire::OwnRead {
            conversation_id: id(*conversation),
            read: seq.0,
        }),
        What::Settings(settings) => wire::own_update::What::Settings(wire::OwnSettings {
            share_reads: settings.share_reads,
            share_presence: settings.share_presence,
        }),
        What::Block { user, on } => {
            wire::own_update::What::Block(wire::OwnBlock { user: user.to_string(), blocked: *on })
        }
    };
    let device = notice.device.as_ref().map(ToString::to_string).unwrap_or_default();
    let update = wire::OwnUpdate { number, time_ms, device, what: Some(own) };
    crate::wire::message("o", &update)
}
