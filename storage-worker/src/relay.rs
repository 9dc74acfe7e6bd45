//! From the outbox into the event stream, at least once and in order.

use std::sync::Arc;
use std::time::Duration;

use godwit_core::bus::Stream;
use godwit_core::store::{Error, Store};
use tokio::sync::watch;

/// Events moved in one step.
const STEP_EVENTS_MAX: u32 = 2000;

/// Events that have reached the stream.
const RELAYED: &str = "godwit_outbox_relayed_total";
/// Steps of the relay that failed.
const FAILURES: &str = "godwit_outbox_failures_total";

pub(crate) async fn run(
    store: Arc<dyn Store>,
    stream: Arc<dyn Stream>,
    interval: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let wait = match step(store.as_ref(), stream.as_ref()).await {
            Ok(moved) if moved >= STEP_EVENTS_MAX as usize => Duration::ZERO,
            Ok(_) => interval,
            Err(error) => {
                metrics::counter!(FAILURES).increment(1);
                tracing::warn!(stage = "derive", %error, "the outbox waits");
                interval * 8
            }
        };
        if crate::pause(wait, &mut stopped).await {
            return;
        }
    }
}

/// Moves the oldest events; a crash in between repeats them, consumers are idempotent.
async fn step(store: &dyn Store, stream: &dyn Stream) -> Result<usize, Error> {
    let events = store.outbox(STEP_EVENTS_MAX).await?;
    if events.is_empty() {
        return Ok(0);
    }
    stream.append(&events).await?;
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    store.outbox_done(&ids).await?;
    metrics::counter!(RELAYED).increment(ids.len() as u64);
    Ok(ids.len())
}
