//! Who was a member at which place, and which group version held there; from the log alone.

use std::collections::BTreeMap;

use godwit_proto::conversation::v1::Role;

use super::{Change, Entry};

/// A user was a member above `joined` and below `left`.
#[derive(Debug, Clone)]
pub(super) struct Stay {
    pub(super) user: String,
    pub(super) joined: u64,
    pub(super) left: Option<u64>,
    /// The last one.
    pub(super) role: Role,
}

impl Stay {
    /// Whether the entry at a place falls into it.
    pub(super) fn holds(&self, seq: u64) -> bool {
        self.joined < seq && self.left.is_none_or(|left| seq < left)
    }
}

/// All stays of a log.
#[derive(Debug)]
pub(super) struct Stays {
    pub(super) all: Vec<Stay>,
    /// The group version above each place where it changed.
    versions: BTreeMap<u64, u64>,
}

impl Stays {
    pub(super) fn of(members: &[(String, Role)], log: &[Entry]) -> Self {
        let stay =
            |user: &String, role, joined| Stay { user: user.clone(), joined, left: None, role };
        let mut all: Vec<Stay> = members.iter().map(|(user, role)| stay(user, *role, 0)).collect();
        let mut versions = BTreeMap::from([(0, 1)]);
        for entry in log {
            let present = all.iter_mut().filter(|stay| stay.left.is_none());
            match &entry.change {
                Change::Added(users, role, _) => {
                    all.extend(users.iter().map(|user| stay(user, *role, entry.seq - 1)));
                }
                Change::Removed(users, _) => {
                    for stay in present.filter(|stay| users.contains(&stay.user)) {
                        stay.left = Some(entry.seq);
                    }
                }
                Change::Roles(roles, _) => {
                    for stay in present {
                        let new = roles.iter().find(|(user, _)| *user == stay.user);
                        stay.role = new.map_or(stay.role, |(_, role)| *role);
                    }
                }
                Change::None | Change::Created | Change::Details(..) => {}
            }
            if let Some(version) = entry.change.version() {
                versions.insert(entry.seq, version);
            }
        }
        Self { all, versions }
    }

    /// The stay into which the entry at a place falls.
    pub(super) fn at(&self, user: &str, seq: u64) -> Option<&Stay> {
        self.all.iter().find(|stay| stay.user == user && stay.holds(seq))
    }

    /// A user's present stay.
    pub(super) fn now(&self, user: &str) -> Option<&Stay> {
        self.all.iter().find(|stay| stay.user == user && stay.left.is_none())
    }

    /// The group version that held when the entry at a place was committed.
    pub(super) fn version_before(&self, seq: u64) -> u64 {
        self.versions.range(..seq).next_back().map_or(0, |(_, version)| *version)
    }

    /// The group version now.
    pub(super) fn version(&self) -> u64 {
        self.version_before(u64::MAX)
    }
}
