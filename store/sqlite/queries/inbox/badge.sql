-- What is unread in all: the user's newest ?3 conversations that are not archived. Unread and mentions as
-- in inbox/page, at the moment ?2; ?4: entries looked through, ?5: what is gone below them, ?6: mentions
-- counted. Muted ones count for mentions only.
WITH mine AS MATERIALIZED (
    SELECT
        c.id,
        c.number,
        c.head_seq,
        min(max(coalesce(i.read_seq, 0), m.joined_seq), c.head_seq) AS seen_seq,
        coalesce(i.marked_unread, 0) AS marked,
        coalesce(i.muted_until_ms, 0) > ?2 AS muted
    FROM members AS m
    CROSS JOIN conversations AS c ON c.id = m.conversation_id
    LEFT JOIN inbox AS i ON i.conversation_id = m.conversation_id AND i.user_id = m.user_id
    WHERE m.user_id = ?1 AND m.left_seq IS NULL AND coalesce(i.archived, 0) = 0
    ORDER BY c.active_ms DESC
    LIMIT ?3
),

counted AS MATERIALIZED (
    SELECT
        mine.marked,
        mine.muted,
        mine.number - coalesce((
            SELECT r.number FROM messages AS r
            WHERE r.conversation_id = mine.id AND r.seq = mine.seen_seq
        ), 0) - (
            SELECT count(*) FROM messages AS o
            WHERE
                o.conversation_id = mine.id AND o.seq > max(mine.seen_seq, mine.head_seq - ?4)
                AND o.kind = 1
                AND (o.sender = ?1 OR o.body_gone = 1 OR coalesce(o.expires_ms <= ?2, 0))
        ) - (
            SELECT count(*)
            FROM (
                SELECT 1 FROM messages AS g INDEXED BY messages_gone
                WHERE
                    g.conversation_id = mine.id AND g.seq > mine.seen_seq
                    AND g.seq <= mine.head_seq - ?4 AND g.kind = 1 AND g.body_gone = 1
                LIMIT ?5
            )
        ) AS unread,
        (
            SELECT count(*)
            FROM (
                SELECT n.seq FROM mentions AS n
                WHERE n.conversation_id = mine.id AND n.user_id = ?1 AND n.seq > mine.seen_seq
                ORDER BY n.seq DESC
                LIMIT ?6
            ) AS named
            CROSS JOIN messages AS q
                ON q.conversation_id = mine.id AND q.seq = named.seq AND q.body_gone = 0
                AND (q.expires_ms IS NULL OR q.expires_ms > ?2)
        ) AS mentions
    FROM mine
    WHERE mine.head_seq > mine.seen_seq OR mine.marked
)

SELECT
    coalesce(sum(CASE WHEN muted THEN 0 ELSE max(unread, 0) END), 0) AS "unread!: i64",
    coalesce(sum(mentions), 0) AS "mentions!: i64",
    count(*) FILTER (WHERE NOT muted AND (unread > 0 OR marked)) AS "conversations!: i64"
FROM counted
