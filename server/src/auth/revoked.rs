//! Whose tokens are refused: devices and users that were revoked, and until when.
//!
//! A revocation at the time R refuses every token that was issued until R, and those that do not say
//! when they were issued. `iat` is the issuer's own word, so what counts is the earliest moment at
//! which a token may have been made: see [`super::token`]. A token from the future is not believed at
//! all. Who must stay out whatever tokens say is *barred*: a device, or (suspended) a user.
//!
//! Bans come from the store's numbered revocations ([`super::watch`]). A device's own ban is forgotten
//! when it never connected and no token issued until R can be valid any more; all others are kept: a
//! device that was there counts among its user's devices, which are bounded. At about 200 bytes each a
//! million of them are 200 MB in memory; the store holds as many rows.

use std::collections::HashMap;

use godwit_core::ids::{Identity, UserId};
use godwit_core::people::{Ban, Revocation};
use parking_lot::RwLock;

/// What is refused.
#[derive(Debug, Default)]
pub(super) struct Revoked(RwLock<Bans>);

#[derive(Debug, Default)]
struct Bans {
    /// Of all devices of a user.
    users: HashMap<UserId, Ban>,
    devices: HashMap<Identity, Ban>,
}

impl Revoked {
    /// Notes what stands now of a device or of a user.
    pub(super) fn note(&self, revocation: &Revocation) {
        let Revocation { user, device, ban, .. } = revocation;
        let (mut bans, none) = (self.0.write(), *ban == Ban::default());
        match device {
            Some(device) => {
                let identity = Identity { user: user.clone(), device: device.clone() };
                if none {
                    bans.devices.remove(&identity);
                } else {
                    bans.devices.insert(identity, *ban);
                }
            }
            None if none => {
                bans.users.remove(user);
            }
            None => {
                bans.users.insert(user.clone(), *ban);
            }
        }
    }

    /// Forgets devices whose tokens have all ended.
    pub(super) fn forget(&self, devices: &[Identity]) {
        let mut bans = self.0.write();
        for device in devices {
            bans.devices.remove(device);
        }
    }

    /// Whether a right that was issued then (milliseconds since 1970; `None`: nobody knows) has ended.
    pub(super) fn refuses(&self, who: &Identity, issued_ms: Option<u64>) -> bool {
        let bans = self.0.read();
        let refuses = |ban: &Ban| ban.refuses(issued_ms);
        bans.users.get(&who.user).is_some_and(refuses) || bans.devices.get(who).is_some_and(refuses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(issued_until_ms: Option<u64>, barred: bool) -> Ban {
        Ban { issued_until_ms, barred }
    }

    #[test]
    fn a_device_and_its_user_are_refused_each_by_its_own_ban() {
        let revoked = Revoked::default();
        let note = |user: &str, device: Option<&str>, ban| {
            let user = user.parse().unwrap();
            let device = device.map(|device| device.parse().unwrap());
            revoked.note(&Revocation { number: 1, user, device, ban });
        };
        let refuses = |name: &str, issued_ms| revoked.refuses(&name.parse().unwrap(), issued_ms);
        note("alice", Some("phone"), ban(Some(12_500), false));
        for (name, issued_ms, expected) in [
            ("alice:phone", None, true),
            ("alice:phone", Some(0), true),
            ("alice:phone", Some(12_500), true),
            ("alice:phone", Some(12_501), false),
            ("alice:laptop", None, false),
            ("bob:phone", Some(0), false),
        ] {
            assert_eq!(refuses(name, issued_ms), expected, "{name} {issued_ms:?}");
        }
        // Barred: whatever the token says. Let in again: the time still counts.
        note("alice", Some("phone"), ban(Some(12_500), true));
        assert!(refuses("alice:phone", Some(u64::MAX)) && !refuses("alice:laptop", Some(0)));
        note("alice", Some("phone"), ban(Some(12_500), false));
        assert!(refuses("alice:phone", Some(12_500)) && !refuses("alice:phone", Some(12_501)));
        // All devices of a user, also those that nobody has seen yet.
        note("alice", None, ban(Some(20_000), false));
        assert!(refuses("alice:phone", Some(20_000)) && refuses("alice:new", Some(20_000)));
        assert!(!refuses("alice:new", Some(20_001)) && !refuses("bob:phone", Some(1)));
        note("bob", None, ban(None, true));
        assert!(refuses("bob:phone", Some(u64::MAX)));
        note("bob", None, Ban::default());
        assert!(!refuses("bob:phone", None));
        revoked.forget(&["alice:phone".parse().unwrap()]);
        note("alice", None, Ban::default());
        assert!(!refuses("alice:phone", Some(0)));
    }
}
