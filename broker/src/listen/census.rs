//! How many connections there are, in all and from each address, and how fast they come, over all
//! listeners.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use godwit_core::edge::{Code, Detail, Outcome};
use godwit_core::rate::{Buckets, Rate};
use parking_lot::Mutex;

use crate::limits::{CENSUS_ADDRESSES_MAX, FULL_RETRY};

/// Counts connections and refuses those beyond its bounds.
///
/// One census serves all listeners of a broker. Peers count by their [`Origin`].
#[derive(Debug)]
pub struct Census {
    total_max: usize,
    local: Share,
    remote: Share,
    counts: Mutex<Counts>,
}

/// What one address may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Connections at the same time.
    pub connections_max: usize,
    /// New connections in a second, as many at once after a rest; 0: no bound.
    pub connects_per_s: u32,
}

#[derive(Debug)]
struct Counts {
    total: usize,
    /// The highest total since [`Census::take_peak`].
    peak: usize,
    /// Only addresses with a connection: never more entries than connections.
    by_address: HashMap<Origin, usize>,
    paces: Buckets<Origin>,
}

/// Why a connection has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// There are as many as are allowed.
    #[error("there are as many connections as are allowed")]
    Total,
    /// Its address has as many as are allowed.
    #[error("one address has as many connections as are allowed")]
    Address,
    /// Its address connects too fast; how long to wait.
    #[error("connections of one address come too fast")]
    Pace(Duration),
}

impl Share {
    /// The smaller bounds of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let connects_per_s = match (self.connects_per_s, other.connects_per_s) {
            (0, pace) | (pace, 0) => pace,
            (one, two) => one.min(two),
        };
        Self { connections_max: self.connections_max.min(other.connections_max), connects_per_s }
    }
}

impl Full {
    /// What the client is told: CONTRACT.md, "Connecting".
    pub(super) fn outcome(self) -> Outcome {
        let (code, wait) = match self {
            Self::Total | Self::Address => (Code::QUOTA_EXCEEDED, FULL_RETRY),
            Self::Pace(wait) => (Code::CONNECTION_RATE_EXCEEDED, wait),
        };
        // Rounded up: whoever waits as long as told is let in.
        let ms = u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX).max(1);
        Outcome { code, detail: Detail::RetryAfter(Duration::from_millis(ms)) }
    }
}

/// A counted connection, until dropped.
#[derive(Debug)]
pub struct Place {
    census: Arc<Census>,
    address: Origin,
}

impl Census {
    /// A census of at most `total_max` connections, and at most `per_address_max` from one
    /// address.
    #[must_use]
    pub fn new(total_max: usize, per_address_max: usize) -> Arc<Self> {
        let share = Share { connections_max: per_address_max, connects_per_s: 0 };
        Self::of_shares(total_max, share, share)
    }

    /// A census of at most `total_max` connections, of which an address of this machine may have
    /// `local` (a proxy is there, or a whole test) and any other `remote`.
    #[must_use]
    pub fn of_shares(total_max: usize, local: Share, remote: Share) -> Arc<Self> {
        let counts = Counts {
            total: 0,
            peak: 0,
            by_address: HashMap::new(),
            paces: Buckets::new(CENSUS_ADDRESSES_MAX),
        };
        Arc::new(Self { total_max, local, remote, counts: Mutex::new(counts) })
    }

    /// Connections now, those that are still shaking hands included.
    #[must_use]
    pub fn total(&self) -> usize {
        self.counts.lock().total
    }

    /// The most connections at the same time since this was last asked.
    pub fn take_peak(&self) -> usize {
        let mut counts = self.counts.lock();
        let now = counts.total;
        std::mem::replace(&mut counts.peak, now)
    }

    /// Counts a connection from `peer`, or says why it has no place.
    pub fn admit(self: &Arc<Self>, peer: SocketAddr) -> Result<Place, Full> {
        let address = Origin::of(peer.ip());
        let share = if peer.ip().to_canonical().is_loopback() { self.local } else { self.remote };
        let mut counts = self.counts.lock();
        if let Some(pace) = Rate::per_second(share.connects_per_s) {
            counts.paces.take(&address, pace, Instant::now()).map_err(Full::Pace)?;
        }
        if counts.total >= self.total_max {
            return Err(Full::Total);
        }
        let from_there = counts.by_address.entry(address).or_default();
        if *from_there >= share.connections_max {
            // Without a connection there is no entry to keep.
            if *from_there == 0 {
                counts.by_address.remove(&address);
            }
            return Err(Full::Address);
        }
        *from_there += 1;
        counts.total += 1;
        counts.peak = counts.peak.max(counts.total);
        Ok(Place { census: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.census.counts.lock();
        counts.total -= 1;
        if let Entry::Occupied(mut entry) = counts.by_address.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// What an address counts as: an IPv6 peer by its /64, which is what one customer gets; an
/// IPv4-mapped one as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(u64);

impl Origin {
    /// That of a peer's address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            // A prefix that no IPv6 peer has (multicast).
            IpAddr::V4(v4) => 0xFFFF_FFFF_0000_0000 | u64::from(v4.to_bits()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                [a, b, c, d].into_iter().fold(0, |sum, part| sum << 16 | u64::from(part))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 1)
    }

    #[test]
    fn counts_in_all_and_by_address() {
        let census = Census::new(3, 2);
        let first = census.admit(peer("10.0.0.1")).unwrap();
        let mapped = census.admit(peer("::ffff:10.0.0.1")).unwrap();
        assert_eq!(census.admit(peer("10.0.0.1")).unwrap_err(), Full::Address);
        let other = census.admit(peer("10.0.0.2")).unwrap();
        assert_eq!(census.admit(peer("10.0.0.3")).unwrap_err(), Full::Total);
        drop(mapped);
        assert_eq!(census.total(), 2);
        drop(census.admit(peer("10.0.0.1")).unwrap());
        drop((first, other));
        assert_eq!(census.total(), 0);
        assert_eq!((census.take_peak(), census.take_peak()), (3, 0));
        assert!(census.counts.lock().by_address.is_empty());
    }

    #[test]
    fn one_ipv6_customer_is_one_address() {
        let census = Census::new(9, 1);
        let _place = census.admit(peer("2001:db8:1:2::1")).unwrap();
        assert_eq!(census.admit(peer("2001:db8:1:2:ffff::9")).unwrap_err(), Full::Address);
        assert!(census.admit(peer("2001:db8:1:3::1")).is_ok());
    }

    #[test]
    fn one_address_comes_no_faster_than_its_pace() {
        let share = Share { connections_max: 9, connects_per_s: 2 };
        let census = Census::of_shares(9, share, share);
        let places: Vec<_> = (0..2).map(|_| census.admit(peer("10.0.0.1")).unwrap()).collect();
        let Err(Full::Pace(wait)) = census.admit(peer("10.0.0.1")) else { panic!("let in") };
        assert!(wait <= Duration::from_millis(500));
        assert!(census.admit(peer("10.0.0.2")).is_ok());
        drop(places);
        assert!(matches!(census.admit(peer("10.0.0.1")), Err(Full::Pace(_))));
        let outcome = Full::Pace(Duration::from_micros(1)).outcome();
        assert_eq!(outcome.code, Code::CONNECTION_RATE_EXCEEDED);
        assert_eq!(outcome.detail, Detail::RetryAfter(Duration::from_millis(1)));
        assert_eq!(Full::Total.outcome().code, Code::QUOTA_EXCEEDED);
    }

    #[test]
    fn an_address_elsewhere_has_a_share_of_its_own() {
        let local = Share { connections_max: 3, connects_per_s: 0 };
        let remote = Share { connections_max: 1, connects_per_s: 1 };
        let census = Census::of_shares(9, local, remote);
        assert_eq!((local.with(remote), remote.with(local)), (remote, remote));
        let here =
            ["127.0.0.1", "::ffff:127.0.0.1", "127.0.0.1"].map(peer).map(|p| census.admit(p));
        assert!(here.iter().all(Result::is_ok));
        assert_eq!(census.admit(peer("127.0.0.1")).unwrap_err(), Full::Address);
        let v6: Vec<_> = (0..3).map(|_| census.admit(peer("::1")).unwrap()).collect();
        assert_eq!(v6.len(), 3);
        let there = census.admit(peer("192.0.2.1")).unwrap();
        assert!(matches!(census.admit(peer("192.0.2.1")), Err(Full::Pace(_))));
        let slow = Share { connects_per_s: 0, ..remote };
        let census = Census::of_shares(9, local, slow);
        let _other = census.admit(peer("192.0.2.1")).unwrap();
        assert_eq!(census.admit(peer("192.0.2.1")).unwrap_err(), Full::Address);
        drop(there);
    }

    #[test]
    fn a_refusal_leaves_nothing_behind() {
        let census = Census::new(9, 0);
        assert_eq!(census.admit(peer("10.0.0.1")).unwrap_err(), Full::Address);
        assert!(census.counts.lock().by_address.is_empty());
    }
}
