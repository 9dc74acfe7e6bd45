//! Revoked devices: which, and until when their tokens are refused.
//!
//! A revocation at the time R refuses every token of the device that was issued until R: those whose
//! `iat` is not above R, and those without `iat`, for nobody knows when they were issued. What has to
//! be thought of is the unit: `iat` counts seconds (RFC 7519; fractions are allowed and rare), R is in
//! milliseconds. A token minted at 12.3 s says 12; the device is revoked at 12.5 s; so `iat` = 12.0
//! must not be above R. It is not (12,000 <= 12,500). The price: a token with whole seconds that is
//! minted after the revocation, at 12.8 s, says 12 too and is refused; from 13.0 s on it is good. The
//! embedded issuer writes milliseconds, so its tokens are good from the next millisecond on.
//!
//! An issuer whose clock is ahead would date a token after a revocation that came later. So the time
//! that `auth.leeway` allows clocks to differ is added to R, as it is to `exp`.
//!
//! A revocation is kept for good: how long before it a token may have been issued is not bounded, for
//! `exp` is held to `auth.token_age_max` from now and not from `iat`. At about 150 bytes each a million
//! of them are 150 MB in memory; the store holds as many rows.

use std::collections::HashMap;
use std::time::Duration;

use godwit_core::bus::Signal;
use godwit_core::ids::Identity;
use godwit_core::store::{Error, Store};
use parking_lot::RwLock;

/// Devices of one page when they are read at the start.
const PAGE: u32 = 1000;

/// The revoked devices, with the milliseconds since 1970 of their (last) revocation.
#[derive(Debug, Default)]
pub(super) struct Revoked(RwLock<HashMap<Identity, u64>>);

impl Revoked {
    /// Reads what the store holds, beside what is noted meanwhile.
    pub(super) async fn load(&self, store: &dyn Store) -> Result<usize, Error> {
        let mut after: Option<Identity> = None;
        let mut count = 0;
        loop {
            let page = store.revoked(after.as_ref(), PAGE).await?;
            count += page.len();
            after = page.last().map(|(device, _)| device.clone());
            let full = page.len() >= PAGE as usize;
            for (device, at_ms) in page {
                self.note(device, at_ms);
            }
            if !full {
                return Ok(count);
            }
        }
    }

    fn note(&self, device: Identity, at_ms: u64) {
        let mut revoked = self.0.write();
        let known = revoked.entry(device).or_default();
        *known = (*known).max(at_ms);
    }

    /// Notes what is told.
    pub(super) fn signalled(&self, signals: &[Signal]) {
        for signal in signals {
            if let Signal::Revoked { device, time_ms } = signal {
                self.note(device.clone(), *time_ms);
            }
        }
    }

    /// Whether a right that was issued then has ended.
    pub(super) fn refuses(
        &self,
        device: &Identity,
        issued_ms: Option<u64>,
        leeway: Duration,
    ) -> bool {
        let leeway_ms = u64::try_from(leeway.as_millis()).unwrap_or(u64::MAX);
        self.0.read().get(device).is_some_and(|at_ms| {
            issued_ms.is_none_or(|issued_ms| issued_ms <= at_ms.saturating_add(leeway_ms))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_issued_until_then_is_refused() {
        let revoked = Revoked::default();
        let device = |name: &str| -> Identity { name.parse().unwrap() };
        let note = |time_ms| {
            revoked.signalled(&[Signal::Revoked { device: device("alice:phone"), time_ms }]);
        };
        note(12_500);
        note(12_400);
        let refuses = |name, issued_ms, leeway_ms| {
            revoked.refuses(&device(name), issued_ms, Duration::from_millis(leeway_ms))
        };
        for (name, issued_ms, leeway_ms, expected) in [
            ("alice:phone", None, 0, true),
            ("alice:phone", Some(0), 0, true),
            ("alice:phone", Some(12_000), 0, true),
            ("alice:phone", Some(12_500), 0, true),
            ("alice:phone", Some(12_501), 0, false),
            ("alice:phone", Some(13_000), 0, false),
            ("alice:phone", Some(13_000), 500, true),
            ("alice:phone", Some(13_001), 500, false),
            ("alice:laptop", None, 0, false),
            ("bob:phone", Some(0), 0, false),
        ] {
            assert_eq!(refuses(name, issued_ms, leeway_ms), expected, "{name} {issued_ms:?}");
        }
        note(14_000);
        assert!(refuses("alice:phone", Some(13_001), 0));
    }
}
