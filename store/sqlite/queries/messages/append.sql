-- ?1: [[offset in ?2, body's length, seq, kind, sender, device, key, time_ms, reply_to, target_seq,
-- mentions, number, expires_ms, body_gone, fingerprint], ...]; ?2 holds for each entry conversation, message id,
-- chain, body.
INSERT INTO messages (
    conversation_id, seq, message_id, kind, sender, device, cmid, time_ms, chain, reply_to,
    target_seq, mentions, number, expires_ms, body_gone, fingerprint, body
)
SELECT
    substr(?2, value ->> 0, 16),
    value ->> 2,
    substr(?2, (value ->> 0) + 16, 16),
    value ->> 3,
    value ->> 4,
    value ->> 5,
    value ->> 6,
    value ->> 7,
    substr(?2, (value ->> 0) + 32, 16),
    value ->> 8,
    value ->> 9,
    value ->> 10,
    value ->> 11,
    value ->> 12,
    value ->> 13,
    value ->> 14,
    substr(?2, (value ->> 0) + 48, value ->> 1)
FROM json_each(?1)
