//! How often may be asked: by a caller, from an address, and for a login.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::extract::ConnectInfo;
use axum::http::Extensions;
use godwit_broker::listen::Origin;
use godwit_core::ids::{Identity, UserId};
use godwit_core::rate::{Buckets, Rate};
use parking_lot::Mutex;

use super::problem::Problem;
use super::serve::Peer;
use crate::limits::{
    LOGIN_ADDRESS_BURST, LOGIN_ADDRESS_INTERVAL, LOGIN_PLACES_MAX, LOGIN_USER_BURST,
    LOGIN_USER_INTERVAL, LOGIN_WRONG_BURST, LOGIN_WRONG_INTERVAL, RATE_KEYS_MAX,
};

/// All buckets.
#[derive(Debug)]
pub(crate) struct Rates {
    requests: Option<Rate>,
    addresses: Mutex<Buckets<Origin>>,
    callers: Mutex<Buckets<Identity>>,
    login_addresses: Mutex<Buckets<Origin>>,
    login_places: Mutex<Buckets<(UserId, Origin)>>,
    login_wrong: Mutex<Buckets<UserId>>,
    known: Mutex<Places>,
}

/// Where passwords were right, the oldest first.
#[derive(Debug, Default)]
struct Places {
    known: HashSet<(UserId, Origin)>,
    order: VecDeque<(UserId, Origin)>,
}

impl Places {
    fn note(&mut self, place: (UserId, Origin)) {
        if !self.known.insert(place.clone()) {
            return;
        }
        self.order.push_back(place);
        if self.order.len() > LOGIN_PLACES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// A try of a password that may be made. Dropped without [`Try::was_right`], it was wrong.
#[derive(Debug)]
pub(crate) struct Try<'a> {
    rates: &'a Rates,
    place: (UserId, Origin),
}

impl Try<'_> {
    /// The password was right: nothing is counted, and the place is known.
    pub(crate) fn was_right(self) {
        let Self { rates, place } = self;
        rates.login_places.lock().give(&place, place_rate());
        rates.login_wrong.lock().give(&place.0, wrong_rate());
        rates.known.lock().note(place);
    }
}

fn place_rate() -> Rate {
    Rate::every(LOGIN_USER_INTERVAL, LOGIN_USER_BURST)
}

fn wrong_rate() -> Rate {
    Rate::every(LOGIN_WRONG_INTERVAL, LOGIN_WRONG_BURST)
}

impl Rates {
    /// `requests_per_s` of one caller and from one address; 0: no bound.
    pub(crate) fn new(requests_per_s: u32) -> Self {
        Self {
            requests: Rate::per_second(requests_per_s),
            addresses: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
            callers: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
            login_addresses: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
            login_places: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
            login_wrong: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
            known: Mutex::default(),
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

    /// A try of a password. The address is asked first, then the user at that address, so that nobody
    /// uses up from elsewhere what a person has; all addresses together are asked last, and not those
    /// that are known for this user.
    pub(crate) fn login(&self, from: Origin, user: &UserId) -> Result<Try<'_>, Problem> {
        let (now, place) = (Instant::now(), (user.clone(), from));
        let by_address = Rate::every(LOGIN_ADDRESS_INTERVAL, LOGIN_ADDRESS_BURST);
        self.login_addresses
            .lock()
            .take(&from, by_address, now)
            .map_err(|wait| Problem::throttled("too many logins from this address", wait))?;
        let taken = self.login_places.lock().take(&place, place_rate(), now);
        taken.map_err(|wait| {
            Problem::throttled("too many logins as this user from this address", wait)
        })?;
        let is_known = self.known.lock().known.contains(&place);
        match self.login_wrong.lock().take(user, wrong_rate(), now) {
            Err(wait) if !is_known => Err(Problem::throttled("too many logins as this user", wait)),
            _ => Ok(Try { rates: self, place }),
        }
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
        assert!(rates.login(at(1), &user("bob")).is_err());
        // The person elsewhere, as often as the password is right.
        for n in 0..3 * LOGIN_USER_BURST.get() {
            let right = rates.login(at(2), &user("bob"));
            assert!(right.map(Try::was_right).is_ok(), "{n}");
        }
        assert!(rates.login(at(2), &user("eve")).is_ok());
        for n in LOGIN_USER_BURST.get() + 1..LOGIN_ADDRESS_BURST.get() {
            assert!(rates.login(at(1), &user(&format!("u{n}"))).is_ok(), "{n}");
        }
        assert!(rates.login(at(1), &user("fresh")).is_err());
        assert!(rates.address(at(1)).is_ok() && rates.caller(&"a:b".parse().unwrap()).is_ok());
    }

    #[test]
    fn guesses_from_many_addresses_are_held_together() {
        let rates = Rates::new(0);
        let at = |n: u8| Origin::of(IpAddr::from([10, 0, 1, n]));
        let bob = UserId::new("bob").unwrap();
        rates.login(at(255), &bob).map(Try::was_right).unwrap_or_default();
        let tried = (0..250).filter(|n| rates.login(at(*n), &bob).is_ok()).count();
        assert_eq!(tried, LOGIN_WRONG_BURST.get() as usize);
        // Where the password was right before it may be tried all the same.
        assert!(rates.login(at(255), &bob).map(Try::was_right).is_ok());
        assert!(rates.login(at(251), &UserId::new("eve").unwrap()).is_ok());
    }

    #[test]
    fn known_places_are_bounded() {
        let mut places = Places::default();
        let at = Origin::of(IpAddr::from([10, 0, 0, 1]));
        for n in 0..LOGIN_PLACES_MAX + 5 {
            places.note((UserId::new(&format!("u{n}")).unwrap(), at));
        }
        assert_eq!((places.known.len(), places.order.len()), (LOGIN_PLACES_MAX, LOGIN_PLACES_MAX));
        assert!(!places.known.contains(&(UserId::new("u4").unwrap(), at)));
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
