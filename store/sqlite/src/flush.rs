//! One flush of the write-ahead log for all who wait for one.
//!
//! A write that is no commit of sends is put into the log without a flush, gives its turn back, and then
//! waits here: one flush is under way, and the next is for all who have come meanwhile. So a slow disk
//! costs each of them two flushes at most, and a commit none of theirs.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Mutex;

/// Up to which ticket a flush went well. Held while one is under way.
#[derive(Debug, Default)]
struct Flushed {
    well: u64,
    /// Tickets above the first and up to the second: their flush has failed, whatever later ones say.
    badly: (u64, u64),
}

impl Flushed {
    fn failed(&self, ticket: u64) -> bool {
        ticket > self.badly.0 && ticket <= self.badly.1
    }

    fn fail(&mut self, upto: u64) {
        let from = if self.badly.0 < self.badly.1 { self.badly.0 } else { self.well };
        self.badly = (from, upto);
    }
}

/// Who waits, and what became of it.
#[derive(Debug, Default)]
pub(crate) struct Flushes {
    /// The last ticket that was given.
    asked: AtomicU64,
    flushed: Arc<Mutex<Flushed>>,
    sick: Arc<AtomicBool>,
}

impl Flushes {
    /// A ticket for what was written just now, or (`wrote` is false) for what was read, which others may
    /// still be waiting for. Taken in the write's turn.
    pub(crate) fn ticket(&self, wrote: bool) -> u64 {
        self.asked.fetch_add(u64::from(wrote), Ordering::SeqCst) + u64::from(wrote)
    }

    /// Waits until the log at `path` is flushed up to the ticket.
    pub(crate) async fn wait(&self, ticket: u64, path: impl FnOnce() -> PathBuf) -> io::Result<()> {
        let mut flushed = Arc::clone(&self.flushed).lock_owned().await;
        if flushed.failed(ticket) {
            return Err(io::Error::other("a flush has failed"));
        }
        if ticket <= flushed.well {
            return Ok(());
        }
        let (path, sick) = (path(), Arc::clone(&self.sick));
        let upto = self.asked.load(Ordering::SeqCst);
        // It keeps its own account, whether or not somebody still waits for it.
        let flush = move || {
            // SQLite has no lock on this file that closing it could end.
            let result = File::open(path).and_then(|log| log.sync_data());
            if result.is_ok() {
                flushed.well = upto;
            } else {
                flushed.fail(upto);
                sick.store(true, Ordering::SeqCst);
            }
            result
        };
        tokio::task::spawn_blocking(flush).await.unwrap_or_else(|died| {
            self.sick.store(true, Ordering::SeqCst);
            Err(io::Error::other(died))
        })
    }

    /// Whether what is in the log may be lost, so that nothing behind it counts: the disk tells of a lost
    /// write once, and the next flush succeeds.
    pub(crate) fn is_sick(&self) -> bool {
        self.sick.load(Ordering::SeqCst)
    }

    /// The log was not where it should be, or a flush elsewhere has failed.
    pub(crate) fn set_sick(&self) {
        self.sick.store(true, Ordering::SeqCst);
    }

    /// All of the log is in the database, and on the disk. Called by who has the turn.
    pub(crate) async fn healed(&self) {
        let mut flushed = self.flushed.lock().await;
        *flushed = Flushed { well: self.asked.load(Ordering::SeqCst), badly: (0, 0) };
        self.sick.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_flush_is_for_all_who_have_come() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "x").unwrap();
        let flushes = Flushes::default();
        flushes.wait(flushes.ticket(false), || panic!("nothing was written")).await.unwrap();
        let tickets: Vec<u64> = (0..3).map(|_| flushes.ticket(true)).collect();
        assert_eq!((tickets.as_slice(), flushes.ticket(false)), ([1, 2, 3].as_slice(), 3));
        flushes.wait(1, || path.clone()).await.unwrap();
        for ticket in [2, 3] {
            flushes.wait(ticket, || panic!("flushed already")).await.unwrap();
        }
        // One that has come later, or has read what such a one wrote, needs another.
        let later = flushes.ticket(true);
        flushes.wait(flushes.ticket(false), || path.clone()).await.unwrap();
        flushes.wait(later, || panic!("flushed already")).await.unwrap();
        assert!(!flushes.is_sick());
    }

    #[tokio::test]
    async fn who_waited_for_a_flush_that_failed_is_not_told_of_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let flushes = Flushes::default();
        std::fs::write(&path, "x").unwrap();
        let before = flushes.ticket(true);
        flushes.wait(before, || path.clone()).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let tickets = [flushes.ticket(true), flushes.ticket(true)];
        assert!(flushes.wait(tickets[0], || path.clone()).await.is_err());
        assert!(flushes.is_sick());
        std::fs::write(&path, "x").unwrap();
        assert!(flushes.wait(tickets[1], || path.clone()).await.is_err());
        flushes.wait(flushes.ticket(true), || path.clone()).await.unwrap();
        assert!(flushes.wait(tickets[1], || path.clone()).await.is_err());
        flushes.wait(before, || panic!("flushed already")).await.unwrap();
        assert!(flushes.is_sick(), "what was lost is still lost");
        flushes.healed().await;
        flushes.wait(tickets[1], || panic!("it is in the database")).await.unwrap();
        assert!(!flushes.is_sick());
    }
}
