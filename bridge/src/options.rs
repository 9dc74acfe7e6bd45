//! What the server may set.

use std::collections::BTreeSet;
use std::time::Duration;

use godwit_core::ids::UserId;
use godwit_core::limits;
use godwit_core::policy::Policy;

/// The bridge's settings. The defaults are those of `config/default.toml`.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes of a body; a larger one is refused with 0x99.
    pub body_bytes_max: usize,
    /// Commits under way at the same time. Each conversation always uses the same one, so its
    /// sends keep their order. SQLite has one writer: 1; Postgres: 2 to 4.
    pub commit_lanes: usize,
    /// Sends in one commit.
    pub batch_sends_max: usize,
    /// How long a commit waits for more sends; zero commits at once what is there.
    pub batch_delay: Duration,
    /// Sends that wait for a commit, over all lanes; the next is answered 0x97.
    pub queue_sends_max: usize,
    /// Bytes of bodies that wait for a commit, over all lanes; the next is answered 0x97.
    pub queue_bytes_max: usize,
    /// How long a send may wait for a store that is away. Then its PUBACK stays out for good and
    /// the connection closes, so that the device sends again.
    pub hold_max: Duration,
    /// Subscriptions of one device to its topics: about 150 bytes each. The next is answered 0x97.
    pub subscriptions_max: usize,
    /// How long the event of an entry waits for its announcement, which is mostly on its way: then
    /// the entry is read from the log. With the relay's interval (250 ms) before it, what was
    /// announced to nobody is delivered within half a second. No key of the configuration.
    pub event_patience: Duration,
    /// How long a confirmed delivery may wait until its cursor is stored. After a crash a device
    /// gets again what it confirmed within this time.
    pub cursor_delay: Duration,
    /// Who may edit and delete, and for how long.
    pub policy: Policy,
    /// Users who may make and fill groups up to the largest there are, whatever the policy says.
    pub large_group_users: BTreeSet<UserId>,
    /// How long receipts are gathered before they are stored and told: what comes meanwhile is one
    /// receipt.
    pub receipt_delay: Duration,
    /// Sends of one user, over all devices, in a second; 0: no bound. Beyond it: 0x97.
    pub user_sends_per_s: u32,
    /// Sends into one conversation in a second; 0: no bound. Beyond it: 0x97.
    pub conversation_sends_per_s: u32,
    /// A conversation with more members than this is a large group: its fan-out has a pool of its
    /// own, typing and receipts are not told (nor is what PUBACKs say of delivery stored), devices in
    /// the background get head notices.
    pub large_group_members: usize,
    /// Sends into one large group in a second; 0: no bound. Beyond it: 0x97.
    pub large_group_sends_per_s: u32,
    /// A user is told offline after a random time between these two: short breaks are not seen.
    pub offline_delay_min: Duration,
    /// See [`Options::offline_delay_min`].
    pub offline_delay_max: Duration,
}

impl Options {
    /// How many members a group may have that this user makes and fills.
    pub(crate) fn members_max(&self, user: &UserId) -> usize {
        match self.large_group_users.contains(user) {
            true => limits::MEMBERS_MAX,
            false => self.policy.strangers.group_members_max,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body_bytes_max: limits::BODY_BYTES_MAX,
            commit_lanes: 2,
            batch_sends_max: limits::BATCH_SENDS_MAX,
            batch_delay: Duration::ZERO,
            queue_sends_max: 20_000,
            queue_bytes_max: 64 * 1024 * 1024,
            hold_max: Duration::from_secs(30),
            subscriptions_max: limits::SUBSCRIPTIONS_MAX,
            event_patience: Duration::from_millis(200),
            cursor_delay: Duration::from_millis(100),
            policy: Policy::default(),
            large_group_users: BTreeSet::new(),
            receipt_delay: Duration::from_millis(200),
            user_sends_per_s: 10_000,
            conversation_sends_per_s: 10_000,
            large_group_members: 256,
            large_group_sends_per_s: 100,
            offline_delay_min: Duration::from_secs(10),
            offline_delay_max: Duration::from_secs(20),
        }
    }
}
