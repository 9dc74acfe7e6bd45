//! Stage 6, when an entry cannot go out at once: what is missing before it, or its members, are read
//! from the store, and then what has waited goes out in its turn.
//!
//! One task at a time works on a conversation; it ends when nothing waits. A store that is away
//! makes it wait, however long: meanwhile announcements pile up to a bound, and beyond it they are
//! read from the log.

use std::sync::Arc;
use std::time::Instant;

use godwit_core::cursor::Feed;
use godwit_core::ids::{ConversationId, Seq};
use godwit_core::limits::{PAGE_BYTES_MAX, PAGE_ENTRIES_MAX};
use godwit_core::presence::Epoch;
use godwit_core::store::{Error, Page, Range};
use parking_lot::{Mutex, MutexGuard};

use crate::directory::{Known, Late, Route};
use crate::inner::Inner;
use crate::large::What;
use crate::session::DeviceSession;
use crate::wire::Rendered;
use crate::{clock, deliver, limits, metrics, retry};

/// What the next entry needs before it can go out.
enum Need {
    /// It is the first that this process routes: what was before it?
    Begin(Seq),
    /// Members as of this group version or later.
    Members(u64),
    /// The entries between, without the ends.
    Between(Seq, Seq),
    /// Nothing waits.
    Nothing,
}

/// Works until nothing waits.
pub(crate) async fn run(inner: Arc<Inner>, id: ConversationId, route: Arc<Mutex<Route>>) {
    let mut backoff = retry::Backoff::new();
    loop {
        let need = go_on(&inner, &route);
        let step = match need {
            Need::Nothing => return,
            Need::Begin(first) => begin(&inner, id, &route, first).await,
            Need::Members(version) => members(&inner, id, &route, version).await,
            Need::Between(after, before) => between(&inner, id, &route, (after, before)).await,
        };
        match step {
            Ok(true) => backoff = retry::Backoff::new(),
            // Nothing was wrong; it is only too early.
            Ok(false) => tokio::time::sleep(limits::OUTBOX_WAIT).await,
            Err(error) => {
                retry::note("route", &error);
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

/// Gives out what can go, and says what the next one needs.
fn go_on(inner: &Arc<Inner>, route: &Arc<Mutex<Route>>) -> Need {
    let mut state = route.lock();
    loop {
        let first = state.first();
        let Some(routed) = state.routed else {
            match first {
                // Nothing stands before the first entry.
                Some((Seq(0 | 1), _)) => state.routed = Some(Seq::ZERO),
                Some((seq, _)) => return Need::Begin(seq),
                None => return rest(&mut state),
            }
            continue;
        };
        match first {
            Some((seq, _)) if seq <= routed => drop(state.pop()),
            Some((seq, version)) if seq == routed.next() => {
                let known = state.known.clone();
                // Members as read may be newer than what waits; older they must not be: an
                // announcement may have come after they were read.
                let Some(known) = known.filter(|known| known.group_version >= version) else {
                    return Need::Members(version);
                };
                if let Some(next) = state.pop() {
                    let entry = &next.announcement.entry;
                    deliver::deliver(inner, route, &mut state, &known, (entry, next.before));
                }
            }
            Some((seq, _)) => return Need::Between(routed, seq),
            None if state.heard > routed => return Need::Between(routed, state.heard.next()),
            None => return rest(&mut state),
        }
    }
}

fn rest(state: &mut MutexGuard<'_, Route>) -> Need {
    state.working = false;
    // Announced after all.
    state.late = None;
    Need::Nothing
}

/// The conversation is not there (any more): what waits is dropped.
fn gone(route: &Mutex<Route>) {
    route.lock().clear();
}

/// Finds out where this process begins in a log: below the first entry that may have to go out.
/// `Ok(false)`: that cannot be said yet.
async fn begin(
    inner: &Arc<Inner>,
    id: ConversationId,
    route: &Mutex<Route>,
    first: Seq,
) -> Result<bool, Error> {
    let Some(lowest) = inner.events.lowest(id).await? else { return Ok(false) };
    let lowest = lowest.map_or(first, |seq| seq.min(first));
    // Unless an event has said so meanwhile.
    route.lock().begin_below(lowest);
    Ok(true)
}

async fn members(
    inner: &Arc<Inner>,
    id: ConversationId,
    route: &Mutex<Route>,
    version: u64,
) -> Result<bool, Error> {
    let Some(fresh) = inner.directory.read(id).await? else {
        gone(route);
        return Ok(true);
    };
    let enough = fresh.group_version >= version;
    route.lock().known = Some(Arc::clone(&fresh));
    inner.presence.watch.refresh(id, &fresh);
    Ok(enough)
}

/// Reads a page of what is missing and gives it out.
async fn between(
    inner: &Arc<Inner>,
    id: ConversationId,
    route: &Arc<Mutex<Route>>,
    (after, before): (Seq, Seq),
) -> Result<bool, Error> {
    let range = Range { after, before: Some(before), newest_first: false };
    let page = inner.store.read_log(id, range, PAGE_ENTRIES_MAX, PAGE_BYTES_MAX).await?;
    // After the page: members that are as new as all of it.
    let known = inner.directory.read(id).await?;
    let (Some(page), Some(known)) = (page, known) else {
        gone(route);
        return Ok(true);
    };
    let Some(last) = page.entries.last().map(|entry| entry.seq) else {
        tracing::error!(
            stage = "route",
            conversation.id = %id,
            head = page.head_seq.0,
            told = before.0.saturating_sub(1),
            "a log ends below what was told of it"
        );
        let mut state = route.lock();
        state.heard = Seq::ZERO;
        state.routed = Some(Seq(before.0.saturating_sub(1)));
        return Ok(true);
    };
    if !known.large {
        ask_cursors(inner, id, &known, (after, last)).await?;
    }
    let mut state = route.lock();
    state.known = Some(Arc::clone(&known));
    give_out(inner, route, &mut state, &known, &page);
    drop(state);
    inner.presence.watch.refresh(id, &known);
    Ok(true)
}

/// Kept sessions go by their cursors: an earlier connection of the device may have read what is
/// given out now. (After `after`, and at least to `last`.)
async fn ask_cursors(
    inner: &Arc<Inner>,
    id: ConversationId,
    known: &Known,
    (after, last): (Seq, Seq),
) -> Result<(), Error> {
    let mut kept: Vec<(Arc<DeviceSession>, Seq)> = Vec::new();
    for member in known.members.iter().filter(|member| last > member.joined) {
        inner.online.each(&member.user, |session| {
            if session.kept {
                kept.push((Arc::clone(session), after.max(member.joined)));
            }
        });
    }
    // `behind` answers in the order of ids, above one.
    let above = u128::from_be_bytes(id.0).checked_sub(1);
    let above = above.map(|id| ConversationId(id.to_be_bytes()));
    for (session, after) in kept {
        for feed in [Feed::Log, Feed::Plain] {
            if session.feeds.lock().wish(feed, id).is_none() {
                continue;
            }
            let found = inner.store.behind(session.identity(), feed, above, 1).await?;
            if let Some(behind) = found.first().filter(|behind| behind.conversation == id) {
                let next = behind.delivered_seq.max(after).next();
                session.fall_behind_in(feed, id, next, last);
            }
        }
    }
    Ok(())
}

/// Gives out a page. Kept sessions of small conversations have been told to read.
fn give_out(
    inner: &Arc<Inner>,
    route: &Arc<Mutex<Route>>,
    state: &mut MutexGuard<'_, Route>,
    known: &Arc<Known>,
    page: &Page,
) {
    let (Some(first), Some(last)) = (page.entries.first(), page.entries.last()) else { return };
    let late = state.late;
    note_healed(late, page.entries.len());
    let now_ms = clock::now_ms();
    let pooled = known.large || state.pooled > 0;
    for entry in &page.entries {
        state.routed = Some(entry.seq);
        deliver::cut_removed(inner, known, entry);
        if pooled {
            continue;
        }
        let late = late.filter(|late| entry.seq <= late.upto);
        let before = late.map_or(Epoch(u64::MAX), |late| late.before);
        let rendered = Rendered::new(entry, now_ms);
        for member in known.members.iter().filter(|member| entry.seq > member.joined) {
            inner.online.each(&member.user, |session| {
                if !session.kept && session.epoch < before {
                    session.offer(&rendered);
                }
            });
        }
    }
    if pooled {
        let what = What::Gap(first.seq, last.seq);
        let before =
            late.filter(|late| last.seq <= late.upto).map_or(Epoch(u64::MAX), |l| l.before);
        deliver::pool(inner, route, state, known, (first.conversation, what, before));
    }
    state.late = late.filter(|late| late.upto > last.seq);
}

fn note_healed(late: Option<Late>, entries: usize) {
    let Some(late) = late else { return };
    ::metrics::counter!(metrics::HEALED).increment(entries as u64);
    ::metrics::histogram!(metrics::HEALED_SECONDS)
        .record(Instant::now().duration_since(late.since));
}
