//! Points 1, 4, 5, 7 and 9 for what reached devices.

use std::collections::{BTreeMap, BTreeSet};

use godwit_proto::conversation::v1::EntryType;

use super::judge::{Places, Verdict};
use super::stays::Stays;
use super::{Device, Entry, History};

impl History {
    pub(super) fn judge_deliveries(
        &self,
        places: &Places<'_>,
        stays: &Stays,
        verdict: &mut Verdict,
    ) {
        let deletions = places.values().filter(|entry| entry.kind == EntryType::Deletion);
        let deleted: BTreeSet<u64> = deletions.map(|entry| entry.target).collect();
        let sent: BTreeMap<u64, &[u8]> =
            self.attempts.iter().filter_map(|a| Some((a.place()?, a.body.as_slice()))).collect();
        for (who, device) in &self.devices {
            let user = who.split(':').next().unwrap_or_default();
            for entry in device.connections.iter().flatten() {
                judge_one(who, user, entry, places, stays, verdict);
                judge_body(who, entry, places, &deleted, &sent, verdict);
            }
            judge_run(who, user, device, places, stays, verdict);
        }
    }
}

/// One delivery by itself: (1) not the device's own, (4) the log's, (7) within a stay.
fn judge_one(
    who: &str,
    user: &str,
    entry: &Entry,
    places: &Places<'_>,
    stays: &Stays,
    verdict: &mut Verdict,
) {
    let seq = entry.seq;
    verdict.check(1, entry.from != who, || format!("{who} got its own at {seq}"));
    verdict.check(7, stays.at(user, seq).is_some(), || {
        format!("{who} got {seq}, which is outside of every stay of {user}")
    });
    let Some(stored) = places.get(&seq) else {
        verdict.check(4, false, || format!("{who} got what is not in the log: {entry}"));
        return;
    };
    let name = |e: &Entry| {
        (e.mid.clone(), e.chain.clone(), e.kind, e.from.clone(), e.reply_to, e.target, e.number)
    };
    let same = name(entry) == name(stored) && entry.change == stored.change;
    verdict.check(4, same, || format!("{who} got another entry: {entry}, not {stored}"));
}

/// (9) The body of the log; of what was deleted, none, or what was sent.
fn judge_body(
    who: &str,
    entry: &Entry,
    places: &Places<'_>,
    deleted: &BTreeSet<u64>,
    sent: &BTreeMap<u64, &[u8]>,
    verdict: &mut Verdict,
) {
    let Some(stored) = places.get(&entry.seq) else { return };
    let about = if entry.kind == EntryType::Message { entry.seq } else { entry.target };
    let right = match (entry.gone, stored.gone) {
        (true, _) => deleted.contains(&about) && entry.body.is_empty(),
        (false, true) => sent.get(&entry.seq).is_none_or(|body| entry.body == *body),
        (false, false) => entry.body == stored.body,
    };
    verdict.check(9, right, || format!("{who} got another body at {}", entry.seq));
}

/// What a device got in its order: (5) rising without a gap on each connection, (1) and all of it
/// if it was there all the time. Its own entries do not come, and the last of a stay that is over
/// need not.
fn judge_run(
    who: &str,
    user: &str,
    device: &Device,
    places: &Places<'_>,
    stays: &Stays,
    verdict: &mut Verdict,
) {
    let all: BTreeSet<u64> = device.connections.iter().flatten().map(|entry| entry.seq).collect();
    let since = device.since.or_else(|| all.first().map(|first| first - 1)).unwrap_or_default();
    // Whether the entry at a place must be at the device when a later one is.
    let due = |seq: u64| {
        let Some(stay) = stays.at(user, seq) else { return false };
        let later = || all.range(seq..).any(|later| stay.holds(*later));
        let own = places.get(&seq).is_some_and(|entry| entry.from == who);
        seq > since && !own && (stay.left.is_none() || later())
    };
    let mut have: BTreeSet<u64> = BTreeSet::new();
    for connection in &device.connections {
        let mut last = None;
        for entry in connection {
            let rises = last.is_none_or(|last| last < entry.seq);
            verdict.check(5, rises, || format!("{who} got {} after {last:?}", entry.seq));
            // A new connection goes on anywhere below what the device has, not above it.
            let from = last.unwrap_or(since);
            let missing = (from + 1..entry.seq).find(|seq| due(*seq) && !have.contains(seq));
            let gap = missing.filter(|_| rises);
            verdict.check(5, gap.is_none(), || {
                format!("{who} got {} and not {gap:?} before it", entry.seq)
            });
            last = Some(entry.seq);
            have.insert(entry.seq);
        }
    }
    if device.since.is_some() {
        let head = places.keys().next_back().copied().unwrap_or_default();
        for seq in (since + 1..=head).filter(|seq| due(*seq)) {
            verdict.check(1, have.contains(&seq), || format!("{who} never got {seq}"));
        }
    }
}
