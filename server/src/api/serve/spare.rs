//! One descriptor that is kept, so that a probe is answered when all others are used up.

use std::fs::File;
use std::sync::Arc;

use parking_lot::Mutex;

/// Where nothing is read or written: what is wanted is the descriptor.
const NOTHING: &str = "/dev/null";

/// A descriptor that is given up for the next connection, and taken again when that one ends, or as soon as
/// one is free. Other listeners look for a free one only now and then.
#[derive(Debug, Clone)]
pub(super) struct Spare(Arc<Mutex<Option<File>>>);

impl Spare {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(File::open(NOTHING).ok())))
    }

    /// Gives it up; `false`: there was none.
    pub(super) fn lend(&self) -> bool {
        self.0.lock().take().is_some()
    }

    /// Takes one again if there is none; `false`: there is still none.
    pub(super) fn regain(&self) -> bool {
        let mut held = self.0.lock();
        if held.is_none() {
            *held = File::open(NOTHING).ok();
        }
        held.is_some()
    }
}
