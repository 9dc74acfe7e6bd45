//! Stage 7 for a device that lags: the log is read in pages, as fast as the device takes them.

use std::sync::Arc;

use godwit_core::cursor::{Feed, Mark};
use godwit_core::entry::EntryKind;
use godwit_core::ids::{ConversationId, Seq};
use godwit_core::limits::PAGE_BYTES_MAX;
use godwit_core::store::{Page, Range};

use crate::feeds::Lag;
use crate::session::DeviceSession;
use crate::wire::Rendered;
use crate::{clock, limits, metrics, retry};

/// Starts reading for the device, unless a task does it already or nothing is to be read.
pub(crate) fn start(session: &DeviceSession) {
    let Some(me) = session.me.upgrade() else { return };
    if begin(&me) {
        session.start("reading the log for a device", run(me));
    }
}

fn begin(session: &DeviceSession) -> bool {
    let mut feeds = session.feeds.lock();
    let needed = !feeds.pulling && !feeds.opening && !feeds.closed && feeds.first_lag().is_some();
    feeds.pulling |= needed;
    needed
}

async fn run(session: Arc<DeviceSession>) {
    loop {
        while let Some((feed, conversation, lag, room)) = next(&session) {
            let Ok(_permit) = session.inner.pulls.acquire().await else { return };
            read(&session, feed, conversation, lag, room).await;
        }
        // `next` has given the task up. Room that came before that was announced to nobody.
        if session.link.room() == 0 || !begin(&session) {
            return;
        }
    }
}

/// What to read next and how much of it the device takes now; `None`: the task is given up.
fn next(session: &DeviceSession) -> Option<(Feed, ConversationId, Lag, usize)> {
    let room = session.link.room();
    let mut feeds = session.feeds.lock();
    match feeds.first_lag() {
        Some((feed, conversation, lag)) if room > 0 && !feeds.closed => {
            Some((feed, conversation, lag, room))
        }
        _ => {
            feeds.pulling = false;
            None
        }
    }
}

/// Reads one page and gives it out.
async fn read(
    session: &DeviceSession,
    feed: Feed,
    conversation: ConversationId,
    lag: Lag,
    room: usize,
) {
    let limit = u32::try_from(room.min(limits::PULL_ENTRIES_MAX)).unwrap_or(1);
    let range = Range::above(Seq(lag.next.0.saturating_sub(1)));
    let mut backoff = retry::Backoff::new();
    loop {
        let store = &session.inner.store;
        match store.read_log(conversation, range, limit, PAGE_BYTES_MAX).await {
            Ok(Some(page)) => return give(session, feed, conversation, lag, &page),
            Ok(None) => {
                session.feeds.lock().cut(conversation, Seq(u64::MAX));
                return;
            }
            Err(error) => {
                retry::note("read_log", &error);
                if session.feeds.lock().closed {
                    return;
                }
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

/// Gives out a page under the session's lock, unless the device was cut from the log meanwhile.
fn give(session: &DeviceSession, feed: Feed, conversation: ConversationId, lag: Lag, page: &Page) {
    let now_ms = clock::now_ms();
    let mut feeds = session.feeds.lock();
    if feeds.lag_of(feed, conversation).is_none_or(|now| now.next != lag.next) {
        return;
    }
    let Some(wish) = feeds.wish(feed, conversation) else {
        feeds.drop_lag(feed, conversation);
        return;
    };
    // What is shown, each with the last place that it and the hidden entries after it cover: a
    // hidden entry (the device's own send, say) is confirmed together with the one before it.
    let mut shown: Vec<(Rendered<'_>, Seq)> = Vec::with_capacity(page.entries.len());
    let mut hidden_first = None;
    // The page may be ahead of the announcements: what stands between the user's removal and a
    // return is nobody's to give out.
    let mut away = lag.away;
    let user = &session.identity().user;
    for entry in &page.entries {
        if entry.kind == EntryKind::Membership
            && let Some(change) = entry.change()
        {
            away = (away && !change.adds(user)) || change.removes(user);
        }
        let rendered = Rendered::new(entry, now_ms);
        if !away && session.shows(feed, &rendered, wish) {
            shown.push((rendered, entry.seq));
        } else if let Some((_, upto)) = shown.last_mut() {
            *upto = entry.seq;
        } else {
            hidden_first = Some(entry.seq);
        }
    }
    let mut next = hidden_first.map_or(lag.next, Seq::next);
    if page.entries.is_empty() {
        // Nothing above the place: what the target promised was read already.
        next = lag.target.max(page.head_seq).next();
    }
    if let (Some(upto), true, 0) = (hidden_first, shown.is_empty(), feeds.unconfirmed) {
        session.note(&[Mark { feed, conversation, seq: upto }]);
    }
    for (rendered, upto) in shown {
        let mark = Mark { feed, conversation, seq: upto };
        if !session.push(&mut feeds, &rendered, wish, mark) {
            // It is shown, so the user is there.
            away = false;
            break;
        }
        ::metrics::counter!(metrics::DELIVERIES, "way" => "read").increment(1);
        next = upto.next();
    }
    feeds.advance(feed, conversation, (next, away), page.head_seq);
}
