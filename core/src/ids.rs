//! Names: user, device, conversation, message.
//!
//! User and device ids are chosen by the app and stay opaque: they are compared, never spliced
//! into a topic filter. Their alphabet has no `/`, `+`, `#` or NUL, so they cannot become one.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Empty, or longer than the id allows.
    #[error("must have 1 to {max} characters, has {len}")]
    Length {
        /// Characters found.
        len: usize,
        /// Characters allowed.
        max: usize,
    },
    /// A character outside of `A-Z a-z 0-9 _ . -`.
    #[error("may hold only A-Z a-z 0-9 _ . -")]
    Alphabet,
    /// `.` or `..`, which a path would take for a place and not for a name.
    #[error("must not be . or ..")]
    Dots,
    /// Not 16 bytes as 22 characters of base64url without padding.
    #[error("must be 22 characters of base64url (16 bytes, no padding)")]
    Base64,
}

/// Checks the one alphabet of names: 1 to `max` of `A-Z a-z 0-9 _ . -`.
fn check_name(text: &str, max: usize) -> Result<(), Error> {
    if text.is_empty() || text.len() > max {
        return Err(Error::Length { len: text.len(), max });
    }
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        Ok(())
    } else {
        Err(Error::Alphabet)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest one, in characters.
            pub const LEN_MAX: usize = $max;

            /// Checks and takes `text`. Errors: length, alphabet.
            pub fn new(text: &str) -> Result<Self, Error> {
                if matches!(text, "." | "..") {
                    return Err(Error::Dots);
                }
                Self::from_stored(text)
            }

            /// Takes what an earlier version took: `.` and `..` too. Errors: length, alphabet.
            pub(crate) fn from_stored(text: &str) -> Result<Self, Error> {
                check_name(text, $max)?;
                Ok(Self(Arc::from(text)))
            }

            /// The id as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

name!(
    /// A person or a thing, as the app names it: 1-64 of `A-Z a-z 0-9 _ . -`.
    UserId, 64
);
name!(
    /// One device of a user, as the app names it: 1-64 of `A-Z a-z 0-9 _ . -`.
    DeviceId, 64
);
name!(
    /// A client's own name for a send: 1-36 of `A-Z a-z 0-9 _ . -`.
    ClientMessageId, 36
);

macro_rules! id16 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// The 16 bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Takes exactly 16 bytes. Errors: any other length.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
                bytes.try_into().map(Self).map_err(|_| Error::Base64)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            /// Reads the 22 characters of base64url. Errors: anything else, also spare bits set.
            fn from_str(text: &str) -> Result<Self, Error> {
                let mut bytes = [0u8; 16];
                if text.len() != 22 {
                    return Err(Error::Base64);
                }
                match URL_SAFE_NO_PAD.decode_slice_unchecked(text, &mut bytes) {
                    Ok(16) => Ok(Self(bytes)),
                    _ => Err(Error::Base64),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0u8; 22];
                // 16 bytes are always 22 characters, all of them ASCII.
                let _ = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text);
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id16!(
    /// A conversation: 16 bytes, written as 22 characters of base64url.
    ConversationId
);
id16!(
    /// A committed message, for people and tools: 16 bytes, time-ordered (UUID version 7).
    MessageId
);

/// A place in a conversation's log: 1, 2, 3 ... without a gap; 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);

    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who speaks: one device of one user. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The user.
    pub user: UserId,
    /// The user's device.
    pub device: DeviceId,
}

impl Identity {
    /// Who stands in a log as the sender of what an operator did: `godwit:operator`. A label, not
    /// an authority: entries that are not messages are written by the server alone.
    #[must_use]
    pub fn operator() -> Self {
        Self { user: UserId(Arc::from("godwit")), device: DeviceId(Arc::from("operator")) }
    }
}

impl fmt::Display for Identity {
    /// The MQTT client id: `{user}:{device}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.device)
    }
}

impl FromStr for Identity {
    type Err = Error;

    /// Reads `{user}:{device}`. Errors: no colon, or either side is not an id.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (user, device) = text.split_once(':').ok_or(Error::Alphabet)?;
        Ok(Self { user: UserId::new(user)?, device: DeviceId::new(device)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_keep_to_their_alphabet() {
        for good in ["a", "Alice_1", "a.b-c", &"x".repeat(64)] {
            assert!(UserId::new(good).is_ok(), "{good}");
        }
        for good in ["...", ".a", "a..", "-", "_"] {
            assert!(DeviceId::new(good).is_ok(), "{good}");
        }
        for dots in [".", ".."] {
            assert_eq!(UserId::new(dots), Err(Error::Dots));
            assert_eq!(DeviceId::new(dots), Err(Error::Dots));
            assert_eq!(ClientMessageId::new(dots), Err(Error::Dots));
            assert_eq!(format!("alice:{dots}").parse::<Identity>(), Err(Error::Dots));
        }
        for bad in ["", "a/b", "a+", "#", "a b", "ä", "a\0", "a:b", &"x".repeat(65)] {
            assert!(UserId::new(bad).is_err(), "{bad}");
        }
        assert!(ClientMessageId::new(&"x".repeat(37)).is_err());
    }

    #[test]
    fn conversation_ids_are_canonical() {
        let id = ConversationId([0xff; 16]);
        assert_eq!(id.to_string(), "_____________________w");
        // The same bytes with spare bits set are another text, so they are refused.
        assert!("______________________".parse::<ConversationId>().is_err());
        assert!("_____________________w=".parse::<ConversationId>().is_err());
        assert!("".parse::<ConversationId>().is_err());
    }

    proptest! {
        #[test]
        fn conversation_ids_come_back(bytes: [u8; 16]) {
            let id = ConversationId(bytes);
            prop_assert_eq!(id.to_string().parse::<ConversationId>(), Ok(id));
            prop_assert_eq!(id.to_string().len(), 22);
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text in ".{0,40}") {
            let _ = text.parse::<ConversationId>();
            let _ = text.parse::<Identity>();
            let _ = UserId::new(&text);
        }
    }
}
