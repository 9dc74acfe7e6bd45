-- Writes a plan, if every head ($1) still stands where the plan found it ($2): entries, events, and
-- the heads after them ($3 place, $4 chain, $5 group version). Nothing is written when one moved.
-- Arrays are unnested as in conversations/load.sql.
-- A head moves with everything that happens to its conversation, so what the plan read besides
-- (members, earlier keys) stands too. Heads are locked in the order of their ids.
WITH heads AS MATERIALIZED (
    SELECT
        unnest($1::uuid []) AS id,
        unnest($2::bigint []) AS found_seq,
        unnest($3::bigint []) AS head_seq,
        unnest($4::bytea []) AS head_chain,
        unnest($5::bigint []) AS group_version
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
        unnest($6::uuid []), unnest($7::bigint []), unnest($8::uuid []), unnest($9::smallint []),
        unnest($10::text []), unnest($11::text []), unnest($12::text []), unnest($13::bigint []),
        unnest($14::bytea []), unnest($15::bigint []), unnest($16::bigint []), false,
        unnest($17::bytea [])
    WHERE (SELECT stands FROM verdict)
),

events AS (
    INSERT INTO outbox (conversation_id, seq)
    SELECT unnest($6::uuid []), unnest($7::bigint [])
    WHERE (SELECT stands FROM verdict)
)

SELECT stands AS "stands!" FROM verdict
