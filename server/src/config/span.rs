//! Durations as people write them: `200ms`, `5s`, `10m`, `1h`, `30d`.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// The units, smallest first, in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a duration: a whole number and a unit, without a space. Errors: what is wrong.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let scale = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    match (number.parse::<u64>().ok(), scale) {
        (Some(number), Some(scale)) => number
            .checked_mul(scale)
            .map(Duration::from_millis)
            .ok_or_else(|| "is too long".to_owned()),
        _ => Err("must be a whole number and a unit (ms, s, m, h, d), as in \"5s\"".to_owned()),
    }
}

/// Writes a duration of whole milliseconds in the largest unit that is exact.
pub(crate) fn format(span: Duration) -> String {
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let exact = UNITS.iter().rev().find(|(_, scale)| ms.is_multiple_of(*scale));
    match exact {
        Some((unit, scale)) => format!("{}{unit}", ms / scale),
        None => format!("{ms}ms"),
    }
}

/// For `#[serde(deserialize_with)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, ms) in
            [("200ms", 200), ("5s", 5_000), ("10m", 600_000), ("1h", 3_600_000), ("0s", 0)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "5", "s", "5 s", "-5s", "5sec", "1.5s", "99999999999999999999d"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("999999999999999d").is_err());
    }

    proptest! {
        #[test]
        fn comes_back(ms in 0u64..1_000_000_000_000) {
            let span = Duration::from_millis(ms);
            prop_assert_eq!(parse(&format(span)), Ok(span));
        }
    }
}
