-- Writes a plan, if every head ($1) still stands where the plan found it ($2): entries, events, and
-- the heads after them ($3 place, $4 chain, $5 group version). Nothing is written when one moved.
-- A head moves with everything that happens to its conversation, so what the plan read besides
-- (members, earlier keys) stands too. Heads are locked in the order of their ids.
WITH heads AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid [], $2::bigint [], $3::bigint [], $4::bytea [], $5::bigint [])
        AS h (id, found_seq, head_seq, head_chain, group_version)
),

locked AS MATERIALIZED (
    SELECT c.id FROM heads AS h
    INNER JOIN conversations AS c ON c.id = h.id AND c.head_seq = h.found_seq
    ORDER BY c.id
    FOR UPDATE OF c
),

verdict AS MATERIALIZED (
    SELECT count(*) = cardinality($1::uuid []) AS stands FROM locked
),

moved AS (
    UPDATE conversations AS c
    SET head_seq = h.head_seq, head_chain = h.head_chain, group_version = h.group_version
    FROM heads AS h
    WHERE c.id = h.id AND (SELECT stands FROM verdict)
),

entries AS (
    INSERT INTO messages (
        conversation_id, seq, message_id, kind, sender, device, cmid, time_ms, chain, reply_to,
        expires_ms, body_gone, body
    )
    SELECT
        conversation_id, seq, message_id, kind, sender, device, cmid, time_ms, chain, reply_to,
        expires_ms, false, body
    FROM unnest(
        $6::uuid [], $7::bigint [], $8::uuid [], $9::smallint [], $10::text [], $11::text [],
        $12::text [], $13::bigint [], $14::bytea [], $15::bigint [], $16::bigint [], $17::bytea []
    ) AS e (
        conversation_id, seq, message_id, kind, sender, device, cmid, time_ms, chain, reply_to,
        expires_ms, body
    )
    WHERE (SELECT stands FROM verdict)
),

events AS (
    INSERT INTO outbox (conversation_id, seq)
    SELECT conversation_id, seq
    FROM unnest($6::uuid [], $7::bigint []) AS e (conversation_id, seq)
    WHERE (SELECT stands FROM verdict)
)

SELECT stands AS "stands!" FROM verdict
