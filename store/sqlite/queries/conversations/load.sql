-- What a batch touches: for each send its conversation's head, the sender's standing as a present
-- member, and what its key was committed as before. ?1: [[offset of the id in ?2, user, device,
-- key], ...].
SELECT
    CAST(j.key AS INTEGER) AS "place!: i64",
    c.head_seq AS "head_seq?: i64",
    c.head_chain AS "head_chain?: Vec<u8>",
    c.group_version AS "group_version?: i64",
    c.number AS "number?: i64",
    c.active_seq AS "active_seq?: i64",
    c.active_ms AS "active_ms?: i64",
    c.kind AS "kind?: i64",
    c.expiry_s AS "expiry_s?: i64",
    m.role AS "role?: i64",
    m.visible_seq AS "visible_seq?: i64",
    m.blocked AS "blocked?: bool",
    e.message_id AS "message_id?: Vec<u8>",
    e.seq AS "seq?: i64",
    e.fingerprint AS "fingerprint?: i64"
FROM json_each(?1) AS j
LEFT JOIN conversations AS c ON c.id = substr(?2, j.value ->> 0, 16)
LEFT JOIN members AS m
    ON m.conversation_id = c.id AND m.user_id = j.value ->> 1 AND m.left_seq IS NULL
LEFT JOIN messages AS e
    ON e.conversation_id = c.id AND e.sender = j.value ->> 1 AND e.device = j.value ->> 2
    AND e.cmid = j.value ->> 3
