//! Memory that a crowd has left behind is given back to the system.

use std::sync::Arc;

use godwit_broker::listen::Census;
use tokio::task::spawn_blocking;

use crate::limits::{CROWD_MIN, MEMORY_LOOK, MEMORY_LOOKS_AFTER};
use crate::metrics::MEMORY_GIVEN_BACK;
use crate::store::Opened;

/// Looks again and again whether a crowd has left, and gives back what it has used.
pub(crate) async fn after_crowds(census: Arc<Census>, store: Opened) {
    let mut tide = Tide::default();
    loop {
        tokio::time::sleep(MEMORY_LOOK).await;
        if tide.look(census.take_peak(), census.total()) {
            store.shrink().await;
            let started = std::time::Instant::now();
            let given = spawn_blocking(godwit_heap::give_back).await.unwrap_or(false);
            metrics::histogram!(MEMORY_GIVEN_BACK).record(started.elapsed().as_secs_f64());
            tracing::debug!(given, "memory of connections that have left");
        }
    }
}

/// How high connections have stood, and when they went.
#[derive(Debug, Default)]
struct Tide {
    /// The most since the last ebb.
    high: usize,
    /// Looks since the last ebb. `None`: there was none, or it is long ago.
    since: Option<u32>,
}

impl Tide {
    /// Whether memory is to be given back: when at least half of a crowd has left, and some times
    /// thereafter, for what it leaves goes bit by bit (who has gone is told offline later, who has
    /// connected is remembered for a minute). `peak`: the most connections since the last look.
    fn look(&mut self, peak: usize, now: usize) -> bool {
        self.high = self.high.max(peak);
        if self.high >= CROWD_MIN && now <= self.high / 2 {
            self.high = now;
            self.since = Some(0);
            return true;
        }
        let Some(since) = self.since else { return false };
        self.since = (since < MEMORY_LOOKS_AFTER).then_some(since + 1);
        // After 1, 3, 7 and 15 looks.
        (since + 2).is_power_of_two()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_ebbed_when_half_of_a_crowd_has_left() {
        let mut tide = Tide::default();
        assert!(!tide.look(CROWD_MIN - 1, 0), "no crowd");
        assert!(!tide.look(4 * CROWD_MIN, 3 * CROWD_MIN));
        assert!(!tide.look(3 * CROWD_MIN, 2 * CROWD_MIN + 1));
        assert!(tide.look(2 * CROWD_MIN + 1, 2 * CROWD_MIN), "over several looks");
        assert!(tide.look(2 * CROWD_MIN, 0), "and the rest of it");
        assert!(tide.look(CROWD_MIN, 0), "one that came between two looks");
        let again: Vec<u32> = (1..100).filter(|_| tide.look(0, 0)).collect();
        assert_eq!(again, [1, 3, 7, 15]);
    }
}
