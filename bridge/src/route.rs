//! Stage 6: a committed entry finds the devices that are connected here.
//!
//! Each entry of a conversation goes out from here once and in its place, whoever told of it: an
//! announcement (speed), or an event of the outbox's stream (the truth). What comes next and for
//! members that are known goes out at once; everything else is the work of [`mend`].

use std::sync::Arc;

use godwit_core::bus::Announcement;
use godwit_core::entry::EntryKind;
use godwit_core::ids::{ConversationId, Seq};
use godwit_core::presence::Epoch;
use parking_lot::{Mutex, MutexGuard};

use crate::deliver::deliver;
use crate::directory::{Late, Route};
use crate::inner::Inner;
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
