//! How often may be asked: by a caller, from an address, and for a login.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use axum::extract::ConnectInfo;
use axum::http::Extensions;
use godwit_broker::listen::Origin;
use godwit_core::ids::{Identity, UserId};
use godwit_core::rate::{Buckets, Rate};
use parking_lot::Mutex;

use super::problem::Problem;
use super::serve::Peer;
use crate::limits::{
    LOGIN_ADDRESS_BURST, LOGIN_ADDRESS_INTERVAL, LOGIN_USER_BURST, LOGIN_USER_INTERVAL,
    RATE_KEYS_MAX,
};

/// All buckets.
#[derive(Debug)]
pub(crate) struct Rates {
    requests: Option<Rate>,
    addresses: Mutex<Buckets<Origin>>,
    callers: Mutex<Buckets<Identity>>,
    login_addresses: Mutex<Buckets<Origin>>,
    login_users: Mutex<Buckets<UserId>>,
}

impl Rates {
    /// `requests_per_s` of one caller and from one address; 0: no bound.
    pub(crate) fn new(requests_per_s: u32) -> Self {
        Self {
            requests: Rate::per_second(requests_per_s),
            addresses: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
            callers: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
            login_addresses: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
            login_users: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
        }
    }

    /// A request from an address, before anything else of it is looked at.
    pub(crate) fn address(&self, from: Origin) -> Result<(), Problem> {
        let Some(rate) = self.requests else { return Ok(()) };
        let taken = self.addresses.lock().take(&from, rate, Instant::now());
        taken.map_err(|wait| Problem::throttled("too many requests from this address", wait))
    }

    /// A request of a device.
    pub(crate) fn caller(&self, who: &Identity) -> Result<(), Problem> {
        let Some(rate) = self.requests else { return Ok(()) };
        let taken = self.callers.lock().take(who, rate, Instant::now());
        taken.map_err(|wait| Problem::throttled("too many requests of this device", wait))
    }

    /// A try of a password, right or wrong. The address is asked first, so that one address cannot
    /// use up what a user has for long.
    pub(crate) fn login(&self, from: Origin, user: &UserId) -> Result<(), Problem> {
        let now = Instant::now();
        let rate = |interval: Duration, burst: NonZeroU32| Rate::every(interval, burst);
        let by_address = rate(LOGIN_ADDRESS_INTERVAL, LOGIN_ADDRESS_BURST);
        self.login_addresses
            .lock()
            .take(&from, by_address, now)
            .map_err(|wait| Problem::throttled("too many logins from this address", wait))?;
        let by_user = rate(LOGIN_USER_INTERVAL, LOGIN_USER_BURST);
        let taken = self.login_users.lock().take(user, by_user, now);
        taken.map_err(|wait| Problem::throttled("too many logins as this user", wait))
    }
}

/// Where a request came from. Without a socket (which only tests could do) it counts as one place.
pub(crate) fn origin(extensions: &Extensions) -> Origin {
    let peer: Option<SocketAddr> =
        extensions.get::<ConnectInfo<Peer>>().map(|ConnectInfo(Peer(at))| *at);
    Origin::of(peer.map_or(IpAddr::from([0, 0, 0, 0]), |at| at.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_held_by_address_and_by_user() {
        let rates = Rates::new(0);
        let at = |n: u8| Origin::of(IpAddr::from([10, 0, 0, n]));
        let user = |name: &str| UserId::new(name).unwrap();
        for n in 0..LOGIN_USER_BURST.get() {
            assert!(rates.login(at(1), &user("bob")).is_ok(), "{n}");
        }
        assert!(rates.login(at(2), &user("bob")).is_err());
        assert!(rates.login(at(2), &user("eve")).is_ok());
        for n in LOGIN_USER_BURST.get()..LOGIN_ADDRESS_BURST.get() {
            assert!(rates.login(at(1), &user(&format!("u{n}"))).is_ok(), "{n}");
        }
        assert!(rates.login(at(1), &user("fresh")).is_err());
        assert!(rates.address(at(1)).is_ok() && rates.caller(&"a:b".parse().unwrap()).is_ok());
    }

    #[test]
    fn requests_are_held_by_address_and_by_caller() {
        let rates = Rates::new(2);
        let at = |n: u8| Origin::of(IpAddr::from([10, 0, 0, n]));
        let device: Identity = "alice:phone".parse().unwrap();
        for _ in 0..2 {
            assert!(rates.address(at(1)).is_ok() && rates.caller(&device).is_ok());
        }
        assert!(rates.address(at(1)).is_err() && rates.caller(&device).is_err());
        assert!(rates.address(at(2)).is_ok());
        assert!(rates.caller(&"alice:laptop".parse().unwrap()).is_ok());
    }
}
