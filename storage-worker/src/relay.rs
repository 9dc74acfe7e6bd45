//! From the outbox into the event stream, at least once and in order.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use godwit_core::bus::Stream;
use godwit_core::store::{Error, Store};
use tokio::sync::watch;

use crate::metrics::{FAILURES, OUTBOX_AGE, RELAYED};
use crate::pause::pause;

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

/// A step that takes longer is told: entries that nobody announced wait for it.
const STEP_LATE: Duration = Duration::from_secs(2);

pub(crate) async fn run(
    store: Arc<dyn Store>,
    stream: Arc<dyn Stream>,
    interval: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let mut relay = Relay { store, stream, appended: HashSet::new(), age: Arc::default() };
    loop {
        let begun = Instant::now();
        let stepped = relay.timed_step().await;
        let wait = match stepped {
            Ok(moved) if moved >= STEP_EVENTS_MAX as usize => Duration::ZERO,
            Ok(_) => interval,
            Err(error) => {
                ::metrics::counter!(FAILURES).increment(1);
                tracing::warn!(stage = "derive", %error, "the outbox waits");
                // Whoever missed an announcement because of the same failure waits for this.
                interval * 2
            }
        };
        if begun.elapsed() > STEP_LATE {
            tracing::warn!(stage = "derive", seconds = begun.elapsed().as_secs(), "a slow step");
        }
        if pause(wait, &mut stopped).await {
            return;
        }
    }
}

/// Moves events until there are none.
pub(crate) async fn until_empty(
    store: Arc<dyn Store>,
    stream: Arc<dyn Stream>,
) -> Result<(), Error> {
    let mut relay = Relay { store, stream, appended: HashSet::new(), age: Arc::default() };
    while relay.step().await? > 0 {}
    Ok(())
}

struct Relay {
    store: Arc<dyn Store>,
    stream: Arc<dyn Stream>,
    /// Events that the stream has taken and the outbox may still hold, since its answer was lost:
    /// at most those of one step. They are not given to the stream once more.
    appended: HashSet<i64>,
    age: Arc<Age>,
}

impl Relay {
    /// A step, telling how old the oldest event is: a full stream makes a step wait.
    async fn timed_step(&mut self) -> Result<usize, Error> {
        let age = Arc::clone(&self.age);
        let mut stepping = pin!(self.step());
        loop {
            age.tell();
            if let Ok(stepped) = tokio::time::timeout(AGE_EVERY, &mut stepping).await {
                return stepped;
            }
        }
    }

    /// Moves the oldest events; a crash in between repeats them, consumers are idempotent.
    async fn step(&mut self) -> Result<usize, Error> {
        let events = self.store.outbox(STEP_EVENTS_MAX).await?;
        self.age.oldest(events.first().map(|event| event.id));
        if events.is_empty() {
            self.appended.clear();
            return Ok(0);
        }
        let ids: Vec<_> = events.iter().map(|event| event.id).collect();
        let new: Vec<_> =
            events.into_iter().filter(|event| !self.appended.contains(&event.id)).collect();
        if !new.is_empty() {
            self.stream.append(&new).await?;
        }
        self.appended = ids.iter().copied().collect();
        self.store.outbox_done(&ids).await?;
        self.appended.clear();
        self.age.oldest(None);
        ::metrics::counter!(RELAYED).increment(ids.len() as u64);
        Ok(ids.len())
    }
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
