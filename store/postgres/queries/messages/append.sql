-- Writes a plan, if every head ($1) still stands where the plan found it ($2 place, $3 group
-- version, $4 chain): entries, whom they name, events, and the heads after them ($5 to $10). Nothing
-- is written when one moved. Arrays are unnested as in conversations/load.sql.
-- A head moves, or its group version rises, with everything that happens to its conversation, so
-- what the plan read besides (members, targets, earlier keys) stands too. Heads are locked in the
-- order of their ids, rows of inboxes after them in the order of their keys ($30 to $32: how far senders
-- have read by sending). Told with the verdict: where these cursors stood, and how many messages there
-- were up to what was read, in that order.
WITH heads AS MATERIALIZED (
    SELECT
        unnest($1::uuid []) AS id,
        unnest($2::bigint []) AS found_seq,
        unnest($3::bigint []) AS found_version,
        unnest($4::bytea []) AS found_chain,
        unnest($5::bigint []) AS head_seq,
        unnest($6::bytea []) AS head_chain,
        unnest($7::bigint []) AS group_version,
        unnest($8::bigint []) AS number,
        unnest($9::bigint []) AS active_seq,
        unnest($10::bigint []) AS active_ms
),

locked AS MATERIALIZED (
    SELECT c.id FROM heads AS h
    INNER JOIN conversations AS c
        ON
            c.id = h.id AND c.head_seq = h.found_seq AND c.group_version = h.found_version
            AND c.head_chain = h.found_chain
    ORDER BY c.id
    FOR UPDATE OF c
),

verdict AS MATERIALIZED (
    SELECT count(*) = cardinality($1::uuid []) AS stands FROM locked
),

moved AS (
    UPDATE conversations AS c
    SET
        head_seq = h.head_seq, head_chain = h.head_chain, group_version = h.group_version,
        number = h.number, active_seq = h.active_seq, active_ms = h.active_ms,
        moved = CASE
            WHEN h.active_seq = c.active_seq THEN c.moved
            ELSE pg_current_xact_id()::text::bigint
        END
    FROM heads AS h
    WHERE c.id = h.id AND (SELECT stands FROM verdict)
),

entries AS (
    INSERT INTO messages (
        conversation_id, seq, message_id, kind, sender, device, cmid, time_ms, chain, number,
        reply_to, target_seq, mentions, expires_ms, body_gone, body, fingerprint
    )
    SELECT
        unnest($11::uuid []), unnest($12::bigint []), unnest($13::uuid []),
        unnest($14::smallint []), unnest($15::text []), unnest($16::text []),
        unnest($17::text []), unnest($18::bigint []), unnest($19::bytea []),
        unnest($20::bigint []), unnest($21::bigint []), unnest($22::bigint []),
        unnest($23::text []), unnest($24::bigint []), false, unnest($25::bytea []),
        unnest($29::bigint [])
    WHERE (SELECT stands FROM verdict)
),

-- Mostly none: measured, that costs nothing beside the rest.
named AS (
    INSERT INTO mentions (conversation_id, user_id, seq)
    SELECT unnest($26::uuid []), unnest($27::text []), unnest($28::bigint [])
    WHERE (SELECT stands FROM verdict)
),

events AS (
    INSERT INTO outbox (conversation_id, seq)
    SELECT unnest($11::uuid []), unnest($12::bigint [])
    WHERE (SELECT stands FROM verdict)
),

-- Never back; what is read is not marked unread any more.
read AS (
    INSERT INTO inbox AS i (
        conversation_id, user_id, delivered_seq, read_seq, archived, marked_unread
    )
    SELECT
        unnest($30::uuid []), unnest($31::text []), unnest($32::bigint []),
        unnest($32::bigint []), false, false
    WHERE (SELECT stands FROM verdict)
    ON CONFLICT (conversation_id, user_id) DO UPDATE SET
        delivered_seq = greatest(i.delivered_seq, excluded.delivered_seq),
        read_seq = greatest(i.read_seq, excluded.read_seq),
        marked_unread = i.marked_unread AND excluded.read_seq <= i.read_seq
),

-- The rows as they were when the statement began.
standing AS MATERIALIZED (
    SELECT
        r.place,
        coalesce(i.delivered_seq, 0) AS delivered_seq,
        coalesce(i.read_seq, 0) AS read_seq,
        coalesce(m.number, 0) AS number
    FROM (
        SELECT
            unnest($30::uuid []) AS conversation_id,
            unnest($31::text []) AS user_id,
            generate_series(1, cardinality($30::uuid [])) AS place
    ) AS r
    LEFT JOIN LATERAL (
        SELECT delivered_seq, read_seq FROM inbox
        WHERE conversation_id = r.conversation_id AND user_id = r.user_id
        LIMIT 1
    ) AS i ON true
    LEFT JOIN LATERAL (
        SELECT number FROM messages
        WHERE conversation_id = r.conversation_id AND seq = i.read_seq
        LIMIT 1
    ) AS m ON true
)

SELECT
    stands AS "stands!",
    ARRAY(SELECT delivered_seq FROM standing ORDER BY place) AS "delivered!",
    ARRAY(SELECT read_seq FROM standing ORDER BY place) AS "read!",
    ARRAY(SELECT number FROM standing ORDER BY place) AS "numbers!"
FROM verdict
