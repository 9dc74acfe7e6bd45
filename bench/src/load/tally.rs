//! What one receiver got, against what was sent to it: gaps, duplicates, order.

use std::collections::BTreeSet;

use crate::limits::MISSING_MAX;

/// Follows one receiver's sequence.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    next: u32,
    missing: BTreeSet<u32>,
    /// Missing ones beyond what is remembered.
    forgotten: u64,
    /// Distinct messages.
    pub(crate) unique: u64,
    pub(crate) duplicates: u64,
    /// Messages that came after a later one.
    pub(crate) out_of_order: u64,
}

impl Tally {
    /// Takes a delivery; true when it is the first of this message.
    pub(crate) fn take(&mut self, seq: u32) -> bool {
        if seq >= self.next {
            for lost in self.next..seq {
                if self.missing.len() < MISSING_MAX {
                    self.missing.insert(lost);
                } else {
                    self.forgotten += 1;
                }
            }
            self.next = seq.saturating_add(1);
            self.unique += 1;
            true
        } else if self.missing.remove(&seq) {
            self.out_of_order += 1;
            self.unique += 1;
            true
        } else {
            self.duplicates += 1;
            false
        }
    }

    /// Messages of `sent` that never came.
    pub(crate) fn gaps(&self, sent: u32) -> u64 {
        let holes = u64::try_from(self.missing.len()).unwrap_or(u64::MAX) + self.forgotten;
        holes + u64::from(sent.saturating_sub(self.next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(seqs: &[u32]) -> Tally {
        let mut tally = Tally::default();
        for &seq in seqs {
            tally.take(seq);
        }
        tally
    }

    #[test]
    fn each_kind_of_harm_is_counted_apart() {
        // (deliveries, sent) -> (unique, gaps, duplicates, out of order)
        let table: [(&[u32], u32, [u64; 4]); 7] = [
            (&[0, 1, 2], 3, [3, 0, 0, 0]),
            (&[], 3, [0, 3, 0, 0]),
            (&[0, 2], 3, [2, 1, 0, 0]),
            (&[0, 2, 1], 3, [3, 0, 0, 1]),
            (&[0, 0, 1], 2, [2, 0, 1, 0]),
            (&[1, 0, 0], 2, [2, 0, 1, 1]),
            (&[0, 1], 5, [2, 3, 0, 0]),
        ];
        for (seqs, sent, expected) in table {
            let tally = tally(seqs);
            let seen = [tally.unique, tally.gaps(sent), tally.duplicates, tally.out_of_order];
            assert_eq!(seen, expected, "{seqs:?} of {sent}");
        }
    }

    #[test]
    fn memory_is_bounded_and_gaps_are_still_counted() {
        let mut tally = Tally::default();
        tally.take(200_000);
        assert_eq!(tally.missing.len(), MISSING_MAX);
        assert_eq!(tally.gaps(200_001), 200_000);
    }
}
