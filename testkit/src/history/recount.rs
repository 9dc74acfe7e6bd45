//! Point 10: numbers, titles, receipts and inboxes, recomputed.

use super::judge::Verdict;
use super::stays::Stays;
use super::{Change, Entry, History, Shown};
use godwit_proto::conversation::v1::EntryType;

impl History {
    pub(super) fn recount(&self, log: &[Entry], stays: &Stays, verdict: &mut Verdict) {
        let mut number = 0;
        for entry in log {
            number += u64::from(entry.kind == EntryType::Message);
            verdict.check(10, entry.number == number, || {
                format!("{} is numbered {}, not {number}", entry.seq, entry.number)
            });
        }
        let title = self.recount_titles(log, verdict);
        let head = log.last().map_or(0, |entry| entry.seq);
        for ((who, user), told) in &self.told {
            let rises = told.windows(2).all(|w| w[0].0 <= w[1].0 && w[0].1 <= w[1].1);
            verdict.check(10, rises, || format!("{who} saw {user} go back: {told:?}"));
            let within =
                told.iter().all(|(delivered, read)| read <= delivered && *delivered <= head);
            verdict.check(10, within, || format!("{who} saw {user} beyond {head}: {told:?}"));
        }
        for shown in &self.shown {
            self.recount_inbox(shown, &title, log, stays, verdict);
        }
    }

    /// The last writer by sequence wins; each names what it replaced, and whether it knew of it.
    fn recount_titles(&self, log: &[Entry], verdict: &mut Verdict) -> String {
        let (mut title, mut title_seq) = (String::new(), 0);
        for entry in log {
            let Change::Details(Some(new), replaces, concurrent) = &entry.change else { continue };
            let replaced: Vec<u64> = (title_seq > 0).then_some(title_seq).into_iter().collect();
            verdict.check(10, *replaces == replaced, || {
                format!("the title at {} replaced {replaced:?}: {entry}", entry.seq)
            });
            let attempt = self.attempts.iter().find(|a| a.place() == Some(entry.seq));
            if let Some(based_on) = attempt.and_then(|attempt| attempt.based_on) {
                let lost = replaced.iter().any(|seq| *seq > based_on);
                verdict.check(10, *concurrent == lost, || {
                    format!("the title at {} was based on {based_on}: {entry}", entry.seq)
                });
            }
            (title, title_seq) = (new.clone(), entry.seq);
        }
        title
    }

    fn recount_inbox(
        &self,
        shown: &Shown,
        title: &str,
        log: &[Entry],
        stays: &Stays,
        verdict: &mut Verdict,
    ) {
        let user = &shown.user;
        let Some(stay) = stays.now(user) else {
            verdict.check(10, false, || format!("{user} is no member, and sees {shown:?}"));
            return;
        };
        // What was read in an earlier stay is forgotten.
        let stays_once = stays.all.iter().filter(|stay| stay.user == *user).count() == 1;
        let known = self.reads.get(user).copied().unwrap_or_default();
        // Whoever sends a message has read what is before it.
        let own = log.iter().rev().find(|entry| {
            entry.kind == EntryType::Message && entry.user() == user && entry.seq > stay.joined
        });
        let known = known.max(own.map_or(0, |entry| entry.seq));
        let read = if stays_once { known } else { shown.read };
        let from = read.max(stay.joined);
        // What was deleted cannot be read any more.
        let unread = log.iter().filter(|entry| {
            let counts = entry.kind == EntryType::Message && !entry.gone;
            counts && entry.seq > from && entry.user() != user
        });
        let unread: Vec<&Entry> = unread.collect();
        let head_seq = log.last().map_or(0, |entry| entry.seq);
        let expected = Shown {
            user: user.clone(),
            head_seq,
            group_version: stays.version(),
            members: u32::try_from(stays.all.iter().filter(|s| s.left.is_none()).count()).unwrap(),
            role: stay.role,
            title: title.to_owned(),
            unread: unread.len() as u64,
            mentions: unread.iter().filter(|entry| named(entry, log).contains(user)).count() as u64,
            // Told by PUBACKs, which nobody writes down here.
            delivered: shown.delivered,
            read,
        };
        verdict.check(10, *shown == expected, || format!("{shown:?} should be {expected:?}"));
        let cursors = shown.read <= shown.delivered && shown.delivered <= head_seq;
        verdict.check(10, cursors, || format!("cursors beyond: {shown:?}"));
    }
}

/// Whom a message names: those of its last edit, if it has one.
fn named<'a>(message: &'a Entry, log: &'a [Entry]) -> &'a [String] {
    let edit =
        log.iter().rev().find(|entry| entry.kind == EntryType::Edit && entry.target == message.seq);
    &edit.unwrap_or(message).mentions
}
