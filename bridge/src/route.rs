//! Stage 6: a committed entry finds the devices that are connected here.

use std::sync::Arc;

use godwit_core::bus::Announcement;
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::membership::Direction;
use parking_lot::{Mutex, MutexGuard};

use crate::directory::{Known, Route};
use crate::inner::Inner;
use crate::wire::Rendered;
use crate::{limits, metrics, retry};

/// Routes one announcement. Entries of one conversation go out in sequence: the route's lock is
/// held while they are queued, and whoever comes during a read of the members waits in line.
pub(crate) fn announced(inner: &Arc<Inner>, announcement: Announcement) {
    let id = announcement.entry.conversation;
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
            deliver(inner, &mut state, &known, &announcement);
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
            *state = Route::default();
            return;
        };
        let waiting = std::mem::take(&mut state.waiting);
        // Whom a waiting entry removes is cut by that entry; this is for those whose entry was
        // never announced here.
        for user in members_gone(state.known.as_deref(), &fresh) {
            if !waiting.iter().any(|announcement| removes(&announcement.entry, &user)) {
                inner.online.each(&user, |session| session.cut(id));
            }
        }
        state.known = Some(Arc::clone(&fresh));
        // The members as read may be newer than what waits, never older than it.
        for announcement in &waiting {
            deliver(&inner, &mut state, &fresh, announcement);
        }
        state.loading = false;
        return;
    }
}

fn members_gone(before: Option<&Known>, after: &Known) -> Vec<UserId> {
    let before = before.map(|known| known.members.as_slice()).unwrap_or_default();
    let gone = before.iter().filter(|(user, _)| after.joined(user).is_none());
    gone.map(|(user, _)| user.clone()).collect()
}

fn removes(entry: &Entry, user: &UserId) -> bool {
    let change = entry.membership().filter(|change| change.direction == Direction::Removed);
    change.is_some_and(|change| change.users.contains(user))
}

/// Gives one entry to every connected device of every member.
fn deliver(
    inner: &Arc<Inner>,
    state: &mut MutexGuard<'_, Route>,
    known: &Known,
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
    let rendered = Rendered::new(entry, crate::ingest::now_ms());
    for (user, joined) in &known.members {
        if entry.seq <= *joined {
            continue;
        }
        inner.online.each(user, |session| match gap {
            None => session.offer(&rendered),
            Some(next) => {
                session.fall_behind(entry.conversation, next.max(joined.next()), entry.seq);
            }
        });
    }
}

/// Cuts the devices of those whom this entry removes, unless they are back already. Comparing the
/// members before and after does not find them when nothing was routed here before.
fn cut_removed(inner: &Arc<Inner>, known: &Known, entry: &Entry) {
    let Some(change) = entry.membership() else { return };
    if change.direction == Direction::Removed {
        for user in change.users.iter().filter(|user| known.joined(user).is_none()) {
            inner.online.each(user, |session| session.cut(entry.conversation));
        }
    }
}
