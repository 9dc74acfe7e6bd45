//! Who is there: what a user's connections say, with short breaks hidden.
//!
//! Each connection of a device has an epoch, higher than that of the one before. What an earlier
//! connection leaves behind (its end, its will) says nothing about a later one. A device whose
//! connection has ended counts on for a while, so a tunnel is not news.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::bus::Presence;
use crate::ids::{DeviceId, Identity, UserId};
use crate::shrink::shrink;

/// The number of a connection: a device's later one has a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// What a device says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Declared {
    /// The app is on screen; so it is taken for a device that says nothing.
    #[default]
    Foreground,
    /// On screen, but the person is not there.
    Away,
    /// Not on screen.
    Background,
}

/// A user's presence has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub user: UserId,
    /// What it is now; never [`Presence::Hidden`].
    pub presence: Presence,
}

/// The end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leave {
    /// From then on it counts: the end, and a random delay.
    pub due: Instant,
    /// When it was: milliseconds since 1970.
    pub time_ms: u64,
}

#[derive(Debug)]
struct Device {
    id: DeviceId,
    epoch: Epoch,
    declared: Declared,
    /// The connection has ended; forgotten then.
    leaves: Option<Instant>,
}

#[derive(Debug)]
struct Person {
    /// Never empty.
    devices: Vec<Device>,
    /// One of them is in the foreground, as far as others know.
    online: bool,
    /// When the last connection ended that did.
    seen_ms: u64,
}

impl Person {
    fn is_online(&self) -> bool {
        self.devices.iter().any(|device| device.declared == Declared::Foreground)
    }
}

const fn shown(online: bool) -> Presence {
    if online { Presence::Online } else { Presence::Away }
}

/// All users with a connection here, or with one that has just ended.
#[derive(Debug)]
pub struct Board {
    people: HashMap<UserId, Person>,
    leaving: BTreeSet<(Instant, UserId, DeviceId)>,
    leaving_max: usize,
}

impl Board {
    /// Of more than `leaving_max` ended connections at a time, each further one counts at once.
    /// A device takes about 150 bytes, one that leaves 100 more.
    #[must_use]
    pub fn new(leaving_max: usize) -> Self {
        Self { people: HashMap::new(), leaving: BTreeSet::new(), leaving_max }
    }

    /// A device has connected. It is in the foreground until it says otherwise.
    pub fn connected(&mut self, device: &Identity, epoch: Epoch) -> Option<Change> {
        let new = Device {
            id: device.device.clone(),
            epoch,
            declared: Declared::default(),
            leaves: None,
        };
        let Some(person) = self.people.get_mut(&device.user) else {
            let devices = vec![new];
            self.people.insert(device.user.clone(), Person { devices, online: true, seen_ms: 0 });
            return Some(Change { user: device.user.clone(), presence: shown(true) });
        };
        match person.devices.iter_mut().find(|known| known.id == device.device) {
            Some(known) if known.epoch > epoch => return None,
            Some(known) => {
                if let Some(due) = std::mem::replace(known, new).leaves {
                    self.leaving.remove(&(due, device.user.clone(), device.device.clone()));
                }
            }
            None => person.devices.push(new),
        }
        self.news(&device.user)
    }

    /// A device has said something of itself on this connection.
    pub fn declared(
        &mut self,
        device: &Identity,
        epoch: Epoch,
        declared: Declared,
    ) -> Option<Change> {
        self.connection(device, epoch)?.declared = declared;
        self.news(&device.user)
    }

    /// A connection has ended; its device counts until [`Leave::due`].
    pub fn closed(&mut self, device: &Identity, epoch: Epoch, leave: Leave) -> Option<Change> {
        let full = self.leaving.len() >= self.leaving_max;
        self.connection(device, epoch)?.leaves = Some(leave.due);
        if let Some(person) = self.people.get_mut(&device.user) {
            person.seen_ms = person.seen_ms.max(leave.time_ms);
        }
        if full {
            return self.forget(&device.user, &device.device);
        }
        self.leaving.insert((leave.due, device.user.clone(), device.device.clone()));
        None
    }

    /// Those whose time is over; call it until there is nothing more.
    pub fn poll(&mut self, now: Instant) -> Option<Change> {
        while self.leaving.first().is_some_and(|(due, ..)| *due <= now) {
            let (_, user, device) = self.leaving.pop_first()?;
            let change = self.forget(&user, &device);
            if change.is_some() {
                return change;
            }
        }
        None
    }

    /// When [`Board::poll`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.leaving.first().map(|(due, ..)| *due)
    }

    /// What others were told of the user; `None`: nothing is known here.
    #[must_use]
    pub fn presence_of(&self, user: &UserId) -> Option<Presence> {
        self.people.get(user).map(|person| shown(person.online))
    }

    /// The device's connection, if it is this one and has not ended.
    fn connection(&mut self, device: &Identity, epoch: Epoch) -> Option<&mut Device> {
        let person = self.people.get_mut(&device.user)?;
        let mut devices = person.devices.iter_mut();
        devices.find(|d| d.id == device.device && d.epoch == epoch && d.leaves.is_none())
    }

    /// What has changed for others, if anything.
    fn news(&mut self, user: &UserId) -> Option<Change> {
        let person = self.people.get_mut(user)?;
        let online = person.is_online();
        if online == person.online {
            return None;
        }
        person.online = online;
        Some(Change { user: user.clone(), presence: shown(online) })
    }

    /// A device's connection is over for good.
    fn forget(&mut self, user: &UserId, device: &DeviceId) -> Option<Change> {
        let person = self.people.get_mut(user)?;
        person.devices.retain(|known| known.id != *device);
        if !person.devices.is_empty() {
            return self.news(user);
        }
        let seen_ms = self.people.remove(user)?.seen_ms;
        shrink(&mut self.people);
        let presence = Presence::Offline { last_seen_ms: Some(seen_ms) };
        Some(Change { user: user.clone(), presence })
    }
}

#[cfg(test)]
mod tests;
