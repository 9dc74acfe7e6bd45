//! The port to what is known of users and devices beside their conversations.
//!
//! Users need not be known at all: whoever shows a valid token may speak. A row comes into being
//! with an account, a setting or a block. Devices are noted when they connect.

use crate::ids::{ConversationId, DeviceId, Identity, UserId};
use crate::port::Pending;

/// What a user lets others see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Others are told how far the user has read.
    pub share_reads: bool,
    /// Others are told whether the user is online, and was last.
    pub share_presence: bool,
}

impl Default for Settings {
    /// Both are shared.
    fn default() -> Self {
        Self { share_reads: true, share_presence: true }
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// For people; at most [`crate::limits::TITLE_CHARS_MAX`] characters; may be empty.
    pub name: String,
    /// A local account's Argon2 hash (PHC string); `None`: tokens come from elsewhere. Never shown.
    pub password_hash: Option<String>,
    /// What others see.
    pub settings: Settings,
    /// Raised by every change of this row; 0: there is none, all is default.
    pub version: u64,
    /// Milliseconds since 1970; 0: there is no row.
    pub created_ms: u64,
    /// When the user was last online: milliseconds since 1970.
    pub last_seen_ms: Option<u64>,
    /// Tokens of all devices issued up to then are refused: milliseconds since 1970.
    pub revoked_ms: Option<u64>,
    /// No token of the user is believed until an operator lifts it.
    pub suspended: bool,
    /// When the user was deleted: milliseconds since 1970. A deleted user is suspended for good, so
    /// that nobody becomes it.
    pub deleted_ms: Option<u64>,
}

impl User {
    /// A user of whom nothing is stored.
    #[must_use]
    pub fn unknown(id: UserId) -> Self {
        Self {
            id,
            name: String::new(),
            password_hash: None,
            settings: Settings::default(),
            version: 0,
            created_ms: 0,
            last_seen_ms: None,
            revoked_ms: None,
            suspended: false,
            deleted_ms: None,
        }
    }

    /// The user after a change. A password in place of another one is an epoch: tokens that were given
    /// before are refused from then on.
    #[must_use]
    pub fn changed(mut self, change: &UserChange) -> Self {
        if self.version == 0 {
            self.created_ms = change.time_ms;
        }
        self.version += 1;
        if let Some(name) = &change.name {
            self.name.clone_from(name);
        }
        let replaced = change.password_hash.is_some() && self.password_hash.is_some();
        if let Some(hash) = &change.password_hash {
            self.password_hash = Some(hash.clone());
        }
        let settings = &mut self.settings;
        settings.share_reads = change.share_reads.unwrap_or(settings.share_reads);
        settings.share_presence = change.share_presence.unwrap_or(settings.share_presence);
        if change.revoke || replaced || change.delete || change.suspended == Some(true) {
            self.revoked_ms = self.revoked_ms.max(Some(change.time_ms));
        }
        self.suspended = change.suspended.unwrap_or(self.suspended);
        if change.delete {
            (self.name, self.password_hash) = (String::new(), None);
            self.settings = Settings::default();
            self.deleted_ms = self.deleted_ms.or(Some(change.time_ms));
        }
        self.suspended |= self.deleted_ms.is_some();
        self
    }

    /// What of it is a fact for whoever judges tokens; `None`: nothing was ever revoked.
    #[must_use]
    pub fn ban(&self) -> Option<Ban> {
        let ban = Ban { issued_until_ms: self.revoked_ms, barred: self.suspended };
        (ban != Ban::default()).then_some(ban)
    }
}

/// Which tokens are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ban {
    /// Those issued up to then: milliseconds since 1970.
    pub issued_until_ms: Option<u64>,
    /// All, whenever they were issued, until it is lifted.
    pub barred: bool,
}

impl Ban {
    /// Whether a token issued then (`None`: nobody knows) is refused.
    #[must_use]
    pub fn refuses(&self, issued_ms: Option<u64>) -> bool {
        let late = |until: u64| issued_ms.is_none_or(|issued| issued <= until);
        self.barred || self.issued_until_ms.is_some_and(late)
    }
}

/// A revocation as a durable fact: one for a device, or for all devices of a user, with the number of
/// its last change. Numbers rise in the order of the commits, so whoever has seen one has missed none
/// below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// From 1.
    pub number: u64,
    /// Whose.
    pub user: UserId,
    /// Which device; `None`: all of the user's.
    pub device: Option<DeviceId>,
    /// What is refused now.
    pub ban: Ban,
}

/// New values of a user's row; `None`: as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserChange {
    /// See [`User::name`].
    pub name: Option<String>,
    /// See [`User::password_hash`].
    pub password_hash: Option<String>,
    /// See [`Settings::share_reads`].
    pub share_reads: Option<bool>,
    /// See [`Settings::share_presence`].
    pub share_presence: Option<bool>,
    /// Tokens of all devices issued up to `time_ms` are refused.
    pub revoke: bool,
    /// See [`User::suspended`]. Suspending revokes as well.
    pub suspended: Option<bool>,
    /// Forgets all that the row says of the user, its devices and their names, and suspends the user
    /// for good.
    pub delete: bool,
    /// Only if the row's version is this one; 0: only if there is none.
    pub if_version: Option<u64>,
    /// Milliseconds since 1970, for a row that is made now, and the moment of a revocation.
    pub time_ms: u64,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The app's name for it.
    pub id: DeviceId,
    /// For people; may be empty.
    pub name: String,
    /// When it was first seen: milliseconds since 1970.
    pub created_ms: u64,
    /// When it last connected, to about a minute: milliseconds since 1970.
    pub connected_ms: u64,
    /// Tokens issued up to then are refused: milliseconds since 1970.
    pub revoked_ms: Option<u64>,
    /// No token of the device is believed, whenever it was issued, until it is let in again.
    pub barred: bool,
}

/// Whether an idempotency key may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It is new, or was used for the same request: carry it out (again).
    Yours,
    /// It was used for another request.
    Another,
}

/// What is known of users and devices. A part of the store; atomic and durable as all of it.
pub trait People: Send + Sync + 'static {
    /// The user; [`User::unknown`] when nothing is stored.
    fn user<'a>(&'a self, id: &'a UserId) -> Pending<'a, User>;

    /// Changes (or makes) the user's row, as [`User::changed`] has it. When what is refused of the
    /// user's tokens changes, the same transaction writes the [`Revocation`] and ends the kept
    /// sessions of all devices. `Err`: its version is not `if_version`; the row as it is.
    fn change_user<'a>(
        &'a self,
        id: &'a UserId,
        change: &'a UserChange,
    ) -> Pending<'a, Result<User, User>>;

    /// Notes when users were last online; never back.
    fn note_seen<'a>(&'a self, seen: &'a [(UserId, u64)]) -> Pending<'a, ()>;

    /// The user's devices, ordered by id.
    fn devices<'a>(&'a self, user: &'a UserId) -> Pending<'a, Vec<Device>>;

    /// Notes that devices connected at these times (milliseconds since 1970). A device twice in a
    /// batch: the latest counts.
    fn note_devices<'a>(&'a self, connected: &'a [(Identity, u64)]) -> Pending<'a, ()>;

    /// Names a device; `None`: it was never seen.
    fn name_device<'a>(
        &'a self,
        device: &'a Identity,
        name: &'a str,
    ) -> Pending<'a, Option<Device>>;

    /// Revokes a device at `time_ms`, seen or not: its kept session ends with its subscriptions and
    /// cursors, and the [`Revocation`] is written in the same transaction. Repeated, the later time
    /// counts. `barred`: see [`Device::barred`]; `None`: as it was.
    fn revoke_device<'a>(
        &'a self,
        device: &'a Identity,
        time_ms: u64,
        barred: Option<bool>,
    ) -> Pending<'a, Result<Device, TooManyUnseen>>;

    /// Lifts [`Device::barred`]; tokens issued up to the revocation stay refused. `None`: the device
    /// was never seen.
    fn admit_device<'a>(&'a self, device: &'a Identity) -> Pending<'a, Option<Device>>;

    /// Revocations whose number is above `after`, ordered by it, at most `limit`.
    fn revocations(&self, after: u64, limit: u32) -> Pending<'_, Vec<Revocation>>;

    /// Forgets at most `limit` devices that were revoked before `before_ms`, never connected and are
    /// not barred: no token of theirs is valid any more. Answers which.
    fn forget_unseen(&self, before_ms: u64, limit: u32) -> Pending<'_, Vec<Identity>>;

    /// Whom the user blocks, ordered; at most [`crate::limits::BLOCKS_MAX`].
    fn blocks<'a>(&'a self, user: &'a UserId) -> Pending<'a, Vec<UserId>>;

    /// Which of `among` block the user, ordered.
    fn blocked_by<'a>(&'a self, user: &'a UserId, among: &'a [UserId]) -> Pending<'a, Vec<UserId>>;

    /// Blocks or unblocks. In the direct conversations of the two the other's
    /// [`crate::membership::Member::blocked`] changes and the group version rises, so that nothing
    /// decided before is good any more; they are answered. Also when nothing changed: then without
    /// any. `Err`: the user blocks too many.
    fn block<'a>(
        &'a self,
        user: &'a UserId,
        other: &'a UserId,
        on: bool,
        time_ms: u64,
    ) -> Pending<'a, Result<Vec<ConversationId>, TooMany>>;

    /// Claims an idempotency key of a caller for a request with this fingerprint. Keys are
    /// forgotten after [`KEY_KEPT_MS`] by [`crate::store::Store::prune`].
    fn claim_key<'a>(
        &'a self,
        caller: &'a str,
        key: &'a str,
        fingerprint: &'a [u8; 32],
        time_ms: u64,
    ) -> Pending<'a, Claim>;
}

/// See [`People::revoke_device`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "at most {} devices that never connected can be revoked; revoke all devices of the user instead",
    crate::limits::REVOKED_UNSEEN_MAX
)]
pub struct TooManyUnseen;

/// See [`People::block`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at most {} users can be blocked", crate::limits::BLOCKS_MAX)]
pub struct TooMany;

/// How long an idempotency key is remembered, in milliseconds: a day.
pub const KEY_KEPT_MS: u64 = 24 * 3_600_000;
