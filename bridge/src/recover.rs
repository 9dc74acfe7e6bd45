//! Commits whose answer was lost: a later try finds them by their keys.

use std::collections::BTreeMap;

use godwit_core::commit::{Committed, Fate, Send};
use godwit_core::entry::Entry;
use godwit_core::ids::{ConversationId, Seq};
use godwit_core::limits::{PAGE_BYTES_MAX, PAGE_ENTRIES_MAX};
use godwit_core::store::{Error, Range, Store};

use crate::retry;

/// Takes what an earlier try of these sends has committed for what this one did: their senders have
/// not repeated them, and nobody was told of their entries yet.
pub(crate) async fn reclaim(store: &dyn Store, sends: &[Send], committed: &mut Committed) {
    for (conversation, (first, last)) in own(sends, &mut committed.fates) {
        match read(store, conversation, first, last).await {
            Ok(found) => committed.entries.extend(found),
            // An announcement is a hint: the next one shows the gap.
            Err(error) => retry::note("reclaim", &error),
        }
    }
}

/// Marks the sends' own commits as no duplicates; where they stand, from the first to the last.
fn own(sends: &[Send], fates: &mut [Fate]) -> BTreeMap<ConversationId, (Seq, Seq)> {
    let mut found: BTreeMap<ConversationId, (Seq, Seq)> = BTreeMap::new();
    for (send, fate) in sends.iter().zip(fates) {
        let Fate::Accepted { message_id, seq, duplicate } = fate else { continue };
        // A message id is given once: whoever holds this one has it from an earlier try.
        if *duplicate && *message_id == send.message_id {
            *duplicate = false;
            let (first, last) = found.entry(send.conversation).or_insert((*seq, *seq));
            (*first, *last) = ((*first).min(*seq), (*last).max(*seq));
        }
    }
    found
}

async fn read(
    store: &dyn Store,
    conversation: ConversationId,
    first: Seq,
    last: Seq,
) -> Result<Vec<(Entry, u64)>, Error> {
    // Members read later than an entry was committed are good for it too.
    let group_version = store.conversation(conversation).await?.map_or(0, |c| c.group_version);
    let (mut found, mut after) = (Vec::new(), Seq(first.0.saturating_sub(1)));
    while after < last {
        let range = Range { after, before: Some(last.next()), newest_first: false };
        let page = store.read_log(conversation, range, PAGE_ENTRIES_MAX, PAGE_BYTES_MAX).await?;
        let entries = page.map(|page| page.entries).unwrap_or_default();
        let Some(end) = entries.last() else { break };
        after = end.seq;
        found.extend(entries.into_iter().map(|entry| (entry, group_version)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use godwit_core::commit::{Act, SendKey};
    use godwit_core::ids::MessageId;

    const A: ConversationId = ConversationId([1; 16]);
    const B: ConversationId = ConversationId([2; 16]);

    fn send(conversation: ConversationId, id: u8) -> Send {
        Send {
            conversation,
            from: "alice:phone".parse().unwrap(),
            key: SendKey::Server(MessageId([id; 16])),
            message_id: MessageId([id; 16]),
            act: Act::MESSAGE,
            body: Bytes::new(),
            group_version: None,
            previous_chain: None,
            expires_ms: None,
            time_ms: 1,
            reads: true,
        }
    }

    #[test]
    fn only_what_the_earlier_try_committed_is_its_own() {
        let accepted = |id, seq, duplicate| Fate::Accepted {
            message_id: MessageId([id; 16]),
            seq: Seq(seq),
            duplicate,
        };
        let sends = [send(A, 1), send(A, 2), send(B, 3), send(A, 4), send(B, 5), send(A, 6)];
        let mut fates = [
            accepted(1, 7, true),
            // The sender's own repetition of an earlier send.
            accepted(77, 3, true),
            accepted(3, 2, true),
            accepted(4, 9, true),
            Fate::Forbidden("no member"),
            accepted(6, 10, false),
        ];
        let found = own(&sends, &mut fates);
        assert_eq!(found, BTreeMap::from([(A, (Seq(7), Seq(9))), (B, (Seq(2), Seq(2)))]));
        let duplicates: Vec<bool> = fates
            .iter()
            .map(|fate| matches!(fate, Fate::Accepted { duplicate: true, .. }))
            .collect();
        assert_eq!(duplicates, [false, true, false, false, false, false]);
    }
}
