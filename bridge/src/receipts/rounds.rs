//! The rounds in which gathered reports are stored and signalled.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use godwit_core::bus::Signal;
use godwit_core::edge::{Code, Outcome};
use godwit_core::ids::{ConversationId, DeviceId, Seq, UserId};
use godwit_core::notice::{Telling, What};
use godwit_core::receipt::{Cursors, Moved, Refused, Report, Verdict};
use godwit_core::store::Error;

use super::Receipts;
use super::gather::{Asked, Sent, Who};
use crate::fate::{self, About};
use crate::{limits, retry};

impl Receipts {
    /// Stores rounds until the process ends.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            self.wanted.notified().await;
            let next = tokio::time::Instant::now() + self.delay;
            self.store_gathered().await;
            tokio::time::sleep_until(next).await;
        }
    }

    /// Stores everything that waits.
    pub(crate) async fn store_gathered(&self) {
        let _turn = self.turn.lock().await;
        let (sent, calls) = {
            let mut gathered = self.gathered.lock();
            (gathered.take_sent(), gathered.take(limits::RECEIPTS_PER_STATEMENT))
        };
        self.tell_sent(sent).await;
        for call in calls {
            self.store_call(call).await;
        }
    }

    /// Tries until the store answers; whoever has waited too long meanwhile is let go.
    async fn store_call(&self, mut call: Vec<Asked>) {
        let (mut backoff, mut lost) = (retry::Backoff::new(), false);
        while !call.is_empty() {
            let reports: Vec<Report> = call.iter().map(|asked| asked.report.clone()).collect();
            match self.store.report(&reports).await {
                Ok(verdicts) => return self.finish(call, verdicts).await,
                Err(error @ Error::Unavailable(_)) => {
                    lost = true;
                    retry::note("report", &error);
                    let wait = backoff.next();
                    let late = Instant::now() + wait;
                    call = self.let_go(call, late);
                    tokio::time::sleep(wait).await;
                }
                Err(error) => {
                    retry::note("report", &error);
                    return self.store_singly(call, lost).await;
                }
            }
        }
    }

    /// Withholds the answer from those who would have waited too long at `late`; the others stay.
    fn let_go(&self, call: Vec<Asked>, late: Instant) -> Vec<Asked> {
        let (stay, gone): (Vec<_>, Vec<_>) = call.into_iter().partition(|asked| {
            matches!(asked.who, Who::Nobody) || late < asked.since + self.hold_max
        });
        for asked in gone {
            asked.who.withhold();
        }
        stay
    }

    /// One report breaks its call: the others shall not suffer for it.
    async fn store_singly(&self, call: Vec<Asked>, lost: bool) {
        for asked in call {
            match self.store.report(std::slice::from_ref(&asked.report)).await {
                Ok(verdicts) => self.finish(vec![asked], verdicts).await,
                Err(Error::Unavailable(_)) => asked.who.withhold(),
                Err(error) => {
                    tracing::error!(stage = "confirm", %error, "a report cannot be stored");
                    asked.who.fail(error, lost);
                }
            }
        }
    }

    /// Tells the reporters, then everybody else.
    async fn finish(&self, call: Vec<Asked>, verdicts: Vec<Verdict>) {
        self.tell_reads(&call, &verdicts).await;
        let mut all: HashMap<(ConversationId, UserId), Moved> = HashMap::new();
        for (asked, verdict) in call.into_iter().zip(verdicts) {
            for moved in verdict.iter().flatten() {
                // Later reports of a call have the later places.
                let key = (moved.conversation, asked.report.user.clone());
                all.entry(key).or_insert(*moved).now = moved.now;
            }
            asked.who.answer(&asked.report, verdict);
        }
        self.signal(all.into_iter().map(|((_, user), moved)| (user, moved)).collect()).await;
    }

    /// Tells of what was read by sending: the cursors stand already.
    async fn tell_sent(&self, sent: Vec<Sent>) {
        if sent.is_empty() {
            return;
        }
        let told = sent.iter().map(|sent| {
            let Sent { from, moved } = sent;
            telling(&from.user, Some(&from.device), moved)
        });
        self.tell(told.collect()).await;
        self.signal(sent.into_iter().map(|sent| (sent.from.user, sent.moved)).collect()).await;
    }

    async fn signal(&self, all: Vec<(UserId, Moved)>) {
        let mut signals = Vec::with_capacity(all.len());
        for (user, moved) in all {
            let share_reads = self.shares_reads(&user, moved.now).await;
            let (conversation, cursors) = (moved.conversation, told(moved, share_reads));
            signals.push(Signal::Receipt { conversation, user, cursors, share_reads });
        }
        if !signals.is_empty() {
            self.announce.signal(&signals);
        }
    }

    /// The user's other devices are told what was read by one; noted before it is acknowledged.
    async fn tell_reads(&self, call: &[Asked], verdicts: &[Verdict]) {
        let mut tellings = Vec::new();
        for (asked, verdict) in call.iter().zip(verdicts) {
            let device = match &asked.who {
                Who::Device { session, .. } => Some(&session.identity().device),
                Who::Nobody | Who::Caller(_) => None,
            };
            let moved = verdict.iter().flatten();
            for moved in moved.filter(|moved| moved.now.read > moved.before.read) {
                tellings.push(telling(&asked.report.user, device, moved));
            }
        }
        self.tell(tellings).await;
    }

    async fn tell(&self, tellings: Vec<Telling>) {
        if tellings.is_empty() {
            return;
        }
        if let Err(error) = self.store.tell(&tellings).await {
            // The places are stored; who comes back finds them in the inbox.
            retry::note("tell", &error);
        }
        self.announce.signal(&tellings.into_iter().map(Signal::Told).collect::<Vec<_>>());
    }

    async fn shares_reads(&self, user: &UserId, cursors: Cursors) -> bool {
        // With nothing read there is nothing to hide.
        if cursors.read.0 == 0 {
            return true;
        }
        match self.people.settings(user).await {
            Ok(settings) => settings.share_reads,
            Err(error) => {
                retry::note("user", &error);
                false
            }
        }
    }
}

/// What a user's other devices are told of a place that was read.
fn telling(user: &UserId, device: Option<&DeviceId>, moved: &Moved) -> Telling {
    let (conversation, seq) = (moved.conversation, moved.now.read);
    Telling {
        user: user.clone(),
        device: device.cloned(),
        time_ms: crate::clock::now_ms(),
        what: What::Read { conversation, seq },
    }
}

/// What is signalled. Of a user who hides reads nothing is said of a place where everything had
/// arrived before: that there is news at all would tell that it was read now.
fn told(moved: Moved, share_reads: bool) -> Cursors {
    let hidden = !share_reads && moved.before.delivered == moved.now.delivered;
    Cursors { delivered: if hidden { Seq::ZERO } else { moved.now.delivered }, ..moved.now }
}

impl Who {
    fn answer(self, report: &Report, verdict: Verdict) {
        match self {
            Self::Nobody => {}
            // The caller may have gone.
            Self::Caller(tell) => drop(tell.send(Ok(verdict))),
            Self::Device { session, ack } => match verdict {
                Ok(_) => {
                    session.feeds.lock().receipts.reported(&report.places);
                    ack.settle(Outcome::SUCCESS);
                }
                Err(refused) => {
                    let (code, conversation) = match refused {
                        Refused::NoMember(id) => (Code::NOT_AUTHORIZED, id),
                        Refused::BeyondHead { conversation, .. } => {
                            (Code::PAYLOAD_INVALID, conversation)
                        }
                    };
                    let about = About { conversation: Some(conversation), cmid: None };
                    let outcome = Outcome::refused(code, refused.to_string());
                    fate::refuse(&session, &about, outcome, ack);
                }
            },
        }
    }

    /// Whether it was stored is not known.
    fn withhold(self) {
        match self {
            Self::Nobody => {}
            Self::Caller(tell) => {
                let gone = Error::Unavailable("the store did not answer in time".into());
                drop(tell.send(Err(gone)));
            }
            Self::Device { ack, .. } => ack.settle(Outcome::WITHHELD),
        }
    }

    /// Repeating at once does not help. Only what the store has rejected for its own values, and
    /// no earlier try may have stored (`lost`), is refused.
    fn fail(self, error: Error, lost: bool) {
        match self {
            Self::Caller(tell) if !lost => drop(tell.send(Err(error))),
            Self::Device { session, ack } if !lost && matches!(error, Error::Rejected(_)) => {
                let reason = "the store cannot hold this; nothing was stored";
                let outcome = Outcome::refused(Code::PAYLOAD_INVALID, reason);
                fate::refuse(&session, &About::default(), outcome, ack);
            }
            unknown => unknown.withhold(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_read_is_no_news_to_others() {
        let at = |delivered, read| Cursors { delivered: Seq(delivered), read: Seq(read) };
        let moved = |before, now| Moved { conversation: ConversationId([1; 16]), before, now };
        // before, now, shared, signalled
        let table = [
            (at(5, 0), at(9, 0), true, at(9, 0)),
            (at(9, 0), at(9, 9), true, at(9, 9)),
            (at(5, 0), at(9, 9), false, at(9, 9)),
            (at(9, 0), at(9, 9), false, at(0, 9)),
        ];
        for (before, now, share_reads, expected) in table {
            assert_eq!(told(moved(before, now), share_reads), expected);
        }
    }
}
