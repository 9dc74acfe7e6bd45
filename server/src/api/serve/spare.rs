//! One descriptor that is kept, so that a probe is answered when all others are used up.

use std::fs::File;

/// Where nothing is read or written: what is wanted is the descriptor.
const NOTHING: &str = "/dev/null";

/// A descriptor that is given up for the next connection, and taken again when one is free.
#[derive(Debug)]
pub(super) struct Spare(Option<File>);

impl Spare {
    pub(super) fn new() -> Self {
        Self(File::open(NOTHING).ok())
    }

    /// Gives it up; `false`: there was none.
    pub(super) fn lend(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Takes one again if there is none; `false`: there is still none.
    pub(super) fn regain(&mut self) -> bool {
        if self.0.is_none() {
            self.0 = File::open(NOTHING).ok();
        }
        self.0.is_some()
    }
}
