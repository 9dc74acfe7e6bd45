//! `x` at a shutdown: every device that wants to know is told that the server goes away, and when to
//! come back, each at another time.

use std::time::Duration;

use godwit_proto::conversation::v1 as wire;

use crate::inner::Inner;
use crate::limits;
use crate::topic::Target;

/// Tells all devices; queued before the connections are asked to close, it goes out before they do.
/// A device without room is told by the end of its connection alone.
pub(crate) fn tell(inner: &Inner) {
    let sessions = inner.online.all();
    let count = sessions.len();
    for (place, session) in sessions.iter().enumerate() {
        let Some(wish) = session.feeds.lock().wish_topic(&Target::Control) else { continue };
        let control = wire::Control {
            kind: wire::control::Kind::Drain as i32,
            retry_after_ms: retry_after_ms(place, count),
            ..wire::Control::default()
        };
        // A hint: the DISCONNECT says the same without the time.
        let _ = session.send(crate::wire::message("x", &control), wish);
    }
}

/// When the device at this place of so many shall come back. Users are hashed with random seeds, so
/// the order of the sessions is as good as any.
fn retry_after_ms(place: usize, count: usize) -> u32 {
    let times =
        |span: Duration, by: usize| span.saturating_mul(u32::try_from(by).unwrap_or(u32::MAX));
    let spread = times(limits::DRAIN_RETRY_PER_DEVICE, count)
        .clamp(limits::DRAIN_SPREAD_MIN, limits::DRAIN_SPREAD_MAX);
    let share = spread.as_millis() * (place as u128) / (count.max(1) as u128);
    let first_ms = limits::DRAIN_RETRY_MIN.as_millis();
    u32::try_from(first_ms + share).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_come_back_at_another_time_and_none_too_late() {
        assert_eq!(retry_after_ms(0, 1), 500);
        assert_eq!((retry_after_ms(0, 2), retry_after_ms(1, 2)), (500, 1000));
        let times: Vec<u32> = (0..10_000).map(|place| retry_after_ms(place, 10_000)).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((times[0], times[9_999]), (500, 500 + 9_999));
        assert_eq!(retry_after_ms(999_999, 1_000_000), 500 + 299_999);
    }
}
