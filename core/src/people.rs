//! The port to what is known of users and devices beside their conversations.
//!
//! Users need not be known at all: whoever shows a valid token may speak. A row comes into being
//! with an account, a setting or a block. Devices are noted when they connect.

use crate::ids::{ConversationId, DeviceId, Identity, UserId};
use crate::store::Pending;

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
        }
    }
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
    /// Only if the row's version is this one; 0: only if there is none.
    pub if_version: Option<u64>,
    /// Milliseconds since 1970, for a row that is made now.
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

    /// Changes (or makes) the user's row. `Err`: its version is not `if_version`; the row as it is.
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
    /// cursors. Repeated, the later time counts.
    fn revoke_device<'a>(&'a self, device: &'a Identity, time_ms: u64) -> Pending<'a, Device>;

    /// Revoked devices and when, ordered, above `after`, at most `limit`.
    fn revoked<'a>(
        &'a self,
        after: Option<&'a Identity>,
        limit: u32,
    ) -> Pending<'a, Vec<(Identity, u64)>>;

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

/// See [`People::block`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at most {} users can be blocked", crate::limits::BLOCKS_MAX)]
pub struct TooMany;

/// How long an idempotency key is remembered, in milliseconds: a day.
pub const KEY_KEPT_MS: u64 = 24 * 3_600_000;
