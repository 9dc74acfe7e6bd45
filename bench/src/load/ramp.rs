//! Connections coming up, so many at once, each timed from its first SYN to its CONNACK (and
//! SUBACK, when it subscribes).

use std::ops::Range;

use hdrhistogram::Histogram;

use crate::engine::Engine;
use crate::report;

/// A range of the engine's connections being opened.
pub(crate) struct Ramp {
    range: Range<usize>,
    next: usize,
    concurrency: usize,
    up: Vec<bool>,
    pending: usize,
    ready: usize,
    failed: usize,
    first_failure: Option<String>,
    began_ns: Option<u64>,
    ended_ns: u64,
    latency: Histogram<u64>,
}

impl Ramp {
    /// Opens `range`, at most `concurrency` at a time. Errors: as [`report::histogram`].
    pub(crate) fn new(range: Range<usize>, concurrency: usize) -> miette::Result<Self> {
        Ok(Self {
            next: range.start,
            up: vec![false; range.len()],
            range,
            concurrency: concurrency.max(1),
            pending: 0,
            ready: 0,
            failed: 0,
            first_failure: None,
            began_ns: None,
            ended_ns: 0,
            latency: report::histogram()?,
        })
    }

    /// Opens as many as may be opened now.
    pub(crate) fn fill(&mut self, engine: &mut Engine) {
        if self.began_ns.is_none() {
            self.began_ns = Some(engine.clock().now_ns());
        }
        while self.pending < self.concurrency && self.next < self.range.end {
            engine.open(self.next);
            self.next += 1;
            self.pending += 1;
        }
    }

    /// A connection is up.
    pub(crate) fn ready(&mut self, index: usize, opened_ns: u64, at_ns: u64) {
        let Some(up) = self.slot(index) else { return };
        if !std::mem::replace(up, true) {
            self.pending -= 1;
            self.ready += 1;
            self.ended_ns = at_ns;
            self.latency.saturating_record(at_ns.saturating_sub(opened_ns));
        }
    }

    /// A connection is gone. True: before it was up, so the ramp has counted it.
    pub(crate) fn gone(&mut self, index: usize, reason: &str) -> bool {
        match self.slot(index) {
            Some(false) => {
                self.pending -= 1;
                self.failed += 1;
                self.first_failure.get_or_insert_with(|| reason.to_owned());
                true
            }
            _ => false,
        }
    }

    fn slot(&mut self, index: usize) -> Option<&mut bool> {
        self.up.get_mut(index.checked_sub(self.range.start)?)
    }

    /// Every connection is up or failed.
    pub(crate) fn is_done(&self) -> bool {
        self.ready + self.failed == self.range.len()
    }

    /// Connections up or failed so far, and all of them.
    pub(crate) fn progress(&self) -> (usize, usize) {
        (self.ready + self.failed, self.range.len())
    }

    /// How it went.
    pub(crate) fn report(&self) -> report::Connects {
        let took_ns = self.ended_ns.saturating_sub(self.began_ns.unwrap_or(0));
        let seconds = report::seconds(took_ns);
        report::Connects {
            connected: self.ready,
            failed: self.failed,
            first_failure: self.first_failure.clone(),
            seconds,
            per_s: report::rate(u64::try_from(self.ready).unwrap_or(0), seconds),
            connack: report::Latency::of(&self.latency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_counts_once() {
        let mut ramp = Ramp::new(5..8, 2).unwrap();
        ramp.pending = 3;
        ramp.ready(5, 0, 1_000_000);
        ramp.ready(5, 0, 9_000_000);
        assert!(ramp.gone(6, "refused"));
        assert!(!ramp.gone(5, "lost later"));
        assert!(!ramp.gone(99, "another's"));
        assert!(!ramp.is_done());
        ramp.ready(7, 0, 2_000_000);
        assert!(ramp.is_done());
        let report = ramp.report();
        assert_eq!((report.connected, report.failed), (2, 1));
        assert_eq!(report.first_failure.as_deref(), Some("refused"));
    }
}
