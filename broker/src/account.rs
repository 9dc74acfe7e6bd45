//! What one user has here over all devices, and all users together: connections, and bytes of plain
//! messages that wait.
//!
//! A client's own queue is bounded beside this ([`crate::plain`]). Where a user's queues, or all,
//! come to more than they may, the longest gives way, its oldest messages first: somebody whose
//! messages are read loses nothing for somebody whose are not. Queues below [`HEAVY_BYTES`] are not
//! looked for: where only such are left, the one that has grown gives way itself.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytestring::ByteString;
use godwit_core::ids::UserId;
use godwit_core::shrink::shrink;
use parking_lot::Mutex;

use crate::limits::HEAVY_BYTES;

/// How much one user, and all, may have here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Devices of one user that are connected; 0: no bound.
    pub(crate) devices: usize,
    /// Bytes that wait for one user.
    pub(crate) user_bytes: usize,
    /// Bytes that wait for all.
    pub(crate) bytes: usize,
}

/// The users who have something here.
#[derive(Debug)]
pub(crate) struct Accounts {
    bounds: Bounds,
    bytes: AtomicUsize,
    numbers: AtomicU64,
    users: Mutex<HashMap<UserId, Weak<Account>>>,
    heavy: Mutex<Heavy>,
}

/// The clients whose queues are long, the longest last.
#[derive(Debug, Default)]
struct Heavy {
    /// Number of the user (0: none), bytes, client id.
    of_users: BTreeSet<(u64, usize, ByteString)>,
    all: BTreeSet<(usize, ByteString)>,
}

/// One user's.
#[derive(Debug)]
pub(crate) struct Account {
    user: UserId,
    number: u64,
    devices: AtomicUsize,
    bytes: AtomicUsize,
    accounts: Arc<Accounts>,
}

/// A device's place among its user's, until dropped.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Account>);

impl Accounts {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            bytes: AtomicUsize::new(0),
            numbers: AtomicU64::new(1),
            users: Mutex::default(),
            heavy: Mutex::default(),
        })
    }

    /// The account of a user: the same for as long as anybody has it.
    pub(crate) fn of(self: &Arc<Self>, user: &UserId) -> Arc<Account> {
        let mut users = self.users.lock();
        if let Some(account) = users.get(user).and_then(Weak::upgrade) {
            return account;
        }
        let account = Arc::new(Account {
            user: user.clone(),
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            devices: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            accounts: Arc::clone(self),
        });
        users.insert(user.clone(), Arc::downgrade(&account));
        account
    }

    /// The queue of a client has gone from so many bytes to others.
    pub(crate) fn moved(
        &self,
        account: Option<&Arc<Account>>,
        client: &ByteString,
        (from, to): (usize, usize),
    ) {
        let sums = [Some(&self.bytes), account.map(|account| &account.bytes)];
        for sum in sums.into_iter().flatten() {
            if to > from {
                sum.fetch_add(to - from, Ordering::Relaxed);
            } else {
                sum.fetch_sub(from - to, Ordering::Relaxed);
            }
        }
        if from < HEAVY_BYTES && to < HEAVY_BYTES {
            return;
        }
        let number = account.map_or(0, |account| account.number);
        let mut heavy = self.heavy.lock();
        if from >= HEAVY_BYTES {
            heavy.of_users.remove(&(number, from, client.clone()));
            heavy.all.remove(&(from, client.clone()));
        }
        if to >= HEAVY_BYTES {
            heavy.of_users.insert((number, to, client.clone()));
            heavy.all.insert((to, client.clone()));
        }
    }

    /// Whether so many more bytes are within the bounds.
    pub(crate) fn has_room(&self, account: Option<&Arc<Account>>, more: usize) -> bool {
        self.excess(account, more).is_none()
    }

    /// Which client's queue has to give way, and by how many bytes: that of `own`, which has grown, if
    /// none is long. `None`: all is within the bounds.
    pub(crate) fn gives_way(
        &self,
        account: Option<&Arc<Account>>,
        own: &ByteString,
    ) -> Option<(ByteString, usize)> {
        let (of_user, bytes) = self.excess(account, 0)?;
        let heavy = self.heavy.lock();
        let longest = match (of_user, account) {
            (true, Some(account)) => {
                let its = (account.number, 0, ByteString::new())
                    ..(account.number + 1, 0, ByteString::new());
                heavy.of_users.range(its).next_back().map(|(_, _, client)| client)
            }
            _ => heavy.all.last().map(|(_, client)| client),
        };
        Some((longest.unwrap_or(own).clone(), bytes))
    }

    /// Whether it is the user's bound that is passed (or else that of all), and by how much.
    fn excess(&self, account: Option<&Arc<Account>>, more: usize) -> Option<(bool, usize)> {
        let beyond = |sum: &AtomicUsize, max: usize| {
            (sum.load(Ordering::Relaxed) + more).checked_sub(max).filter(|excess| *excess > 0)
        };
        let of_user = account.and_then(|account| beyond(&account.bytes, self.bounds.user_bytes));
        of_user
            .map(|excess| (true, excess))
            .or_else(|| beyond(&self.bytes, self.bounds.bytes).map(|excess| (false, excess)))
    }

    #[cfg(test)]
    pub(crate) fn sums(&self) -> (usize, usize, usize) {
        let heavy = self.heavy.lock();
        let index = heavy.all.len().max(heavy.of_users.len());
        (self.users.lock().len(), self.bytes.load(Ordering::Relaxed), index)
    }
}

impl Account {
    /// A place for one more device that is connected. `None`: there are as many as may be.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Seat> {
        let max = match self.accounts.bounds.devices {
            0 => usize::MAX,
            max => max,
        };
        let more = |count| (count < max).then_some(count + 1);
        let entered = self.devices.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        entered.ok().map(|_| Seat(Arc::clone(self)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.devices.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut users = self.accounts.users.lock();
        // Somebody may have made another one since.
        if users.get(&self.user).is_some_and(|account| account.strong_count() == 0) {
            users.remove(&self.user);
            shrink(&mut users);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { devices: 2, user_bytes: 3 * HEAVY_BYTES, bytes: 4 * HEAVY_BYTES };

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    #[test]
    fn devices_are_counted_over_all_of_a_user() {
        let accounts = Accounts::new(BOUNDS);
        let alice = accounts.of(&user("alice"));
        let (first, second) = (alice.enter().unwrap(), accounts.of(&user("alice")).enter());
        assert!(second.is_some() && alice.enter().is_none());
        assert!(accounts.of(&user("bob")).enter().is_some(), "others have their own");
        drop(first);
        assert!(alice.enter().is_some());
        assert_eq!(accounts.sums().0, 1, "bob has gone");
        drop((alice, second));
        assert_eq!(accounts.sums(), (0, 0, 0));
        let open = Accounts::new(Bounds { devices: 0, ..BOUNDS }).of(&user("alice"));
        let many: Vec<_> = (0..100).map(|_| open.enter()).collect();
        assert!(many.iter().all(Option::is_some));
    }

    #[test]
    fn the_longest_queue_gives_way() {
        let accounts = Accounts::new(BOUNDS);
        let (alice, bob) = (accounts.of(&user("alice")), accounts.of(&user("bob")));
        let (long, longer, small) = ("a:long".into(), "a:longer".into(), "a:small".into());
        accounts.moved(Some(&alice), &long, (0, HEAVY_BYTES));
        accounts.moved(Some(&alice), &longer, (0, HEAVY_BYTES + 1));
        accounts.moved(Some(&alice), &small, (0, HEAVY_BYTES - 1));
        assert_eq!(accounts.gives_way(Some(&alice), &small), None);
        assert!(accounts.has_room(Some(&alice), 0) && !accounts.has_room(Some(&alice), 1));
        accounts.moved(Some(&alice), &small, (HEAVY_BYTES - 1, HEAVY_BYTES + 9));
        // The user's own: small has become the longest, and is so no more.
        assert_eq!(accounts.gives_way(Some(&alice), &small), Some((small.clone(), 10)));
        accounts.moved(Some(&alice), &small, (HEAVY_BYTES + 9, 100));
        accounts.moved(Some(&bob), &"b:one".into(), (0, 2 * HEAVY_BYTES - 101));
        assert_eq!(accounts.gives_way(Some(&alice), &small), None);
        // All: whoever has grown, the longest gives way, whoever's it is.
        accounts.moved(Some(&alice), &small, (100, 101));
        assert_eq!(accounts.gives_way(Some(&alice), &small), Some(("b:one".into(), 1)));
        // Nothing is long: whoever has grown gives way.
        for (client, account, bytes) in [
            (&long, &alice, HEAVY_BYTES),
            (&longer, &alice, HEAVY_BYTES + 1),
            (&"b:one".into(), &bob, 2 * HEAVY_BYTES - 101),
        ] {
            accounts.moved(Some(account), client, (bytes, 0));
        }
        let many: Vec<ByteString> = (0..9).map(|n| format!("c:{n}").into()).collect();
        for client in &many {
            accounts.moved(None, client, (0, HEAVY_BYTES / 2));
        }
        let (own, bytes) = accounts.gives_way(None, &small).unwrap();
        assert_eq!((own, bytes), (small, HEAVY_BYTES / 2 + 101));
        assert!(!accounts.has_room(Some(&alice), 0), "all share the bound of all");
        assert_eq!(accounts.sums().2, 0);
    }
}
