//! Stage 6: a committed entry finds the devices that are connected here.
//!
//! Each entry of a conversation goes out from here once and in its place, whoever told of it: an
//! announcement (speed), or an event of the outbox's stream (the truth). What comes next and for
//! members that are known goes out at once; everything else is the work of [`mend`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use godwit_core::bus::Announcement;
use godwit_core::change::Change;
use godwit_core::entry::{Entry, EntryKind};
use godwit_core::ids::{ConversationId, Seq, UserId};
use godwit_core::presence::Epoch;
use parking_lot::{Mutex, MutexGuard};

use crate::directory::{Known, Late, Route};
use crate::inner::Inner;
use crate::large::{Job, What};
use crate::wire::Rendered;
use crate::{mend, metrics};

/// Routes one announcement. Entries of one conversation go out in sequence: the route's lock is
/// held while they are queued, and whoever comes while a task is at work there waits in line.
pub(crate) fn announced(inner: &Arc<Inner>, announcement: Announcement) {
    let (id, entry) = (announcement.entry.conversation, &announcement.entry);
    if entry.kind == EntryKind::Message {
        inner.typing.clear(id, &entry.sender);
    }
    let route = inner.directory.route(id);
    let mut state = route.lock();
    if let Some(routed) = state.routed.filter(|_| !state.working) {
        if entry.seq <= routed {
            // Told twice.
            return;
        }
        if entry.seq != routed.next() {
            ::metrics::counter!(metrics::GAPS).increment(1);
        } else if let Some(known) = state.known.clone()
            // Members read later than this entry was committed are good for it too.
            && known.group_version >= announcement.group_version
        {
            return deliver(inner, &route, &mut state, &known, (entry, Epoch(u64::MAX)));
        }
    }
    state.wait(announcement, inner.presence.epoch_now());
    work(inner, id, &route, state);
}

/// An event tells of an entry; `true`: it has not gone out yet, and may be on its way.
pub(crate) fn happened(inner: &Inner, id: ConversationId, seq: Seq) -> bool {
    let route = inner.directory.route(id);
    let mut state = route.lock();
    state.begin_below(seq) < seq
}

/// What an event told of was not announced in time: it is read from the log.
pub(crate) fn overdue(inner: &Arc<Inner>, id: ConversationId, late: Late) {
    let route = inner.directory.route(id);
    let mut state = route.lock();
    if state.begin_below(late.upto) >= late.upto {
        return;
    }
    state.heard = state.heard.max(late.upto);
    state.late = Some(state.late.map_or(late, |earlier| earlier.and(late)));
    work(inner, id, &route, state);
}

/// Lets a task work on what waits there, unless one does.
fn work(
    inner: &Arc<Inner>,
    id: ConversationId,
    route: &Arc<Mutex<Route>>,
    mut state: MutexGuard<'_, Route>,
) {
    if !std::mem::replace(&mut state.working, true) {
        drop(state);
        let task = mend::run(Arc::clone(inner), id, Arc::clone(route));
        tokio::spawn(inner.supervisor.watch_part("routing of a conversation", task));
    }
}

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
        return pool(inner, route, state, known, entry.conversation, what);
    }
    let now_ms = crate::ingest::now_ms();
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

/// Hands something over to the pool of large groups, behind what it has of this conversation.
pub(crate) fn pool(
    inner: &Arc<Inner>,
    route: &Arc<Mutex<Route>>,
    state: &mut MutexGuard<'_, Route>,
    known: &Arc<Known>,
    conversation: ConversationId,
    what: What,
) {
    let (bytes, (from, to)) = (what.bytes(), what.places());
    let has_room = inner.large.has_room(bytes);
    if state.pooled > 0 && (state.overflow.is_some() || !has_room) {
        // The members' devices read it from the log: slower, but nothing is kept for them.
        let (first, _) = state.overflow.unwrap_or((from, to));
        state.overflow = Some((first, to));
        ::metrics::counter!(metrics::SHED, "what" => "large_group").increment(1);
        return;
    }
    state.pooled += 1;
    inner.large.push(Job {
        route: Arc::clone(route),
        conversation,
        known: Arc::clone(known),
        what: if has_room { what } else { What::Gap(from, to) },
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
