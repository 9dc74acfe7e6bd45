//! What a user's devices are told beside their conversations: on `x` what became of the user there, on
//! `o` what another device of the same user has set.
//!
//! A kept session is told of what it has missed, as it reads a log: notices of a user and a feed are
//! numbered, and a cursor says how far a device has got. They are few: of each subject the latest is
//! kept, at most [`crate::limits::NOTICES_MAX`] of a feed and [`crate::limits::NOTICES_KEPT_MS`] long,
//! and none is written for a user of whom no kept session listens.

use crate::cursor::Feed;
use crate::ids::{ConversationId, DeviceId, Seq, UserId};
use crate::inbox::Marks;
use crate::membership::Role;
use crate::people::Settings;

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The user is no member any more.
    Removed {
        /// Of this conversation.
        conversation: ConversationId,
        /// The entry that tells of it.
        seq: Seq,
        /// By whom; oneself: left.
        by: UserId,
    },
    /// The user has another role.
    Role {
        /// In this conversation.
        conversation: ConversationId,
        /// The entry that tells of it.
        seq: Seq,
        /// By whom.
        by: UserId,
        /// This one.
        role: Role,
    },
    /// The user is invited into a group, and may accept.
    Invited {
        /// Into this one.
        conversation: ConversationId,
        /// By whom.
        by: UserId,
        /// The role there.
        role: Role,
    },
    /// The user's marks of a conversation, as they are now.
    Marks {
        /// Which.
        conversation: ConversationId,
        /// All of them.
        marks: Marks,
    },
    /// How far the user has read.
    Read {
        /// Where.
        conversation: ConversationId,
        /// Up to here.
        seq: Seq,
    },
    /// What the user lets others see, as it is now.
    Settings(Settings),
    /// The user blocks another, or does no more.
    Block {
        /// Whom.
        user: UserId,
        /// Blocks.
        on: bool,
    },
}

impl What {
    /// Where it is told.
    #[must_use]
    pub const fn feed(&self) -> Feed {
        match self {
            Self::Removed { .. } | Self::Role { .. } | Self::Invited { .. } => Feed::Control,
            Self::Marks { .. } | Self::Read { .. } | Self::Settings(_) | Self::Block { .. } => {
                Feed::Own
            }
        }
    }

    /// What it is about: a later notice of the same takes its place.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Removed { conversation, .. } => format!("removed {conversation}"),
            Self::Role { conversation, .. } => format!("role {conversation}"),
            Self::Invited { conversation, .. } => format!("invited {conversation}"),
            Self::Marks { conversation, .. } => format!("marks {conversation}"),
            Self::Read { conversation, .. } => format!("read {conversation}"),
            Self::Settings(_) => "settings".to_owned(),
            Self::Block { user, .. } => format!("block {user}"),
        }
    }

    /// The rest of it, as it is stored beside the subject.
    #[must_use]
    pub fn to_body(&self) -> String {
        match self {
            Self::Removed { seq, by, .. } => format!("{seq} {by}"),
            Self::Role { seq, by, role, .. } => format!("{seq} {by} {}", role.code()),
            Self::Invited { by, role, .. } => format!("{by} {}", role.code()),
            Self::Marks { marks, .. } => {
                let time = |at: Option<u64>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
                let (muted, pinned) = (time(marks.muted_until_ms), time(marks.pinned_ms));
                let flags = (u8::from(marks.archived), u8::from(marks.marked_unread));
                format!("{muted} {} {pinned} {}", flags.0, flags.1)
            }
            Self::Read { seq, .. } => seq.to_string(),
            Self::Settings(settings) => {
                let flags = (u8::from(settings.share_reads), u8::from(settings.share_presence));
                format!("{} {}", flags.0, flags.1)
            }
            Self::Block { on, .. } => u8::from(*on).to_string(),
        }
    }

    /// Reads a subject and a body; `None` when they are none.
    #[must_use]
    pub fn read(subject: &str, body: &str) -> Option<Self> {
        let (kind, about) = subject.split_once(' ').unwrap_or((subject, ""));
        let mut words = body.split(' ');
        let mut word = || words.next();
        let flag = |word: &str| word == "1";
        Some(match kind {
            "removed" => Self::Removed {
                conversation: about.parse().ok()?,
                seq: Seq(word()?.parse().ok()?),
                by: UserId::new(word()?).ok()?,
            },
            "role" => Self::Role {
                conversation: about.parse().ok()?,
                seq: Seq(word()?.parse().ok()?),
                by: UserId::new(word()?).ok()?,
                role: Role::from_code(word()?.parse().ok()?)?,
            },
            "invited" => Self::Invited {
                conversation: about.parse().ok()?,
                by: UserId::new(word()?).ok()?,
                role: Role::from_code(word()?.parse().ok()?)?,
            },
            "marks" => {
                let time = |word: &str| match word {
                    "-" => Some(None),
                    at => at.parse().ok().map(Some),
                };
                let muted_until_ms = time(word()?)?;
                let archived = flag(word()?);
                let pinned_ms = time(word()?)?;
                let marked_unread = flag(word()?);
                let marks = Marks { muted_until_ms, archived, pinned_ms, marked_unread };
                Self::Marks { conversation: about.parse().ok()?, marks }
            }
            "read" => {
                Self::Read { conversation: about.parse().ok()?, seq: Seq(word()?.parse().ok()?) }
            }
            "settings" => Self::Settings(Settings {
                share_reads: flag(word()?),
                share_presence: flag(word()?),
            }),
            "block" => Self::Block { user: UserId::new(about).ok()?, on: flag(word()?) },
            _ => return None,
        })
    }
}

/// Something to be told to the devices of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// Whose devices.
    pub user: UserId,
    /// Whose doing it was, if a device of the user's: it knows.
    pub device: Option<DeviceId>,
    /// When: milliseconds since 1970.
    pub time_ms: u64,
    /// What.
    pub what: What,
}

/// What is told, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its place among those of the user and feed.
    pub seq: Seq,
    /// See [`Telling::device`].
    pub device: Option<DeviceId>,
    /// See [`Telling::time_ms`].
    pub time_ms: u64,
    /// See [`Telling::what`].
    pub what: What,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let conversation = ConversationId([7; 16]);
        let by = UserId::new("ann").unwrap();
        let marks = Marks {
            muted_until_ms: Some(u64::MAX),
            archived: true,
            pinned_ms: None,
            marked_unread: true,
        };
        let settings = Settings { share_reads: false, share_presence: true };
        let all = [
            What::Removed { conversation, seq: Seq(9), by: by.clone() },
            What::Role { conversation, seq: Seq(9), by: by.clone(), role: Role::ReadOnly },
            What::Invited { conversation, by: by.clone(), role: Role::Member },
            What::Marks { conversation, marks },
            What::Marks { conversation, marks: Marks::default() },
            What::Read { conversation, seq: Seq(4) },
            What::Settings(settings),
            What::Block { user: by.clone(), on: true },
            What::Block { user: by, on: false },
        ];
        for what in all {
            assert_eq!(What::read(&what.subject(), &what.to_body()), Some(what));
        }
        for (subject, body) in [("", ""), ("x y", "1"), ("read x", "1"), ("role", "1 a 9")] {
            assert_eq!(What::read(subject, body), None);
        }
    }
}
