//! Who writes next: SQLite has one writer.
//!
//! Commits stand in one line, everything else in a line behind: of that, at most one stands among the
//! commits. So a commit waits for one other write at most, and the others get every second turn.

use std::sync::Arc;

use godwit_core::store::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::from_driver;
use crate::limits::ACQUIRE;

/// The two lines. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    one: Arc<Semaphore>,
    behind: Arc<Semaphore>,
}

/// The right to write, until dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    // Given back first: a commit that waits goes before the next of the other line.
    _one: OwnedSemaphorePermit,
    _behind: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { one: Arc::new(Semaphore::new(1)), behind: Arc::new(Semaphore::new(1)) }
    }

    /// A commit's turn.
    pub(crate) async fn first(&self) -> Result<Turn, Error> {
        Ok(Turn { _one: permit(&self.one).await?, _behind: None })
    }

    /// Anything else's turn.
    pub(crate) async fn behind(&self) -> Result<Turn, Error> {
        let behind = permit(&self.behind).await?;
        Ok(Turn { _one: permit(&self.one).await?, _behind: Some(behind) })
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
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn a_commit_waits_for_one_other_at_most() {
        let (turns, order) = (Turns::new(), Arc::new(Mutex::new(Vec::new())));
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
        let expected = ["commit 1", "commit 2", "other 1", "other 2", "other 3"];
        assert_eq!(*order.lock().unwrap(), expected);
    }
}
