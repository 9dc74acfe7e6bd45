-- The conversation with its present members as arrays side by side: one row, one moment. Without a
-- row of details all is default (history 1: from the join on). left_seq is never 0: written like
-- this, members are found by their conversation whatever the planner believes of the tables' sizes.
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
    coalesce(d.changed_seq, 0) AS "changed_seq!",
    m.users AS "users?",
    m.roles AS "roles?",
    m.joined_seqs AS "joined_seqs?",
    m.visible_seqs AS "visible_seqs?",
    m.tags AS "tags?",
    m.blocked AS "blocked?"
FROM conversations AS c
LEFT JOIN details AS d ON d.conversation_id = c.id
CROSS JOIN LATERAL (
    SELECT
        array_agg(o.user_id) AS users,
        array_agg(o.role) AS roles,
        array_agg(o.joined_seq) AS joined_seqs,
        array_agg(o.visible_seq) AS visible_seqs,
        array_agg(o.tag) AS tags,
        array_agg(o.blocked) AS blocked
    FROM (
        SELECT user_id, role, joined_seq, visible_seq, tag, blocked FROM members
        WHERE conversation_id = c.id AND coalesce(left_seq, 0) = 0
        ORDER BY user_id
    ) AS o
) AS m
WHERE c.id = $1
