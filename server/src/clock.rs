//! The wall clock and the machine's randomness, each at one place.

use std::time::{SystemTime, UNIX_EPOCH};

use godwit_core::ids::MessageId;

use crate::failure::{Failure, Result};

/// Milliseconds since 1970; 0 on a machine whose clock stands before that.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `N` random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(
            format!("the operating system gives no random bytes: {error}"),
            "Godwit makes no keys without them; check /dev/urandom.",
        )
    })?;
    Ok(bytes)
}

/// A message id of this moment: a UUID of version 7, 48 bits of time before the random ones.
pub(crate) fn message_id(now_ms: u64) -> Result<MessageId> {
    let mut bytes = random::<16>()?;
    bytes[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    Ok(MessageId(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_are_uuids_in_order_of_time() {
        let (first, second) = (message_id(1_000).unwrap(), message_id(1_001).unwrap());
        assert!(first < second);
        assert_eq!((first.0[6] >> 4, first.0[8] >> 6), (7, 0b10));
        assert_ne!(message_id(1_000).unwrap(), first);
    }
}
