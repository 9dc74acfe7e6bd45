//! Whether the files that SQLite has open are still those that a restart would find.
//!
//! SQLite writes on into a file that was deleted or replaced; what it acknowledges then is gone with
//! the process. So each commit looks, after it is flushed and before it is told.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A file by its device and number.
type Id = (u64, u64);

/// What has changed under the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    /// The write-ahead log or its index: what is in it can still be copied into the database.
    Log,
    /// The database itself: a person must bring it back.
    Database,
}

/// The files of one database.
#[derive(Debug)]
pub(crate) struct Files {
    path: PathBuf,
    known: Mutex<[Option<Id>; 3]>,
}

impl Files {
    /// For the database at `path`; see [`Files::note`].
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), known: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The write-ahead log.
    pub(crate) fn log(&self) -> PathBuf {
        self.with("-wal")
    }

    fn with(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    fn now(&self) -> [Option<Id>; 3] {
        ["", "-wal", "-shm"]
            .map(|suffix| std::fs::metadata(self.with(suffix)).ok().as_ref().map(id))
    }

    /// The files were opened just now.
    pub(crate) fn note(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = self.now();
    }

    /// Looks at the names. Costs three calls of the system, some microseconds.
    pub(crate) fn look(&self) -> Result<(), Changed> {
        let now = self.now();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known[0] != now[0] {
            return Err(Changed::Database);
        }
        if known[1..] != now[1..] { Err(Changed::Log) } else { Ok(()) }
    }
}

fn id(metadata: &Metadata) -> Id {
    (metadata.dev(), metadata.ino())
}
