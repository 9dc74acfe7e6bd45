//! The end of stage 6: an entry whose turn it is goes to the devices of the members, or to the pool of
//! large groups; and who is removed by it is cut.

use std::sync::Arc;
use std::time::{Duration, Instant};

use godwit_core::change::Change;
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, UserId};
use godwit_core::presence::Epoch;
use parking_lot::{Mutex, MutexGuard};

use crate::clock::now_ms;
use crate::directory::{Known, Overflow, Route};
use crate::inner::Inner;
use crate::large::{Job, What};
use crate::metrics;
use crate::wire::Rendered;

/// Gives one entry to the devices of every member whose sessions have begun before `before`; for a
/// large group, to its pool. Whoever connected later finds the entry in the log, if it is due.
pub(crate) fn deliver(
    inner: &Arc<Inner>,
    route: &Arc<Mutex<Route>>,
    state: &mut MutexGuard<'_, Route>,
    known: &Arc<Known>,
    (entry, before): (&Arc<Entry>, Epoch),
) {
    state.routed = Some(entry.seq);
    cut_removed(inner, known, entry);
    if known.large || state.pooled > 0 {
        let what = What::Entry(Arc::clone(entry));
        return pool(inner, route, state, known, (entry.conversation, what, before));
    }
    let now_ms = now_ms();
    let took = Duration::from_millis(now_ms.saturating_sub(entry.time_ms));
    metrics::stage("route", took);
    let rendered = Rendered::new(entry, now_ms);
    for member in known.members.iter().filter(|member| entry.seq > member.joined) {
        inner.online.each(&member.user, |session| {
            if session.epoch < before {
                session.offer(&rendered);
            }
        });
    }
}

/// Hands something over to the pool of large groups, behind what it has of this conversation; for
/// sessions that have begun before `before`, and before now: all of it is committed.
pub(crate) fn pool(
    inner: &Arc<Inner>,
    route: &Arc<Mutex<Route>>,
    state: &mut MutexGuard<'_, Route>,
    known: &Arc<Known>,
    (conversation, what, before): (ConversationId, What, Epoch),
) {
    let before = before.min(inner.presence.epoch_now());
    let (bytes, (from, to)) = (what.bytes(), what.places());
    let has_room = inner.large.has_room(bytes);
    if state.pooled > 0 && (state.overflow.is_some() || !has_room) {
        // The members' devices read it from the log: slower, but nothing is kept for them.
        let first = state.overflow.map_or(from, |overflow| overflow.from);
        state.overflow = Some(Overflow { from: first, to, before });
        ::metrics::counter!(metrics::SHED, "what" => "large_group").increment(1);
        return;
    }
    state.pooled += 1;
    inner.large.push(Job {
        route: Arc::clone(route),
        conversation,
        known: Arc::clone(known),
        what: if has_room { what } else { What::Gap(from, to) },
        before,
        since: Instant::now(),
    });
}

/// Cuts the devices of those whom this entry removes, unless they are back already. Every entry
/// passes here, so nobody has to be looked for by comparing members before and after.
pub(crate) fn cut_removed(inner: &Arc<Inner>, known: &Known, entry: &Entry) {
    if let Some(Change::Removed { users, .. }) = entry.change() {
        for user in users.iter().filter(|user| known.joined(user).is_none()) {
            part(inner, user, entry);
        }
    }
    if let Some(Change::Roles { roles, .. }) = entry.change() {
        for (user, _) in roles.iter().filter(|(_, role)| !role.may_send()) {
            inner.typing.end(entry.conversation, user);
        }
    }
}

/// The user is no member any more, from this entry of the log on.
fn part(inner: &Inner, user: &UserId, removal: &Entry) {
    let id = removal.conversation;
    inner.online.each(user, |session| session.cut(removal));
    inner.typing.end(id, user);
    inner.acquainted.parted(user);
}
