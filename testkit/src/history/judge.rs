//! Points 1 to 3 and 5 to 9: the log against what was asked and answered.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use godwit_proto::conversation::v1::EntryType;

use super::stays::Stays;
use super::{Attempt, Entry, History, Outcome, Wrong};

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Verdict(pub(super) Vec<Wrong>);

impl Verdict {
    pub(super) fn check(&mut self, point: u8, right: bool, what: impl FnOnce() -> String) {
        if !right {
            self.0.push(Wrong { point, what: what() });
        }
    }
}

/// The log by place.
pub(super) type Places<'a> = BTreeMap<u64, &'a Entry>;

impl History {
    /// Everything that is wrong with this history, if this is the log.
    #[must_use]
    pub fn judge(&self, log: &[Entry]) -> Vec<Wrong> {
        let mut verdict = Verdict::default();
        for (entry, place) in log.iter().zip(1..) {
            verdict.check(5, entry.seq == place, || {
                format!("the log has {} where {place} was due", entry.seq)
            });
        }
        let places: Places<'_> = log.iter().map(|entry| (entry.seq, entry)).collect();
        let stays = Stays::of(&self.members, log);
        self.judge_keys(&mut verdict);
        let claimed = self.judge_accepted(&places, &stays, &mut verdict);
        self.judge_unknown(log, &claimed, &mut verdict);
        judge_order(log, &stays, &mut verdict);
        judge_deletions(log, &mut verdict);
        self.judge_deliveries(&places, &stays, &mut verdict);
        self.recount(log, &stays, &mut verdict);
        verdict.0
    }

    /// (3) The same key, the same message; and told as new at most once.
    fn judge_keys(&self, verdict: &mut Verdict) {
        let mut first: HashMap<(&str, &str), (u64, &Option<String>)> = HashMap::new();
        let mut new: BTreeSet<(&str, &str)> = BTreeSet::new();
        for attempt in &self.attempts {
            let Outcome::Accepted(seq, mid, duplicate) = &attempt.outcome else { continue };
            let key = (attempt.who.as_str(), attempt.key.as_str());
            let earlier = first.entry(key).or_insert((*seq, mid));
            verdict.check(3, *earlier == (*seq, mid), || {
                format!("{key:?} was {earlier:?} and then {seq}, {mid:?}")
            });
            verdict.check(3, *duplicate || new.insert(key), || {
                format!("{key:?} was told as new twice")
            });
        }
    }

    /// (1) Each accepted attempt is one entry, as it was asked for; (8) with a version that held;
    /// (9) its body as sent. The places that they claim.
    fn judge_accepted<'a>(
        &'a self,
        places: &Places<'_>,
        stays: &Stays,
        verdict: &mut Verdict,
    ) -> BTreeMap<u64, &'a Attempt> {
        let mut claimed: BTreeMap<u64, &Attempt> = BTreeMap::new();
        for attempt in &self.attempts {
            let Outcome::Accepted(seq, mid, _) = &attempt.outcome else { continue };
            let name = || format!("{} of {}", attempt.key, attempt.who);
            let other = *claimed.entry(*seq).or_insert(attempt);
            let same = (&other.who, &other.key) == (&attempt.who, &attempt.key);
            verdict.check(1, same, || format!("{} and {} are both at {seq}", name(), other.key));
            let Some(entry) = places.get(seq) else {
                verdict.check(1, false, || format!("{}: accepted, but not in the log", name()));
                continue;
            };
            let as_asked = entry.from == attempt.who
                && entry.kind == attempt.kind
                && entry.target == attempt.target
                && entry.reply_to == attempt.reply_to
                && mid.as_ref().is_none_or(|mid| *mid == entry.mid);
            verdict.check(1, as_asked, || format!("{} is another entry: {entry}", name()));
            let held = stays.version_before(*seq);
            verdict.check(8, attempt.version.is_none_or(|named| named == held), || {
                format!("{} at {seq} named {:?}, and {held} held", name(), attempt.version)
            });
            let unchanged = entry.gone || !entry.is_sent() || entry.body == attempt.body;
            verdict.check(9, unchanged, || format!("{} at {seq} has another body", name()));
        }
        claimed
    }

    /// (2) What nobody was told of: an unknown attempt, each at most once.
    fn judge_unknown(
        &self,
        log: &[Entry],
        claimed: &BTreeMap<u64, &Attempt>,
        verdict: &mut Verdict,
    ) {
        let accepted: BTreeSet<(&str, &str)> =
            claimed.values().map(|a| (a.who.as_str(), a.key.as_str())).collect();
        let mut unknown: BTreeMap<(&str, &str), &Attempt> = BTreeMap::new();
        for attempt in self.attempts.iter().filter(|a| a.outcome == Outcome::Unknown) {
            let key = (attempt.who.as_str(), attempt.key.as_str());
            if !accepted.contains(&key) {
                unknown.insert(key, attempt);
            }
        }
        for entry in log.iter().filter(|e| e.is_sent() && !claimed.contains_key(&e.seq)) {
            let of = |attempt: &Attempt| {
                attempt.who == entry.from
                    && attempt.kind == entry.kind
                    && attempt.target == entry.target
                    && (entry.gone || attempt.body == entry.body)
            };
            let found = unknown.iter().find(|(_, attempt)| of(attempt)).map(|(key, _)| *key);
            match found {
                Some(key) => drop(unknown.remove(&key)),
                None => verdict.check(2, false, || {
                    format!("in the log, but not asked for (or once more): {entry}")
                }),
            }
        }
    }
}

/// (6) Nothing is about what comes later; (7) nothing is of one who is no member there; (8) the
/// version rises by one with each change of members.
fn judge_order(log: &[Entry], stays: &Stays, verdict: &mut Verdict) {
    for entry in log {
        let below = entry.reply_to < entry.seq && entry.target < entry.seq;
        verdict.check(6, below, || format!("it is about something above it: {entry}"));
        let operator = entry.from.starts_with("godwit:") && !entry.is_sent();
        // Who leaves writes the entry at which the stay ends.
        let leaves = stays.all.iter().any(|s| s.user == entry.user() && s.left == Some(entry.seq));
        let member = stays.at(entry.user(), entry.seq).is_some() || (leaves && !entry.is_sent());
        verdict.check(7, operator || member, || format!("of one who is no member: {entry}"));
        if let Some(version) = entry.change.version() {
            let before = stays.version_before(entry.seq);
            verdict.check(8, version == before + 1, || {
                format!("the version at {} is {version} after {before}", entry.seq)
            });
        }
    }
}

/// (9) What was deleted is gone, nothing else is, and nothing more is said about it.
fn judge_deletions(log: &[Entry], verdict: &mut Verdict) {
    let mut deleted: BTreeMap<u64, u64> = BTreeMap::new();
    for entry in log.iter().filter(|entry| entry.kind == EntryType::Deletion) {
        let first = deleted.insert(entry.target, entry.seq);
        verdict.check(9, first.is_none(), || format!("{} was deleted twice", entry.target));
    }
    for entry in log {
        let about = match entry.kind {
            EntryType::Message => entry.seq,
            _ => entry.target,
        };
        let bodied = matches!(entry.kind, EntryType::Message | EntryType::Edit);
        let at = deleted.get(&about).filter(|_| about > 0);
        let (due, seq) = (at.is_some() && bodied, entry.seq);
        verdict
            .check(9, entry.gone == due, || format!("the body at {seq} is gone: {}", entry.gone));
        verdict.check(9, !entry.gone || entry.body.is_empty(), || {
            format!("the body at {seq} was deleted, and is still there")
        });
        let late = at.is_some_and(|at| seq > *at) && entry.kind != EntryType::Unpin;
        verdict.check(9, !late, || format!("about what was deleted before: {entry}"));
    }
}
