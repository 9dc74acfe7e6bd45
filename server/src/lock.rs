//! One serving process for one data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::failure::{Failure, Result};
use crate::files;

/// The data directory is this process's while this lives; the kernel ends it with the process.
#[derive(Debug)]
pub(crate) struct DataLock {
    _file: File,
}

impl DataLock {
    /// Takes `dir`. Two processes on one SQLite file would each commit, but not tell each other's
    /// devices, so the second one is refused.
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("godwit.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| files::unreadable(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                format!("another godwit serves from {}", dir.display()),
                "Stop it first, or name another directory by --data DIR.",
            )),
            Err(TryLockError::Error(error)) => Err(files::unreadable(&path, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn one_at_a_time() {
        let dir = Dir::new();
        let first = DataLock::take(dir.path()).unwrap();
        let message = DataLock::take(dir.path()).unwrap_err().to_string();
        assert!(message.contains("another godwit"), "{message}");
        drop(first);
        assert!(DataLock::take(dir.path()).is_ok());
    }
}
