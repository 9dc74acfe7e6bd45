//! Files of secrets: the embedded issuer's keys, the operators' tokens. A line for each secret, with a
//! name that no other line has; empty lines and comments (#) are passed over. Read again on SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};

use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::files;

/// What is wrong, for people: with a line (behind its number), or with the whole file.
pub(super) type Wrong = String;

/// A secret in its line.
pub(super) trait Line: Clone {
    /// What it is called among people.
    const WHAT: &'static str;
    /// The most of a file.
    const MAX: usize;
    /// What a file without any is told.
    const NONE: &'static str;
    /// The way out when the file is not valid.
    const BROKEN: &'static str;
    /// The way out when there is no file.
    const MISSING: &'static str;
    /// Why the last one cannot go, and the way out.
    const LAST: (&'static str, &'static str);
    /// How to see which there are.
    const LOOK: &'static str;

    /// Reads a line that is neither empty nor a comment.
    fn read(line: &str) -> std::result::Result<Self, Wrong>;

    /// `None`: without a name; that is a name, too.
    fn name(&self) -> Option<&str>;
}

/// The secrets of a file, in its order; never none. Clones are the same ones: what
/// [`Secrets::reload`] reads is in force for all who hold one.
#[derive(Debug)]
pub(super) struct Secrets<L>(Arc<RwLock<Vec<L>>>);

impl<L> Clone for Secrets<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L: Line> Secrets<L> {
    /// These, of no file.
    pub(super) fn of(secrets: Vec<L>) -> Self {
        Self(Arc::new(RwLock::new(secrets)))
    }

    /// Reads them, or makes a file with what `make` says.
    pub(super) fn load(path: &Path, make: impl FnOnce() -> Result<String>) -> Result<Self> {
        Self::parse(path, &files::private(path, make)?)
    }

    /// Reads them; `None`: there is no file, and none is made.
    pub(super) fn existing(path: &Path) -> Result<Option<Self>> {
        files::secret(path)?.map(|text| Self::parse(path, &text)).transpose()
    }

    /// Reads them again. When they cannot be read, they stay as they were.
    pub(super) fn reload(&self, path: &Path) -> Result<()> {
        let Some(read) = Self::existing(path)? else { return Err(missing::<L>(path)) };
        let secrets = read.get().clone();
        *self.0.write() = secrets;
        Ok(())
    }

    /// All of them. The guard is not held for longer than a look.
    pub(super) fn get(&self) -> RwLockReadGuard<'_, Vec<L>> {
        self.0.read()
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        parse(text).map(Self::of).map_err(|wrong| {
            let what = format!("{} holds no {}s: {wrong}", path.display(), L::WHAT);
            Failure::new(what, L::BROKEN)
        })
    }

    /// Adds a line to the file, which is made if it is not there.
    pub(super) fn add(path: &Path, line: &str, place: Place) -> Result<()> {
        let before = files::secret(path)?.unwrap_or_default();
        let text = match (before.trim_end(), place) {
            ("", _) => format!("{line}\n"),
            (before, Place::First) => format!("{line}\n{before}\n"),
            (before, Place::Last) => format!("{before}\n{line}\n"),
        };
        Self::parse(path, &text)?;
        files::replace(path, &text)
    }

    /// Takes the line of that name out of the file. The last secret stays.
    pub(super) fn remove(path: &Path, name: Option<&str>) -> Result<()> {
        let Some(text) = files::secret(path)? else { return Err(missing::<L>(path)) };
        let known = Self::parse(path, &text)?.get().len();
        let is_it = |line: &&str| matches!(read::<L>(line), Ok(Some(l)) if l.name() == name);
        if !text.lines().any(|line| is_it(&line)) {
            let (path, name) = (path.display(), name.unwrap_or("without a name"));
            return Err(Failure::new(format!("{path} has no {} {name}", L::WHAT), L::LOOK));
        }
        if known == 1 {
            return Err(Failure::new(L::LAST.0, L::LAST.1));
        }
        let left: Vec<_> = text.lines().filter(|line| !is_it(line)).collect();
        files::replace(path, &(left.join("\n") + "\n"))
    }
}

/// Where a new line goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    First,
    Last,
}

/// Where a file is: where the configuration says, or of that name in the data directory.
pub(super) fn path(config: &Config, chosen: &Path, name: &str) -> PathBuf {
    if chosen.as_os_str().is_empty() {
        config.server.data_dir.join(name)
    } else {
        chosen.to_owned()
    }
}

/// There is no file where one is needed.
pub(super) fn missing<L: Line>(path: &Path) -> Failure {
    Failure::new(format!("there is no {} {}", L::WHAT, path.display()), L::MISSING)
}

/// Reads the lines of a file.
pub(super) fn parse<L: Line>(text: &str) -> std::result::Result<Vec<L>, Wrong> {
    let mut secrets: Vec<L> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let Some(line) = read::<L>(line).map_err(|wrong| format!("line {number} {wrong}"))? else {
            continue;
        };
        if secrets.iter().any(|known| known.name() == line.name()) {
            return Err(format!("line {number} has the name of another {}", L::WHAT));
        }
        secrets.push(line);
    }
    match secrets.len() {
        0 => Err(L::NONE.to_owned()),
        many if many > L::MAX => {
            Err(format!("there are {many} {}s; at most {} are taken", L::WHAT, L::MAX))
        }
        _ => Ok(secrets),
    }
}

/// Reads a line; `None`: it is empty, or a comment.
fn read<L: Line>(line: &str) -> std::result::Result<Option<L>, Wrong> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    L::read(line).map(Some)
}
