-- What a batch's sends are about, and how many entries of the send's kind (up to ?3) its sender has
-- made about it since a time; how many of them were without a body.
-- ?1: [[offset of the conversation in ?2, place in the batch, target, kind, sender, since], ...].
SELECT
    j.value ->> 1 AS "place!: i64",
    t.kind AS "kind!: i64",
    t.sender AS "sender!: String",
    t.time_ms AS "time_ms!: i64",
    t.expires_ms AS "expires_ms?: i64",
    t.body_gone AS "body_gone!: bool",
    (
        SELECT count(*) FROM (
            SELECT 1 FROM messages AS e
            WHERE
                e.conversation_id = t.conversation_id AND e.target_seq = t.seq
                AND e.kind = j.value ->> 3 AND e.sender = j.value ->> 4
                AND e.time_ms >= j.value ->> 5
            LIMIT ?3
        ) AS made
    ) AS "repeats!: i64",
    (
        SELECT count(*) FROM (
            SELECT length(e.body) = 0 AND e.body_gone = 0 AS emptied FROM messages AS e
            WHERE
                e.conversation_id = t.conversation_id AND e.target_seq = t.seq
                AND e.kind = j.value ->> 3 AND e.sender = j.value ->> 4
                AND e.time_ms >= j.value ->> 5
            LIMIT ?3
        ) AS made
        WHERE made.emptied
    ) AS "emptied!: i64",
    t.mentions IS NOT NULL OR EXISTS (
        SELECT 1 FROM messages AS e INDEXED BY messages_by_target
        WHERE
            e.conversation_id = t.conversation_id AND e.target_seq = t.seq AND e.kind = 3
            AND e.mentions IS NOT NULL
    ) AS "named!: bool"
FROM json_each(?1) AS j
CROSS JOIN messages AS t
    ON t.conversation_id = substr(?2, j.value ->> 0, 16) AND t.seq = j.value ->> 2
