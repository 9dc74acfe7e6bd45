//! How often may be asked: by a caller, from an address, and for a login.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use axum::extract::ConnectInfo;
use axum::http::Extensions;
use godwit_broker::listen::Origin;
use godwit_core::ids::{DeviceId, Identity, UserId};
use godwit_core::rate::{Buckets, Rate};
use parking_lot::Mutex;

use super::peer::Peer;
use super::problem::Problem;
use crate::limits::{
    HTTP_ANSWER_BYTES_PER_S, LOGIN_ADDRESS_BURST, LOGIN_ADDRESS_INTERVAL, LOGIN_DEVICE_BURST,
    LOGIN_PLACES_MAX, LOGIN_USER_BURST, LOGIN_USER_INTERVAL, LOGIN_WRONG_BURST,
    LOGIN_WRONG_INTERVAL, PROBES_PER_S, RATE_KEYS_MAX,
};

/// All buckets.
#[derive(Debug)]
pub(crate) struct Rates {
    requests: Option<Rate>,
    addresses: Mutex<Buckets<Origin>>,
    documents: Mutex<Buckets<Origin>>,
    answers: Mutex<Buckets<Identity>>,
    probes: Mutex<Buckets<Origin>>,
    callers: Mutex<Buckets<Identity>>,
    login_addresses: Mutex<Buckets<Origin>>,
    login_places: Mutex<Buckets<(UserId, Origin)>>,
    login_devices: Mutex<Buckets<Place>>,
    login_wrong: Mutex<Buckets<UserId>>,
    known: Mutex<Places>,
}

/// A device at an address.
type Place = (Identity, Origin);

/// Where passwords were right, the oldest first.
#[derive(Debug, Default)]
struct Places {
    known: HashSet<Place>,
    order: VecDeque<Place>,
}

impl Places {
    fn note(&mut self, place: Place) {
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
    place: Place,
    is_known: bool,
}

impl Try<'_> {
    /// The password was right: the place is known from now on, and that try is not counted there.
    pub(crate) fn was_right(self) {
        let Self { rates, place, is_known } = self;
        if is_known {
            return;
        }
        rates.login_places.lock().give(&(place.0.user.clone(), place.1), place_rate());
        rates.login_wrong.lock().give(&place.0.user, wrong_rate());
        rates.known.lock().note(place);
    }
}

fn place_rate() -> Rate {
    Rate::every(LOGIN_USER_INTERVAL, LOGIN_USER_BURST)
}

/// Bytes of an answer that count as one; each request counts as that.
const ANSWER_STEP: u32 = 1024;

fn steps(bytes: u64) -> u32 {
    u32::try_from(bytes / u64::from(ANSWER_STEP)).unwrap_or(u32::MAX)
}

fn answer_rate() -> Rate {
    let steps = HTTP_ANSWER_BYTES_PER_S / ANSWER_STEP;
    Rate::every(Duration::from_secs(1) / steps, NonZeroU32::new(steps).unwrap_or(NonZeroU32::MIN))
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
            documents: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
            answers: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
            probes: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
            callers: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
            login_addresses: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
            login_places: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
            login_devices: Mutex::new(Buckets::new(RATE_KEYS_MAX)),
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

    /// The same for what is shown to anybody: it is paid for by its bytes as well.
    pub(crate) fn document(&self, from: Origin) -> Result<(), Problem> {
        let taken = self.documents.lock().take(&from, answer_rate(), Instant::now());
        taken.map_err(|wait| Problem::throttled("too many bytes from this address", wait))?;
        self.address(from)
    }

    /// What is sent to an address for a request that showed no token.
    pub(crate) fn shown(&self, from: Origin, bytes: u64) {
        self.documents.lock().charge(&from, answer_rate(), steps(bytes), Instant::now());
    }

    /// What is sent to a device.
    pub(crate) fn answered(&self, who: &Identity, bytes: u64) {
        self.answers.lock().charge(who, answer_rate(), steps(bytes), Instant::now());
    }

    /// A question of whoever watches the server, from an address.
    pub(crate) fn probe(&self, from: Origin) -> Result<(), Problem> {
        let Some(rate) = Rate::per_second(PROBES_PER_S) else { return Ok(()) };
        let taken = self.probes.lock().take(&from, rate, Instant::now());
        taken.map_err(|wait| Problem::throttled("too many probes from this address", wait))
    }

    /// A request of a device, which pays for it by the bytes of the answer as well.
    pub(crate) fn caller(&self, who: &Identity) -> Result<(), Problem> {
        let now = Instant::now();
        if let Some(rate) = self.requests {
            let taken = self.callers.lock().take(who, rate, now);
            taken.map_err(|wait| Problem::throttled("too many requests of this device", wait))?;
        }
        let taken = self.answers.lock().take(who, answer_rate(), now);
        taken.map_err(|wait| Problem::throttled("too many bytes were asked for", wait))
    }

    /// A try of a password. A device from which the password was right at that address has tries of
    /// its own, which nobody else uses up. Of others the address is asked first, then the user at that
    /// address, and last all addresses together.
    pub(crate) fn login(
        &self,
        from: Origin,
        user: &UserId,
        device: &DeviceId,
    ) -> Result<Try<'_>, Problem> {
        let place = (Identity { user: user.clone(), device: device.clone() }, from);
        if self.known.lock().known.contains(&place) {
            return self.known_device(place);
        }
        self.login_address(from)?;
        let (now, at) = (Instant::now(), (user.clone(), from));
        let taken = self.login_places.lock().take(&at, place_rate(), now);
        taken.map_err(|wait| {
            Problem::throttled("too many logins as this user from this address", wait)
        })?;
        let taken = self.login_wrong.lock().take(user, wrong_rate(), now);
        taken.map_err(|wait| Problem::throttled("too many logins as this user", wait))?;
        Ok(Try { rates: self, place, is_known: false })
    }

    /// A try of the old password by a device that has shown its token.
    pub(crate) fn old_password(&self, from: Origin, who: &Identity) -> Result<Try<'_>, Problem> {
        self.known_device((who.clone(), from))
    }

    /// Work that a password costs, asked for from an address.
    pub(crate) fn login_address(&self, from: Origin) -> Result<(), Problem> {
        let rate = Rate::every(LOGIN_ADDRESS_INTERVAL, LOGIN_ADDRESS_BURST);
        let taken = self.login_addresses.lock().take(&from, rate, Instant::now());
        taken.map_err(|wait| Problem::throttled("too many logins from this address", wait))
    }

    fn known_device(&self, place: Place) -> Result<Try<'_>, Problem> {
        let rate = Rate::every(LOGIN_USER_INTERVAL, LOGIN_DEVICE_BURST);
        let taken = self.login_devices.lock().take(&place, rate, Instant::now());
        taken.map_err(|wait| Problem::throttled("too many logins of this device", wait))?;
        Ok(Try { rates: self, place, is_known: true })
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

    fn at(n: u8) -> Origin {
        Origin::of(IpAddr::from([10, 0, 0, n]))
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn device(name: &str) -> DeviceId {
        DeviceId::new(name).unwrap()
    }

    #[test]
    fn logins_are_held_by_address_and_by_user() {
        let (rates, x) = (Rates::new(0), device("x"));
        for n in 0..LOGIN_USER_BURST.get() {
            assert!(rates.login(at(1), &user("bob"), &x).is_ok(), "{n}");
        }
        assert!(rates.login(at(1), &user("bob"), &device("y")).is_err());
        // The person elsewhere, more often than anybody may guess.
        for n in 0..=LOGIN_DEVICE_BURST.get() {
            let right = rates.login(at(2), &user("bob"), &x);
            assert!(right.map(Try::was_right).is_ok(), "{n}");
        }
        assert!(rates.login(at(2), &user("eve"), &x).is_ok());
        for n in LOGIN_USER_BURST.get() + 1..LOGIN_ADDRESS_BURST.get() {
            assert!(rates.login(at(1), &user(&format!("u{n}")), &x).is_ok(), "{n}");
        }
        assert!(rates.login(at(1), &user("fresh"), &x).is_err());
        assert!(rates.address(at(1)).is_ok() && rates.caller(&"a:b".parse().unwrap()).is_ok());
    }

    #[test]
    fn a_known_device_is_not_held_back_by_guesses_at_its_own_address() {
        let rates = Rates::new(0);
        let tries = |name: &str| {
            (0..500).filter(|_| rates.login(at(1), &user("bob"), &device(name)).is_ok()).count()
        };
        rates.login(at(1), &user("bob"), &device("phone")).map(Try::was_right).unwrap_or_default();
        assert_eq!(tries("other"), LOGIN_USER_BURST.get() as usize);
        assert!((0..500).any(|_| rates.login_address(at(1)).is_err()));
        for n in 0..14 {
            let right = rates.login(at(1), &user("bob"), &device("phone"));
            assert!(right.map(Try::was_right).is_ok(), "{n}");
        }
        // All of its own are counted, right ones too: each is work.
        assert_eq!(14 + tries("phone"), LOGIN_DEVICE_BURST.get() as usize);
        let old = |name: &str| rates.old_password(at(1), &format!("bob:{name}").parse().unwrap());
        assert!(old("phone").is_err() && old("laptop").is_ok());
    }

    #[test]
    fn guesses_from_many_addresses_are_held_together() {
        let (rates, x) = (Rates::new(0), device("x"));
        rates.login(at(255), &user("bob"), &x).map(Try::was_right).unwrap_or_default();
        let tried = (0..250).filter(|n| rates.login(at(*n), &user("bob"), &x).is_ok()).count();
        assert_eq!(tried, LOGIN_WRONG_BURST.get() as usize);
        // Where the password was right before it may be tried all the same.
        assert!(rates.login(at(255), &user("bob"), &x).map(Try::was_right).is_ok());
        assert!(rates.login(at(251), &user("eve"), &x).is_ok());
    }

    #[test]
    fn known_places_are_bounded() {
        let mut places = Places::default();
        let place = |n: usize| (format!("u{n}:phone").parse().unwrap(), at(1));
        for n in 0..LOGIN_PLACES_MAX + 5 {
            places.note(place(n));
        }
        assert_eq!((places.known.len(), places.order.len()), (LOGIN_PLACES_MAX, LOGIN_PLACES_MAX));
        assert!(!places.known.contains(&place(4)));
    }

    #[test]
    fn answers_are_held_by_their_bytes() {
        const PAGE: u64 = 1024 * 1024;
        let rates = Rates::new(0);
        let alice: Identity = "alice:phone".parse().unwrap();
        let pages =
            |mut one: Box<dyn FnMut() -> bool + '_>| (0..1000).take_while(|_| one()).count();
        let shown = pages(Box::new(|| {
            rates.shown(at(1), PAGE);
            rates.document(at(1)).is_ok()
        }));
        let answered = pages(Box::new(|| {
            rates.answered(&alice, PAGE);
            rates.caller(&alice).is_ok()
        }));
        let full = usize::try_from(u64::from(HTTP_ANSWER_BYTES_PER_S) / PAGE).unwrap();
        // What comes back meanwhile is half a page in 8 ms.
        assert!((full..full + 16).contains(&shown), "{shown} pages");
        assert!((full..full + 16).contains(&answered), "{answered} pages");
        assert!(rates.document(at(2)).is_ok() && rates.address(at(1)).is_ok());
        assert!(rates.caller(&"alice:laptop".parse().unwrap()).is_ok());
        // Whoever watches the server is not held back by that, but has a bound as well.
        let probes = (0..2 * PROBES_PER_S).filter(|_| rates.probe(at(1)).is_ok()).count();
        assert!((PROBES_PER_S as usize..2 * PROBES_PER_S as usize).contains(&probes), "{probes}");
        assert!(rates.probe(at(2)).is_ok());
    }

    #[test]
    fn requests_are_held_by_address_and_by_caller() {
        let rates = Rates::new(2);
        let device: Identity = "alice:phone".parse().unwrap();
        for _ in 0..2 {
            assert!(rates.address(at(1)).is_ok() && rates.caller(&device).is_ok());
        }
        assert!(rates.address(at(1)).is_err() && rates.caller(&device).is_err());
        assert!(rates.address(at(2)).is_ok());
        assert!(rates.caller(&"alice:laptop".parse().unwrap()).is_ok());
    }
}
