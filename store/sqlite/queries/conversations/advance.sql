-- Moves heads. ?1: [[offset in ?2, head_seq, group_version], ...]; ?2 holds id and chain.
UPDATE conversations
SET
    head_seq = h.head_seq,
    head_chain = h.head_chain,
    group_version = h.group_version
FROM (
    SELECT
        substr(?2, value ->> 0, 16) AS id,
        value ->> 1 AS head_seq,
        substr(?2, (value ->> 0) + 16, 16) AS head_chain,
        value ->> 2 AS group_version
    FROM json_each(?1)
) AS h
WHERE conversations.id = h.id
