//! The columns of what is kept of users beside their conversations.

use super::{broken, device, seq, unsigned};
use crate::ids::UserId;
use crate::notice::{Notice, What};
use crate::people::{Device, Settings, User};
use crate::store::Error;

/// The columns of a user.
#[derive(Debug)]
pub struct UserColumns {
    /// May be empty.
    pub name: String,
    /// `None`: no password.
    pub password_hash: Option<String>,
    /// See [`Settings`].
    pub share_reads: bool,
    /// See [`Settings`].
    pub share_presence: bool,
    /// Raised by every change.
    pub version: i64,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Milliseconds since 1970.
    pub last_seen_ms: Option<i64>,
    /// Milliseconds since 1970.
    pub revoked_ms: Option<i64>,
    /// See [`User::suspended`].
    pub suspended: bool,
    /// Milliseconds since 1970.
    pub deleted_ms: Option<i64>,
}

impl UserColumns {
    /// The user of this id.
    pub fn user(self, id: UserId) -> Result<User, Error> {
        Ok(User {
            id,
            name: self.name,
            password_hash: self.password_hash,
            settings: Settings {
                share_reads: self.share_reads,
                share_presence: self.share_presence,
            },
            version: unsigned("version", self.version)?,
            created_ms: unsigned("time", self.created_ms)?,
            last_seen_ms: time(self.last_seen_ms)?,
            revoked_ms: time(self.revoked_ms)?,
            suspended: self.suspended,
            deleted_ms: time(self.deleted_ms)?,
        })
    }
}

/// The columns of a device.
#[derive(Debug)]
pub struct DeviceColumns {
    /// A device id.
    pub device_id: String,
    /// May be empty.
    pub name: String,
    /// Milliseconds since 1970.
    pub created_ms: i64,
    /// Milliseconds since 1970.
    pub connected_ms: i64,
    /// Milliseconds since 1970.
    pub revoked_ms: Option<i64>,
    /// See [`Device::barred`].
    pub barred: bool,
}

impl DeviceColumns {
    /// The device.
    pub fn device(self) -> Result<Device, Error> {
        Ok(Device {
            id: device(&self.device_id)?,
            name: self.name,
            created_ms: unsigned("time", self.created_ms)?,
            connected_ms: unsigned("time", self.connected_ms)?,
            revoked_ms: time(self.revoked_ms)?,
            barred: self.barred,
        })
    }
}

/// The columns of a notice.
#[derive(Debug)]
pub struct NoticeColumns {
    /// Its number.
    pub seq: i64,
    /// [`What::subject`].
    pub subject: String,
    /// A device id.
    pub device: Option<String>,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// [`What::to_body`].
    pub body: String,
}

impl NoticeColumns {
    /// The notice.
    pub fn notice(self) -> Result<Notice, Error> {
        Ok(Notice {
            seq: seq(self.seq)?,
            device: self.device.as_deref().map(device).transpose()?,
            time_ms: unsigned("time", self.time_ms)?,
            what: What::read(&self.subject, &self.body).ok_or_else(|| broken("notice"))?,
        })
    }
}

/// A stored time that need not be there.
fn time(column: Option<i64>) -> Result<Option<u64>, Error> {
    column.map(|at| unsigned("time", at)).transpose()
}
