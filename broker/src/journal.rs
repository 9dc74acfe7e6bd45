//! Who was refused and whose connection ended, for operators: from where, who, why. At info, so many
//! lines in a second; of more, the next line says how many were left out.
//!
//! STYLE.md keeps addresses out of the log; for refusals and endings they are wanted, and stand here
//! alone. What a stranger has chosen (a client id before its token is believed) is escaped. Never a
//! token, a topic's payload or a will.

use std::net::SocketAddr;
use std::time::Instant;

use godwit_core::edge::{Admitted, Code, Outcome};
use godwit_core::rate::{Bucket, Rate};
use parking_lot::Mutex;

use crate::limits::{CLIENT_ID_LOGGED_CHARS_MAX, JOURNAL_LINES_PER_S};

/// Lets so many lines through in a second.
#[derive(Debug, Default)]
struct Pace {
    bucket: Bucket,
    unspoken: u64,
}

impl Pace {
    /// `Some`: a line may be written, and so many were not before it.
    fn speak(&mut self, now: Instant) -> Option<u64> {
        let allowed = Rate::per_second(JOURNAL_LINES_PER_S)
            .is_none_or(|rate| self.bucket.take(rate, now).is_ok());
        if allowed {
            return Some(std::mem::take(&mut self.unspoken));
        }
        self.unspoken += 1;
        None
    }
}

/// Writes the lines; refusals and endings have a pace each, so that one hides none of the other.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    refusals: Mutex<Pace>,
    endings: Mutex<Pace>,
}

impl Journal {
    /// A client that was not let in. `client_id`: what it called itself, if it came so far.
    pub(crate) fn refused(&self, peer: SocketAddr, client_id: &str, outcome: &Outcome) {
        let Some(unspoken) = self.refusals.lock().speak(Instant::now()) else { return };
        tracing::info!(
            stage = "session",
            peer.address = %peer,
            client.id = %named(client_id),
            code = %outcome.code,
            reason = outcome.text(),
            unspoken,
            "refused"
        );
    }

    /// A connection that was let in has ended. `code`: what the client was told; `None`: it went by
    /// itself.
    pub(crate) fn ended(
        &self,
        peer: SocketAddr,
        who: &Admitted,
        code: Option<Code>,
        why: &'static str,
    ) {
        let Some(unspoken) = self.endings.lock().speak(Instant::now()) else { return };
        let code = code.map(tracing::field::display);
        match &who.identity {
            Some(identity) => tracing::info!(
                stage = "session",
                peer.address = %peer,
                user.id = %identity.user,
                device.id = %identity.device,
                code,
                reason = why,
                unspoken,
                "connection ended"
            ),
            None => tracing::info!(
                stage = "session",
                peer.address = %peer,
                client.id = %named(&who.client_id),
                code,
                reason = why,
                unspoken,
                "connection ended"
            ),
        }
    }
}

/// A client id that anyone may have chosen, bounded and escaped.
fn named(client_id: &str) -> String {
    let short: String = client_id.chars().take(CLIENT_ID_LOGGED_CHARS_MAX).collect();
    let more = if short.len() < client_id.len() { "..." } else { "" };
    format!("{}{more}", short.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn so_many_lines_a_second_and_the_rest_is_counted() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let spoken = (0..1000).filter(|_| pace.speak(now).is_some()).count();
        assert_eq!(spoken, JOURNAL_LINES_PER_S as usize);
        let left = 1000 - u64::from(JOURNAL_LINES_PER_S);
        assert_eq!(pace.speak(now + Duration::from_secs(1)), Some(left));
        assert_eq!(pace.speak(now + Duration::from_secs(1)), Some(0));
    }

    #[test]
    fn names_of_strangers_are_escaped_and_short() {
        assert_eq!(named("alice:phone"), "alice:phone");
        assert_eq!(named("a\nlevel=error\u{1b}[31m"), "a\\nlevel=error\\u{1b}[31m");
        assert_eq!(named(&"x".repeat(5000)).len(), CLIENT_ID_LOGGED_CHARS_MAX + 3);
    }
}
