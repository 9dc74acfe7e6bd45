//! Files of the data directory: made once, readable by their owner alone.
//!
//! [`keep_to_ourselves`] is for what others make in our name (SQLite its database and logs, the lock
//! file): whatever the directory allows, what this process makes is nobody else's to read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::Mode;

use crate::failure::{Failure, Result};

/// From here on every file that this process makes is 0600 and every directory 0700, also in a
/// directory that others may look into.
pub(crate) fn keep_to_ourselves() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Makes the data directory (0700) if it is not there, and proves that it can be written.
pub(crate) fn data_dir(path: &Path) -> Result<()> {
    let refused = |error: io::Error| {
        Failure::new(
            format!("the data directory {} cannot be written: {error}", path.display()),
            "Name another by --data DIR (or server.data_dir), or give this one to the user that \
             runs godwit.",
        )
    };
    if !path.exists() {
        fs::create_dir_all(path).map_err(refused)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(refused)?;
    }
    let probe = path.join(format!(".probe-{}", std::process::id()));
    fs::write(&probe, b"godwit").and_then(|()| fs::remove_file(&probe)).map_err(refused)
}

/// The text of `path`; when it is not there, what `make` gives, written with mode 0600.
///
/// Of two processes that make it at once, one wins and both get its text.
pub(crate) fn private(path: &Path, make: impl FnOnce() -> Result<String>) -> Result<String> {
    if let Some(text) = secret(path)? {
        return Ok(text);
    }
    let text = make()?;
    match publish(path, &text, false) {
        Ok(()) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::read_to_string(path).map_err(|error| unreadable(path, &error))
        }
        Err(error) => Err(unwritable(path, &error)),
    }
}

/// The text of a file that holds a secret; `None`: there is no such file. One that any user of the
/// machine may write is refused: whoever did could be anyone. (One that others may read is warned of:
/// [`others_may_read`].)
pub(crate) fn secret(path: &Path) -> Result<Option<String>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    let mode = mode(path).map_err(|error| unreadable(path, &error))?;
    if mode & 0o002 != 0 {
        return Err(Failure::new(
            format!("{} may be written by every user of this machine ({mode:04o})", path.display()),
            format!(
                "Replace what it holds, for anyone could have put it there, then: chmod 600 {}",
                path.display()
            ),
        ));
    }
    Ok(Some(text))
}

/// Whether others than the owner and its group may read the file, or the group may write it: its
/// mode. `None`: they may not, or there is no such file.
pub(crate) fn others_may_read(path: &Path) -> Option<u32> {
    mode(path).ok().filter(|mode| mode & 0o024 != 0)
}

fn mode(path: &Path) -> io::Result<u32> {
    fs::metadata(path).map(|found| found.permissions().mode() & 0o7777)
}

/// Puts `text` at `path` with mode 0600, whole or not at all, over what is there.
pub(crate) fn replace(path: &Path, text: &str) -> Result<()> {
    publish(path, text, true).map_err(|error| unwritable(path, &error))
}

fn publish(path: &Path, text: &str, replace: bool) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = Path::new(&name);
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // A link, other than a rename, fails when another process was first.
        if replace { fs::rename(new, path) } else { fs::hard_link(new, path) }
    })();
    if !replace || written.is_err() {
        // Its name has done its work; when it cannot be removed, it is but a copy, still 0600.
        let _ = fs::remove_file(new);
    }
    written
}

/// `path` cannot be read.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        format!("{} cannot be read: {error}", path.display()),
        "Check the name, and that the user who runs godwit may read it.",
    )
}

/// `path` cannot be written.
pub(crate) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        format!("{} cannot be written: {error}", path.display()),
        "Give the directory to the user that runs godwit, or name another by --data DIR.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn made_once_and_private() {
        let dir = Dir::new();
        let path = dir.path().join("key");
        assert_eq!(private(&path, || Ok("first".into())).unwrap(), "first");
        assert_eq!(private(&path, || Ok("second".into())).unwrap(), "first");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // One that loses the race takes the winner's.
        assert_eq!(
            publish(&path, "third", false).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        replace(&path, "fourth").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "fourth");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn secrets_that_others_may_write_are_refused() {
        let dir = Dir::new();
        let path = dir.path().join("key");
        assert_eq!(secret(&path), Ok(None));
        fs::write(&path, "text").unwrap();
        for (mode, taken, warned) in [
            (0o600, true, false),
            (0o400, true, false),
            (0o640, true, false),
            (0o644, true, true),
            (0o660, true, true),
            (0o666, false, true),
            (0o602, false, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(secret(&path).is_ok(), taken, "{mode:o}");
            assert_eq!(others_may_read(&path).is_some(), warned, "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(private(&path, || Ok(String::new())).unwrap_err().to_string().contains("0666"));
    }

    #[test]
    fn a_directory_that_cannot_be() {
        let dir = Dir::new();
        data_dir(&dir.path().join("a/b")).unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let message = data_dir(&file.join("below")).unwrap_err().to_string();
        assert!(message.contains("cannot be written") && message.contains("--data"), "{message}");
        assert!(data_dir(&file).is_err());
    }
}
