//! How many connections there are, in all and from each address, over all listeners.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;

/// Counts connections and refuses those beyond its bounds.
///
/// One census serves all listeners of a broker. An IPv6 peer counts by its /64, which is what one
/// customer gets; an IPv4-mapped one as IPv4.
#[derive(Debug)]
pub struct Census {
    total_max: usize,
    per_address_max: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    /// Only addresses with a connection: never more entries than connections.
    by_address: HashMap<u64, usize>,
}

/// Why a connection has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("there are as many connections as are allowed")]
    Total,
    #[error("one address has as many connections as are allowed")]
    Address,
}

/// A counted connection, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    census: Arc<Census>,
    address: u64,
}

impl Census {
    /// A census of at most `total_max` connections, and at most `per_address_max` from one
    /// address.
    #[must_use]
    pub fn new(total_max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self { total_max, per_address_max, counts: Mutex::default() })
    }

    /// Connections now, those that are still shaking hands included.
    #[must_use]
    pub fn total(&self) -> usize {
        self.counts.lock().total
    }

    pub(super) fn admit(self: &Arc<Self>, peer: SocketAddr) -> Result<Place, Full> {
        let address = address(peer.ip());
        let mut counts = self.counts.lock();
        if counts.total >= self.total_max {
            return Err(Full::Total);
        }
        let from_there = counts.by_address.entry(address).or_default();
        if *from_there >= self.per_address_max {
            // Without a connection there is no entry to keep.
            if *from_there == 0 {
                counts.by_address.remove(&address);
            }
            return Err(Full::Address);
        }
        *from_there += 1;
        counts.total += 1;
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

/// What an address counts as: IPv4 under a prefix that no IPv6 peer has (multicast), IPv6 as the
/// upper half of its bits.
fn address(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => 0xFFFF_FFFF_0000_0000 | u64::from(v4.to_bits()),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            [a, b, c, d].into_iter().fold(0, |sum, part| sum << 16 | u64::from(part))
        }
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
    fn a_refusal_leaves_nothing_behind() {
        let census = Census::new(9, 0);
        assert_eq!(census.admit(peer("10.0.0.1")).unwrap_err(), Full::Address);
        assert!(census.counts.lock().by_address.is_empty());
    }
}
