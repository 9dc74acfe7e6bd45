//! What every probe of a test was told, kept aside for the verdict at its end.
//!
//! Servers are told apart by their MQTT port, so tests of one process do not mix.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// An accepting PUBACK: the place and the id that it named.
pub type Acknowledged = (u64, String);

static LEDGER: Mutex<Option<HashMap<u16, Vec<Acknowledged>>>> = Mutex::new(None);

/// Notes an accepting PUBACK of the server on this port.
pub(crate) fn note(port: u16, acknowledged: Acknowledged) {
    let mut ledger = LEDGER.lock().unwrap_or_else(PoisonError::into_inner);
    ledger.get_or_insert_default().entry(port).or_default().push(acknowledged);
}

/// Takes what was noted of the server on this port.
#[must_use]
pub fn take(port: u16) -> Vec<Acknowledged> {
    let mut ledger = LEDGER.lock().unwrap_or_else(PoisonError::into_inner);
    ledger.as_mut().and_then(|ledger| ledger.remove(&port)).unwrap_or_default()
}
