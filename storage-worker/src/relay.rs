//! From the outbox into the event stream, at least once and in order.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use godwit_core::bus::Stream;
use godwit_core::store::{Error, Store};
use tokio::sync::watch;

use crate::metrics::{FAILURES, OUTBOX_AGE, RELAYED};

/// Events moved in one step.
const STEP_EVENTS_MAX: u32 = 2000;

/// How often the age of what waits is told while a step is under way.
const AGE_EVERY: Duration = Duration::from_secs(1);

/// Since when the oldest event is known to wait.
#[derive(Debug, Default)]
struct Age(Mutex<Option<(i64, Instant)>>);

impl Age {
    /// The oldest event now; `None`: the outbox is empty.
    fn oldest(&self, id: Option<i64>) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if since.map(|(known, _)| known) != id {
            *since = id.map(|id| (id, Instant::now()));
        }
    }

    fn tell(&self) {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = since.map_or(Duration::ZERO, |(_, since)| since.elapsed());
        ::metrics::gauge!(OUTBOX_AGE).set(age.as_secs_f64());
    }
}

pub(crate) async fn run(
    store: Arc<dyn Store>,
    stream: Arc<dyn Stream>,
    interval: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let age = Age::default();
    loop {
        let mut stepping = pin!(step(store.as_ref(), stream.as_ref(), &age));
        let stepped = loop {
            age.tell();
            // A full stream makes a step wait: the age is told all the same.
            if let Ok(stepped) = tokio::time::timeout(AGE_EVERY, &mut stepping).await {
                break stepped;
            }
        };
        let wait = match stepped {
            Ok(moved) if moved >= STEP_EVENTS_MAX as usize => Duration::ZERO,
            Ok(_) => interval,
            Err(error) => {
                ::metrics::counter!(FAILURES).increment(1);
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
async fn step(store: &dyn Store, stream: &dyn Stream, age: &Age) -> Result<usize, Error> {
    let events = store.outbox(STEP_EVENTS_MAX).await?;
    age.oldest(events.first().map(|event| event.id));
    if events.is_empty() {
        return Ok(0);
    }
    stream.append(&events).await?;
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    store.outbox_done(&ids).await?;
    age.oldest(None);
    ::metrics::counter!(RELAYED).increment(ids.len() as u64);
    Ok(ids.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_that_of_the_oldest() {
        let age = Age::default();
        let since = || age.0.lock().unwrap().map(|(_, since)| since);
        age.oldest(Some(7));
        let first = since().unwrap();
        age.oldest(Some(7));
        assert_eq!(since(), Some(first), "still the same one");
        age.oldest(Some(9));
        assert!(since().unwrap() >= first);
        age.oldest(None);
        assert_eq!(since(), None);
        age.tell();
    }
}
