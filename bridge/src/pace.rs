//! How fast the devices of large groups are served: steadily, not in one burst.
//!
//! Ten thousand connections woken at once keep every core busy for a tenth of a second, and whoever
//! else has a message waits behind them. Spread over a third of a second they are not noticed.

use std::time::{Duration, Instant};

use crate::limits;

/// The pace of one task.
#[derive(Debug)]
pub(crate) struct Pace {
    given: u32,
    /// When the next deliveries are due.
    next: Instant,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { given: 0, next: Instant::now() }
    }

    /// Notes so many deliveries, and lets others have their turn when it is time. `hurried`: more
    /// waits behind them, so the turn is all they get.
    pub(crate) async fn gave(&mut self, deliveries: u32, hurried: bool) {
        self.given += deliveries;
        if self.given < limits::LARGE_PAUSE_AFTER {
            return;
        }
        match self.pause(Instant::now()) {
            Some(until) if !hurried => tokio::time::sleep_until(until.into()).await,
            // Those who got something write it now, and whoever waited for this thread has it.
            _ => tokio::task::yield_now().await,
        }
    }

    /// When to go on; `None`: at once. What was given too late is made up for, within bounds.
    fn pause(&mut self, now: Instant) -> Option<Instant> {
        let earliest = now.checked_sub(limits::LARGE_CATCH_UP).unwrap_or(now);
        self.next = self.next.max(earliest) + limits::LARGE_DELIVERY * self.given;
        self.given = 0;
        // A timer is no finer.
        (self.next > now + Duration::from_millis(1)).then_some(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deliveries in so many milliseconds of a clock that always wakes half a millisecond late.
    fn given_in(span_ms: u64) -> u32 {
        let begin = Instant::now();
        let (mut now, mut given) = (begin, 0);
        let mut pace = Pace { given: 0, next: begin };
        while now < begin + Duration::from_millis(span_ms) {
            pace.given = limits::LARGE_PAUSE_AFTER;
            given += pace.given;
            if let Some(until) = pace.pause(now) {
                now = until + Duration::from_micros(500);
            }
        }
        given
    }

    #[test]
    fn the_pace_holds_though_timers_are_late() {
        let due = |span_ms: u64| {
            u32::try_from(span_ms * 1_000_000).unwrap()
                / u32::try_from(limits::LARGE_DELIVERY.as_nanos()).unwrap()
        };
        let given = given_in(1000);
        assert!(given <= due(1000) + due(10) && given >= due(1000) - due(100), "{given}");
    }

    #[test]
    fn a_rest_is_no_credit_for_a_burst() {
        let begin = Instant::now();
        let mut pace = Pace { given: limits::LARGE_PAUSE_AFTER, next: begin };
        let later = begin + Duration::from_secs(60);
        let _ = pace.pause(later);
        assert!(pace.next >= later - limits::LARGE_CATCH_UP);
    }
}
