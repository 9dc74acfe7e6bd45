//! How commits fare: the watchdog's sight of the lanes.

use std::time::{Duration, Instant};

use godwit_core::bus::Commits;
use parking_lot::Mutex;

/// What the lanes have said of their commits.
#[derive(Debug)]
pub(crate) struct Pulse(Mutex<State>);

#[derive(Debug)]
struct State {
    /// For each lane, since when what it has taken is under way.
    lanes: Vec<Option<Instant>>,
    /// The first and the last failure since the last success.
    failing: Option<(Instant, Instant)>,
    success: Option<Instant>,
}

impl Pulse {
    pub(crate) fn new(lanes: usize) -> Self {
        Self(Mutex::new(State { lanes: vec![None; lanes], failing: None, success: None }))
    }

    /// A lane has taken sends, or has none under way any more.
    pub(crate) fn lane(&self, lane: usize, since: Option<Instant>) {
        if let Some(place) = self.0.lock().lanes.get_mut(lane) {
            *place = since;
        }
    }

    /// A try has failed.
    pub(crate) fn failed(&self, now: Instant) {
        let mut state = self.0.lock();
        let first = state.failing.map_or(now, |(first, _)| first);
        state.failing = Some((first, now));
    }

    /// A try was committed. It is said once that the store is back.
    pub(crate) fn succeeded(&self, now: Instant) {
        let mut state = self.0.lock();
        state.success = Some(now);
        let failing = state.failing.take();
        drop(state);
        if let Some((first, _)) = failing {
            let after_s = now.saturating_duration_since(first).as_secs_f32();
            tracing::info!(
                stage = "commit",
                after_s,
                "the store is back: sends are committed again"
            );
        }
    }

    pub(crate) fn commits(&self, now: Instant) -> Commits {
        let ago = |at: Instant| now.saturating_duration_since(at);
        let state = self.0.lock();
        let oldest: Option<Duration> = state.lanes.iter().flatten().copied().map(ago).max();
        Commits {
            under_way: oldest,
            failing: state.failing.map(|(first, _)| ago(first)),
            last_failure: state.failing.map(|(_, last)| ago(last)),
            last_success: state.success.map(ago),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_under_way_and_what_came_last() {
        let (pulse, start) = (Pulse::new(2), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        assert_eq!(pulse.commits(start), Commits::default());
        pulse.lane(1, Some(at(1)));
        pulse.lane(0, Some(at(2)));
        pulse.failed(at(3));
        pulse.failed(at(5));
        let told = pulse.commits(at(6));
        let s = |s| Some(Duration::from_secs(s));
        assert_eq!((told.under_way, told.failing, told.last_failure), (s(5), s(3), s(1)));
        pulse.succeeded(at(7));
        pulse.lane(1, None);
        let told = pulse.commits(at(9));
        let expected = Commits { under_way: s(7), last_success: s(2), ..Commits::default() };
        assert_eq!(told, expected);
    }
}
