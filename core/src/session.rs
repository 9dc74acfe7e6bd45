//! What is kept for a device between its connections: decided here, carried out by the stores.
//!
//! Both stores do the same steps in one transaction: load and lock the rows of the batch's
//! devices, ask [`open`] or [`close`], forget, then keep.

use std::collections::HashMap;

use crate::cursor::{Opened, Opening, Subscription};
use crate::ids::Identity;

/// A kept session as stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// Seconds that it outlives its connection.
    pub expiry_s: u32,
    /// When its connection ended, milliseconds since 1970; `None`: connected.
    pub closed_ms: Option<u64>,
    /// Its subscriptions.
    pub subscriptions: Vec<Subscription>,
}

impl Kept {
    /// Whether nothing of it may be used any more at `now_ms`. One with expiry 0 lived as long as
    /// its connection, and whoever opens it anew is another connection.
    #[must_use]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expiry_s == 0
            || self
                .closed_ms
                .is_some_and(|at| at.saturating_add(u64::from(self.expiry_s) * 1000) <= now_ms)
    }
}

/// What opening a batch means for the store: first forget, then keep.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OpenPlan {
    /// One for each opening, in order.
    pub answers: Vec<Opened>,
    /// Sessions to be removed with their subscriptions and cursors.
    pub forget: Vec<Identity>,
    /// Sessions to be stored as connected, with their expiry in seconds; each device once.
    pub keep: Vec<(Identity, u32)>,
}

/// Decides a batch of openings against what is kept for their devices (and for no others).
///
/// A session that is not there and asks for no expiry leaves nothing behind. One that is there and
/// now asks for none stays until its connection ends.
#[must_use]
pub fn open(batch: &[Opening], mut kept: HashMap<Identity, Kept>) -> OpenPlan {
    let mut plan = OpenPlan::default();
    for opening in batch {
        let device = &opening.device;
        if kept.get(device).is_some_and(|k| opening.clean || k.is_expired(opening.time_ms)) {
            kept.remove(device);
            plan.forget.push(device.clone());
        }
        let present = kept.get_mut(device).map(|session| {
            (session.expiry_s, session.closed_ms) = (opening.expiry_s, None);
            session.subscriptions.clone()
        });
        if present.is_none() && opening.expiry_s > 0 {
            let session = Kept { expiry_s: opening.expiry_s, ..Kept::default() };
            kept.insert(device.clone(), session);
        }
        plan.answers.push(Opened {
            present: present.is_some(),
            subscriptions: present.unwrap_or_default(),
        });
    }
    // Stores lock rows in this order, so two batches cannot block each other.
    plan.forget.sort();
    plan.forget.dedup();
    plan.keep = kept.into_iter().map(|(device, session)| (device, session.expiry_s)).collect();
    plan.keep.sort();
    plan
}

/// What the end of connections means for the store.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ClosePlan {
    /// Sessions to be removed with their subscriptions and cursors.
    pub forget: Vec<Identity>,
    /// Sessions that stay, if they are kept: expiry in seconds and the end of the connection in
    /// milliseconds since 1970; each device once.
    pub closed: Vec<(Identity, u32, u64)>,
}

/// Decides a batch of ends. What was forgotten by an earlier one of the batch stays forgotten.
#[must_use]
pub fn close(batch: &[Opening]) -> ClosePlan {
    let mut last: HashMap<&Identity, (u32, u64)> = HashMap::with_capacity(batch.len());
    for end in batch {
        let state = last.entry(&end.device).or_insert((end.expiry_s, end.time_ms));
        if state.0 != 0 {
            *state = (end.expiry_s, end.time_ms);
        }
    }
    let mut plan = ClosePlan::default();
    for (device, (expiry_s, time_ms)) in last {
        match expiry_s {
            0 => plan.forget.push(device.clone()),
            _ => plan.closed.push((device.clone(), expiry_s, time_ms)),
        }
    }
    // Stores lock rows in this order, so two batches cannot block each other.
    plan.forget.sort();
    plan.closed.sort();
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str) -> Identity {
        format!("{name}:d").parse().unwrap()
    }

    fn opening(name: &str, clean: bool, expiry_s: u32) -> Opening {
        Opening { device: device(name), clean, expiry_s, time_ms: 10_000 }
    }

    fn kept(expiry_s: u32, closed_ms: Option<u64>) -> Kept {
        let subscription =
            Subscription { filter: "m/#".to_owned(), options: 1, identifier: Some(7) };
        Kept { expiry_s, closed_ms, subscriptions: vec![subscription] }
    }

    #[test]
    fn opening_forgets_keeps_and_answers() {
        type Row = (Option<Kept>, bool, u32, bool, bool, Option<u32>);
        // (kept, clean, expiry) -> (present, forgotten, stored expiry)
        let table: &[Row] = &[
            (None, false, 0, false, false, None),
            (None, false, 60, false, false, Some(60)),
            (None, true, 60, false, false, Some(60)),
            (Some(kept(60, None)), false, 30, true, false, Some(30)),
            (Some(kept(60, None)), false, 0, true, false, Some(0)),
            (Some(kept(60, None)), true, 0, false, true, None),
            (Some(kept(60, None)), true, 9, false, true, Some(9)),
            (Some(kept(0, None)), false, 9, false, true, Some(9)),
            (Some(kept(5, Some(5_001))), false, 9, true, false, Some(9)),
            (Some(kept(5, Some(5_000))), false, 9, false, true, Some(9)),
            (Some(kept(u32::MAX, Some(u64::MAX))), false, 9, true, false, Some(9)),
        ];
        for (stored, clean, expiry_s, present, forgotten, expected) in table {
            let rows = stored.iter().map(|k| (device("a"), k.clone())).collect();
            let plan = open(&[opening("a", *clean, *expiry_s)], rows);
            assert_eq!(plan.answers[0].present, *present, "{stored:?} {clean} {expiry_s}");
            assert_eq!(plan.answers[0].subscriptions.len(), usize::from(*present));
            assert_eq!(!plan.forget.is_empty(), *forgotten, "{stored:?} {clean} {expiry_s}");
            assert_eq!(plan.keep.first().map(|(_, e)| *e), *expected);
        }
    }

    #[test]
    fn a_device_twice_is_answered_in_order() {
        let batch = [opening("a", false, 60), opening("a", false, 9), opening("a", true, 0)];
        let plan = open(&batch, HashMap::new());
        assert_eq!(
            plan.answers.iter().map(|a| a.present).collect::<Vec<_>>(),
            [false, true, false]
        );
        assert_eq!((plan.forget, plan.keep), (vec![device("a")], vec![]));
        let plan = open(&batch[..2], HashMap::new());
        assert_eq!(plan.keep, [(device("a"), 9)]);
    }

    #[test]
    fn the_last_end_counts_unless_forgotten() {
        let batch = [
            opening("a", false, 60),
            opening("a", false, 30),
            opening("b", false, 0),
            opening("b", false, 30),
        ];
        let plan = close(&batch);
        assert_eq!(plan.forget, [device("b")]);
        assert_eq!(plan.closed, [(device("a"), 30, 10_000)]);
    }
}
