-- LIMIT: see conversations/load.
SELECT
    c.id,
    c.kind,
    c.head_seq,
    c.head_chain,
    c.group_version,
    c.number,
    c.active_seq,
    c.active_ms,
    c.expiry_s,
    c.next_tag,
    coalesce(d.history, 1) AS "history!",
    coalesce(d.title, '') AS "title!",
    coalesce(d.title_seq, 0) AS "title_seq!",
    coalesce(d.description, '') AS "description!",
    coalesce(d.description_seq, 0) AS "description_seq!",
    coalesce(d.changed_seq, 0) AS "changed_seq!"
FROM members AS m
INNER JOIN conversations AS c ON c.id = m.conversation_id
LEFT JOIN LATERAL (
    SELECT history, title, title_seq, description, description_seq, changed_seq
    FROM details
    WHERE conversation_id = c.id
    LIMIT 1
) AS d ON true
WHERE m.user_id = $1 AND m.left_seq IS NULL AND ($2::uuid IS NULL OR m.conversation_id > $2)
ORDER BY m.conversation_id
LIMIT $3
