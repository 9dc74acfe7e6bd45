//! Stage 6: a committed entry finds the devices that are connected here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use godwit_core::bus::Announcement;
use godwit_core::change::Change;
use godwit_core::entry::{Entry, EntryKind};
use godwit_core::ids::{ConversationId, Seq, UserId};
use parking_lot::{Mutex, MutexGuard};

use crate::directory::{Known, Route};
use crate::inner::Inner;
use crate::large::{Job, What};
use crate::wire::Rendered;
use crate::{limits, metrics, retry};

/// Routes one announcement. Entries of one conversation go out in sequence: the route's lock is
/// held while they are queued, and whoever comes during a read of the members waits in line.
pub(crate) fn announced(inner: &Arc<Inner>, announcement: Announcement) {
    let (id, entry) = (announcement.entry.conversation, &announcement.entry);
    if entry.kind == EntryKind::Message {
        inner.typing.clear(id, &entry.sender);
    }
    let route = inner.directory.route(id);
    let mut state = route.lock();
    if state.loading {
        if state.waiting.len() < limits::WAITING_ANNOUNCEMENTS_MAX {
            state.waiting.push(announcement);
        }
        return;
    }
    match state.known.clone() {
        // Members read later than this entry was committed are good for it too.
        Some(known) if known.group_version >= announcement.group_version => {
            deliver(inner, &route, &mut state, &known, &announcement);
        }
        _ => {
            state.loading = true;
            state.waiting.push(announcement);
            drop(state);
            tokio::spawn(load(Arc::clone(inner), id, route));
        }
    }
}

/// Reads the members and then routes what has waited for them.
async fn load(inner: Arc<Inner>, id: ConversationId, route: Arc<Mutex<Route>>) {
    let mut backoff = retry::Backoff::new();
    loop {
        let fresh = match inner.directory.read(id).await {
            Ok(fresh) => fresh,
            Err(error) => {
                retry::note("conversation", &error);
                tokio::time::sleep(backoff.next()).await;
                continue;
            }
        };
        let mut state = route.lock();
        let Some(fresh) = fresh else {
            *state = Route { pooled: state.pooled, ..Route::default() };
            return;
        };
        let waiting = std::mem::take(&mut state.waiting);
        // Whom a waiting entry removes is cut by that entry; this is for those whose entry was
        // never announced here.
        for user in members_gone(state.known.as_deref(), &fresh) {
            if !waiting.iter().any(|announcement| removes(&announcement.entry, &user)) {
                part(&inner, id, &user);
            }
        }
        state.known = Some(Arc::clone(&fresh));
        // The members as read may be newer than what waits, never older than it.
        for announcement in &waiting {
            deliver(&inner, &route, &mut state, &fresh, announcement);
        }
        state.loading = false;
        drop(state);
        inner.presence.watch.refresh(id, &fresh);
        return;
    }
}

fn members_gone(before: Option<&Known>, after: &Known) -> Vec<UserId> {
    let before = before.map(|known| known.members.as_slice()).unwrap_or_default();
    let gone = before.iter().filter(|member| after.member(&member.user).is_none());
    gone.map(|member| member.user.clone()).collect()
}

fn removes(entry: &Entry, user: &UserId) -> bool {
    entry.change().is_some_and(|change| change.removes(user))
}

/// Gives one entry to every connected device of every member; for a large group, to its pool.
fn deliver(
    inner: &Arc<Inner>,
    route: &Arc<Mutex<Route>>,
    state: &mut MutexGuard<'_, Route>,
    known: &Arc<Known>,
    announcement: &Announcement,
) {
    let entry = &announcement.entry;
    let before = state.routed.replace(entry.seq);
    if before.is_some_and(|seq| seq >= entry.seq) {
        // Told twice.
        state.routed = before;
        return;
    }
    let gap = before.map(|seq| seq.next()).filter(|next| *next != entry.seq);
    if gap.is_some() {
        ::metrics::counter!(metrics::GAPS).increment(1);
    }
    cut_removed(inner, known, entry);
    if known.large || state.pooled > 0 {
        return pool(inner, route, state, known, entry, gap);
    }
    let now_ms = crate::ingest::now_ms();
    let took = Duration::from_millis(now_ms.saturating_sub(entry.time_ms));
    metrics::stage("route", took);
    let rendered = Rendered::new(entry, now_ms);
    for member in known.members.iter().filter(|member| entry.seq > member.joined) {
        inner.online.each(&member.user, |session| match gap {
            None => session.offer(&rendered),
            Some(next) => {
                let next = next.max(member.joined.next());
                session.fall_behind(entry.conversation, next, entry.seq);
            }
        });
    }
}

/// Hands an entry over to the pool of large groups, behind those that it has of this conversation.
fn pool(
    inner: &Arc<Inner>,
    route: &Arc<Mutex<Route>>,
    state: &mut MutexGuard<'_, Route>,
    known: &Arc<Known>,
    entry: &Arc<Entry>,
    gap: Option<Seq>,
) {
    let from = gap.unwrap_or(entry.seq);
    let has_room = inner.large.has_room(entry.body.len());
    if state.pooled > 0 && (state.overflow.is_some() || !has_room) {
        // The members' devices read it from the log: slower, but nothing is kept for them.
        let (first, _) = state.overflow.unwrap_or((from, entry.seq));
        state.overflow = Some((first, entry.seq));
        ::metrics::counter!(metrics::SHED, "what" => "large_group").increment(1);
        return;
    }
    let what = match gap {
        None if has_room => What::Entry(Arc::clone(entry)),
        _ => What::Gap(from, entry.seq),
    };
    state.pooled += 1;
    inner.large.push(Job {
        route: Arc::clone(route),
        conversation: entry.conversation,
        known: Arc::clone(known),
        what,
        since: Instant::now(),
    });
}

/// Cuts the devices of those whom this entry removes, unless they are back already. Comparing the
/// members before and after does not find them when nothing was routed here before.
fn cut_removed(inner: &Arc<Inner>, known: &Known, entry: &Entry) {
    if let Some(Change::Removed { users, .. }) = entry.change() {
        for user in users.iter().filter(|user| known.joined(user).is_none()) {
            part(inner, entry.conversation, user);
        }
    }
    if let Some(Change::Roles { roles, .. }) = entry.change() {
        for (user, _) in roles.iter().filter(|(_, role)| !role.may_send()) {
            inner.typing.end(entry.conversation, user);
        }
    }
}

/// The user is no member any more.
fn part(inner: &Inner, id: ConversationId, user: &UserId) {
    inner.online.each(user, |session| session.cut(id));
    inner.typing.end(id, user);
    inner.acquainted.parted(user);
}
