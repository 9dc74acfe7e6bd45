//! `q/history`: a part of a log, from either end.

use godwit_core::ids::Seq;
use godwit_core::store::{Page, Range};
use godwit_proto::sync::v1 as wire;

use super::refusal::{Refusal, conversation_id, member, page_limit, read_log};
use crate::clock;
use crate::session::DeviceSession;

pub(super) async fn reply(
    session: &DeviceSession,
    request: wire::HistoryRequest,
) -> wire::HistoryReply {
    let id = request.id;
    match history(session, request).await {
        Ok(reply) => wire::HistoryReply { id, ..reply },
        Err(refusal) => wire::HistoryReply {
            id,
            code: refusal.code(),
            retry_after_ms: refusal.retry_after_ms(),
            reason: refusal.reason.into_owned(),
            ..wire::HistoryReply::default()
        },
    }
}

async fn history(
    session: &DeviceSession,
    request: wire::HistoryRequest,
) -> Result<wire::HistoryReply, Refusal> {
    let id = conversation_id(&request.conversation_id)?;
    let member = member(session, id).await?;
    let range = Range {
        after: Seq(request.after_seq).max(member.visible),
        before: (request.before_seq > 0).then_some(Seq(request.before_seq)),
        newest_first: request.newest_first,
    };
    let limit = page_limit(request.limit);
    let (page, visible) = read_log(session, id, range, limit).await?;
    let now_ms = clock::now_ms();
    Ok(wire::HistoryReply {
        conversation_id: request.conversation_id,
        entries: page.entries.iter().map(|e| crate::wire::entry_to_wire(e, now_ms)).collect(),
        head_seq: page.head_seq.0,
        visible_seq: visible.0,
        more: more(range, &page),
        ..wire::HistoryReply::default()
    })
}

/// Whether the range goes on behind the page's last entry: a log has no gap.
fn more(range: Range, page: &Page) -> bool {
    let Some(last) = page.entries.last() else { return false };
    if range.newest_first {
        return last.seq > range.after.next();
    }
    let end = page.head_seq.next();
    last.seq.next() < range.before.map_or(end, |before: Seq| before.min(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use godwit_core::entry::{ChainHash, Entry, EntryKind};
    use godwit_core::ids::{ConversationId, DeviceId, MessageId, UserId};

    fn page(last: Option<u64>) -> Page {
        let entry = |seq| Entry {
            conversation: ConversationId([1; 16]),
            seq: Seq(seq),
            chain: ChainHash::ZERO,
            kind: EntryKind::Message,
            message_id: MessageId([1; 16]),
            sender: UserId::new("alice").unwrap(),
            device: DeviceId::new("phone").unwrap(),
            time_ms: 1,
            body: Bytes::new(),
            reply_to: None,
            target: None,
            mentions: Vec::new(),
            number: seq,
            expires_ms: None,
            body_gone: false,
        };
        Page { entries: last.map(entry).into_iter().collect(), head_seq: Seq(20) }
    }

    #[test]
    fn a_page_says_whether_its_range_goes_on() {
        let range = |after, before: Option<u64>, newest_first| Range {
            after: Seq(after),
            before: before.map(Seq),
            newest_first,
        };
        // after, before, newest first, the page's last entry, more
        let table = [
            (0, None, false, Some(19), true),
            (0, None, false, Some(20), false),
            (0, Some(15), false, Some(13), true),
            (0, Some(15), false, Some(14), false),
            (0, Some(99), false, Some(20), false),
            (5, None, true, Some(7), true),
            (5, None, true, Some(6), false),
            (0, None, true, Some(1), false),
            (20, None, false, None, false),
            (9, Some(3), true, None, false),
        ];
        for (after, before, newest_first, last, expected) in table {
            let range = range(after, before, newest_first);
            assert_eq!(more(range, &page(last)), expected, "{range:?} {last:?}");
        }
    }
}
