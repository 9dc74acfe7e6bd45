//! What became of a publish, and the right to say so.

use std::borrow::Cow;
use std::time::Duration;

use super::Code;
use crate::ids::{MessageId, Seq};

/// What became of a publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The reason code of the PUBACK.
    pub code: Code,
    /// What else the sender should know.
    pub detail: Detail,
}

/// What else the sender should know; MQTT 5 user properties or reason string of the PUBACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    None,
    /// `mid`, `seq`, `dup`.
    Committed {
        /// The message's id.
        message_id: MessageId,
        /// Its place.
        seq: Seq,
        /// It was committed by an earlier try.
        duplicate: bool,
    },
    /// `gv`: the group version now.
    GroupVersion(u64),
    /// `retry_after_ms`.
    RetryAfter(Duration),
    /// A reason string.
    Text(Cow<'static, str>),
    /// Not known whether it was done, or it cannot be now: no PUBACK at all. The broker closes the
    /// connection so that the device sends again.
    Withheld,
}

impl Outcome {
    /// Done, nothing to add.
    pub const SUCCESS: Self = Self { code: Code::SUCCESS, detail: Detail::None };
    /// See [`Detail::Withheld`].
    pub const WITHHELD: Self = Self { code: Code::UNSPECIFIED, detail: Detail::Withheld };

    /// Refused with a reason for people.
    #[must_use]
    pub fn refused(code: Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: Detail::Text(reason.into()) }
    }

    /// Refused for now.
    #[must_use]
    pub const fn throttled(retry_after: Duration) -> Self {
        Self { code: Code::QUOTA_EXCEEDED, detail: Detail::RetryAfter(retry_after) }
    }

    /// The reason for people and logs; empty: there is none beyond the code.
    #[must_use]
    pub fn text(&self) -> &str {
        match &self.detail {
            Detail::Text(text) => text,
            Detail::RetryAfter(_) => "too much at once; wait and try again",
            _ => "",
        }
    }

    /// Calls `each` with the user properties of CONTRACT.md, "The fate of a send".
    pub fn each_property(&self, mut each: impl FnMut(&'static str, String)) {
        match &self.detail {
            Detail::Committed { message_id, seq, duplicate } => {
                each("mid", message_id.to_string());
                each("seq", seq.to_string());
                each("dup", if *duplicate { "1" } else { "0" }.to_owned());
            }
            Detail::GroupVersion(version) => each("gv", version.to_string()),
            Detail::RetryAfter(wait) => each("retry_after_ms", wait_ms(*wait).to_string()),
            Detail::None | Detail::Text(_) | Detail::Withheld => {}
        }
    }
}

/// A wait as it is told, in milliseconds: rounded up, so that whoever waits as long as told is let
/// through, and never 0.
#[must_use]
pub fn wait_ms(wait: Duration) -> u32 {
    u32::try_from(wait.as_micros().div_ceil(1000).max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_rounded_up_and_never_as_none() {
        for (wait, expected) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (5_000_000, 5000)]
        {
            assert_eq!(wait_ms(Duration::from_micros(wait)), expected, "{wait} us");
        }
        let mut told = Vec::new();
        let throttled = Outcome::throttled(Duration::from_micros(70));
        throttled.each_property(|name, value| told.push((name, value)));
        assert_eq!(told, [("retry_after_ms", "1".to_owned())]);
    }
}
