//! Removes bodies and kept sessions that are due.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use godwit_core::store::{Prune, Store};
use tokio::sync::watch;

use crate::Options;
use crate::metrics::PRUNED;
use crate::pause::pause;

/// Rows of each kind in one step, which is a transaction of its own: at most 12 MiB of bodies are
/// emptied while a commit may have to wait.
const STEP_ROWS_MAX: u32 = 50;

/// Between two steps when there is more, so that others come in between: at most 2,500 rows a second.
const STEP_PAUSE: Duration = Duration::from_millis(20);

pub(crate) async fn run(
    store: Arc<dyn Store>,
    options: Options,
    mut stopped: watch::Receiver<bool>,
) {
    let mut wait = options.retention_interval;
    while !pause(wait, &mut stopped).await {
        wait = options.retention_interval;
        let now_ms = millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let bodies_before_ms = options.bodies_kept.map(|kept| now_ms.saturating_sub(millis(kept)));
        let prune = Prune { now_ms, bodies_before_ms, rows_max: STEP_ROWS_MAX };
        match store.prune(prune).await {
            Ok(pruned) => {
                ::metrics::counter!(PRUNED, "kind" => "bodies").increment(pruned.bodies);
                ::metrics::counter!(PRUNED, "kind" => "sessions").increment(pruned.sessions);
                ::metrics::counter!(PRUNED, "kind" => "keys").increment(pruned.keys);
                let full = u64::from(STEP_ROWS_MAX);
                if pruned.more || pruned.bodies.max(pruned.sessions).max(pruned.keys) >= full {
                    wait = STEP_PAUSE;
                }
            }
            Err(error) => tracing::warn!(stage = "derive", %error, "retention waits"),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
