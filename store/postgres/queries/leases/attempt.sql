-- What a commit does, for a conversation that there is not; to be undone. $1: a place that nobody
-- else tries at this moment.
WITH entry AS (
    INSERT INTO messages (
        conversation_id, seq, message_id, kind, sender, device, cmid, time_ms, chain, number,
        body_gone, body
    )
    VALUES (
        '00000000-0000-0000-0000-000000000000', $1, '00000000-0000-0000-0000-000000000000',
        0, '', '', $1::bigint::text, 0, '', 0, true, ''
    )
),

event AS (
    INSERT INTO outbox (conversation_id, seq)
    VALUES ('00000000-0000-0000-0000-000000000000', $1)
)

UPDATE conversations SET head_seq = head_seq
WHERE id = '00000000-0000-0000-0000-000000000000'
