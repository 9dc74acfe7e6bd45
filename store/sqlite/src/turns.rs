//! Who writes next: SQLite has one writer.
//!
//! Commits stand in one line, everything else in a line behind: of that, one at a time stands among the
//! commits. Whose turn it is may hand it on to the next of the same line for a while, for these writes are
//! short (they are flushed after their turn) and a commit on a slow disk is not: else each of them would
//! wait for a commit. So a commit waits for [`crate::limits::BURST`] and one other write at most, and the
//! others have a burst between any two commits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use godwit_core::store::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::from_driver;
use crate::limits::ACQUIRE;

/// The two lines. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    one: Arc<Semaphore>,
    behind: Arc<Semaphore>,
    line: Arc<Mutex<Line>>,
    burst: Duration,
}

/// The line behind.
#[derive(Debug, Default)]
struct Line {
    /// How many stand in it.
    waiting: usize,
    /// The turn that is handed on, only while somebody waits for it; and since when the line has it.
    handed: Option<(OwnedSemaphorePermit, Instant)>,
}

/// The right to write, until dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Given back first: a commit that waits goes before the next of the other line.
    one: Option<OwnedSemaphorePermit>,
    behind: Option<Behind>,
}

/// What the next of the line behind may be given.
#[derive(Debug)]
struct Behind {
    since: Instant,
    burst: Duration,
    line: Arc<Mutex<Line>>,
    /// Given back last: the next one finds what was handed on.
    _behind: OwnedSemaphorePermit,
}

/// One who stands in the line behind, also one who gives up.
struct Waiting<'a>(&'a Mutex<Line>);

impl Waiting<'_> {
    /// Leaves the line, with what was handed on.
    fn take(self) -> Option<(OwnedSemaphorePermit, Instant)> {
        lock(self.0).handed.take()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut line = lock(self.0);
        line.waiting -= 1;
        if line.waiting == 0 {
            line.handed = None;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (Some(one), Some(behind)) = (self.one.take(), &self.behind) else { return };
        let mut line = lock(&behind.line);
        if line.waiting > 0 && behind.since.elapsed() < behind.burst {
            line.handed = Some((one, behind.since));
        }
    }
}

fn lock(line: &Mutex<Line>) -> std::sync::MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Turns {
    /// `burst`: how long the line behind may keep the turn.
    pub(crate) fn new(burst: Duration) -> Self {
        Self {
            one: Arc::new(Semaphore::new(1)),
            behind: Arc::new(Semaphore::new(1)),
            line: Arc::default(),
            burst,
        }
    }

    /// A commit's turn.
    pub(crate) async fn first(&self) -> Result<Turn, Error> {
        Ok(Turn { one: Some(permit(&self.one).await?), behind: None })
    }

    /// Anything else's turn.
    pub(crate) async fn behind(&self) -> Result<Turn, Error> {
        lock(&self.line).waiting += 1;
        let waiting = Waiting(&self.line);
        let behind = permit(&self.behind).await?;
        let handed = waiting.take();
        let (one, since) = match handed {
            Some(handed) => handed,
            None => (permit(&self.one).await?, Instant::now()),
        };
        let (burst, line) = (self.burst, Arc::clone(&self.line));
        let behind = Behind { since, burst, line, _behind: behind };
        Ok(Turn { one: Some(one), behind: Some(behind) })
    }
}

async fn permit(line: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
    let waiting = Arc::clone(line).acquire_owned();
    match tokio::time::timeout(ACQUIRE, waiting).await {
        Ok(Ok(permit)) => Ok(permit),
        // It is never closed.
        Ok(Err(_)) => Err(from_driver(sqlx::Error::PoolClosed)),
        Err(_) => Err(from_driver(sqlx::Error::PoolTimedOut)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which these get their turn, who ask one after the other while another writes.
    async fn order(burst: Duration) -> Vec<&'static str> {
        let (turns, order) = (Turns::new(burst), Arc::new(Mutex::new(Vec::new())));
        let held = turns.behind().await.unwrap();
        let mut tasks = Vec::new();
        for name in ["other 1", "other 2", "commit 1", "other 3", "commit 2"] {
            let (turns, order) = (turns.clone(), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                let turn = match name.starts_with("commit") {
                    true => turns.first().await.unwrap(),
                    false => turns.behind().await.unwrap(),
                };
                order.lock().unwrap().push(name);
                drop(turn);
            }));
            // The task runs until it waits.
            tokio::task::yield_now().await;
        }
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!((turns.one.available_permits(), lock(&turns.line).waiting), (1, 0));
        order.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn a_commit_waits_for_one_other_when_their_time_is_up() {
        let expected = ["commit 1", "commit 2", "other 1", "other 2", "other 3"];
        assert_eq!(order(Duration::ZERO).await, expected);
    }

    #[tokio::test]
    async fn the_others_go_together_while_they_have_time() {
        let expected = ["other 1", "other 2", "other 3", "commit 1", "commit 2"];
        assert_eq!(order(Duration::from_secs(60)).await, expected);
    }

    #[tokio::test]
    async fn a_turn_handed_to_one_who_gives_up_is_not_lost() {
        let turns = Turns::new(Duration::from_secs(60));
        let held = turns.behind().await.unwrap();
        let waiter = {
            let turns = turns.clone();
            tokio::spawn(async move { turns.behind().await.map(drop) })
        };
        tokio::task::yield_now().await;
        assert_eq!(lock(&turns.line).waiting, 1);
        drop(held);
        assert!(lock(&turns.line).handed.is_some());
        waiter.abort();
        assert!(waiter.await.unwrap_err().is_cancelled());
        drop(turns.first().await.unwrap());
        drop(turns.behind().await.unwrap());
    }
}
