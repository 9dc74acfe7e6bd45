-- A page of a user's inbox: the user's conversations between ?2 and ?3 on a shelf (?4: archived or
-- not; null: both), after the place (?5, ?6, ?7, ?8; null: from the top), at most ?9. A conversation or
-- mark that moved since the walk began has a number from ?10 on (null: this is the walk's first page) and
-- stands at its end. Numbers are those of the outbox; a ?10 that was not given yet is from before the file
-- was restored: everything has moved. What costs more than a sorted row is read for the page alone.
-- Unread is a subtraction of numbers, less what nobody can read any more or the user has said: among
-- the newest ?11 entries exactly at the moment ?12, below them what is gone, by blocks, at most ?13.
-- Mentions are counted up to ?14.
WITH now AS MATERIALIZED (
    SELECT coalesce(max(seq), 0) + 1 AS number FROM sqlite_sequence WHERE name = 'outbox'
),

page AS MATERIALIZED (
    SELECT * FROM (
        SELECT
            c.id,
            c.kind,
            c.head_seq,
            c.head_chain,
            c.group_version,
            c.number,
            c.active_seq,
            c.active_ms,
            m.role,
            m.tag,
            m.visible_seq,
            min(max(coalesce(i.read_seq, 0), m.joined_seq), c.head_seq) AS seen_seq,
            coalesce(i.delivered_seq, 0) AS delivered_seq,
            coalesce(i.read_seq, 0) AS read_seq,
            i.muted_until_ms,
            coalesce(i.archived, 0) AS archived,
            i.pinned_ms,
            coalesce(i.marked_unread, 0) AS marked_unread,
            coalesce(
                max(c.moved, coalesce(i.moved, 0)) < ?10 AND ?10 <= (SELECT number FROM now), 1
            ) AS stands
        FROM members AS m
        CROSS JOIN conversations AS c ON c.id = m.conversation_id
        LEFT JOIN inbox AS i ON i.conversation_id = m.conversation_id AND i.user_id = m.user_id
        WHERE
            m.user_id = ?1 AND m.left_seq IS NULL
            AND m.conversation_id >= ?2 AND m.conversation_id <= ?3
            AND (?4 IS NULL OR coalesce(i.archived, 0) = ?4)
    )
    WHERE
        ?5 IS NULL
        OR (
            stands, (stands AND pinned_ms IS NOT NULL), CASE WHEN stands THEN active_ms ELSE 0 END, id
        ) < (?5, ?6, ?7, ?8)
    ORDER BY
        stands DESC, (stands AND pinned_ms IS NOT NULL) DESC,
        CASE WHEN stands THEN active_ms ELSE 0 END DESC, id DESC
    LIMIT ?9
)

SELECT
    page.id AS "id!: Vec<u8>",
    page.kind AS "kind!: i64",
    page.head_seq AS "head_seq!: i64",
    page.head_chain AS "head_chain!: Vec<u8>",
    page.group_version AS "group_version!: i64",
    page.active_ms AS "active_ms!: i64",
    page.role AS "role!: i64",
    page.tag AS "tag!: i64",
    page.visible_seq AS "visible_seq!: i64",
    page.delivered_seq AS "delivered_seq!: i64",
    page.read_seq AS "read_seq!: i64",
    page.muted_until_ms AS "muted_until_ms?: i64",
    page.archived AS "archived!: bool",
    page.pinned_ms AS "pinned_ms?: i64",
    page.marked_unread AS "marked_unread!: bool",
    page.stands AS "stands!: bool",
    (SELECT number FROM now) AS "now_number!: i64",
    coalesce(d.title, '') AS "title!: String",
    CASE page.kind WHEN 1 THEN (
        SELECT o.user_id FROM members AS o
        WHERE o.conversation_id = page.id AND o.left_seq IS NULL AND o.user_id <> ?1
    ) END AS "peer?: String",
    (
        SELECT count(*) FROM members AS o
        WHERE o.conversation_id = page.id AND o.left_seq IS NULL
    ) AS "members!: i64",
    page.number - coalesce((
        SELECT r.number FROM messages AS r
        WHERE r.conversation_id = page.id AND r.seq = page.seen_seq
    ), 0) - (
        SELECT count(*) FROM messages AS o
        WHERE
            o.conversation_id = page.id AND o.seq > max(page.seen_seq, page.head_seq - ?11)
            AND o.kind = 1
            AND (o.sender = ?1 OR o.body_gone = 1 OR coalesce(o.expires_ms <= ?12, 0))
    ) - (
        SELECT count(*) FROM messages AS g INDEXED BY messages_gone
        WHERE
            g.conversation_id = page.id AND g.seq > page.seen_seq
            AND g.seq <= min(page.head_seq - ?11, (page.seen_seq / 1024 + 1) * 1024 - 1)
            AND g.kind = 1 AND g.body_gone = 1
    ) - (
        SELECT coalesce(sum(b.gone), 0)
        FROM (
            SELECT t.gone FROM gone_blocks AS t
            WHERE
                t.conversation_id = page.id AND t.block > page.seen_seq / 1024
                AND t.block < (page.head_seq - ?11 + 1) / 1024
            ORDER BY t.block DESC
            LIMIT ?13
        ) AS b
    ) - (
        SELECT count(*) FROM messages AS u INDEXED BY messages_gone
        WHERE
            u.conversation_id = page.id AND u.seq <= page.head_seq - ?11
            AND u.seq
            >= max(page.seen_seq / 1024 + 1, (page.head_seq - ?11 + 1) / 1024) * 1024
            AND u.kind = 1 AND u.body_gone = 1
    ) AS "unread!: i64",
    (
        SELECT count(*)
        FROM (
            SELECT n.seq FROM mentions AS n
            WHERE n.conversation_id = page.id AND n.user_id = ?1 AND n.seq > page.seen_seq
            ORDER BY n.seq DESC
            LIMIT ?14
        ) AS named
        CROSS JOIN messages AS q
            ON q.conversation_id = page.id AND q.seq = named.seq AND q.body_gone = 0
            AND (q.expires_ms IS NULL OR q.expires_ms > ?12)
    ) AS "mentions!: i64",
    v.seq AS "seq?: i64",
    v.message_id AS "message_id?: Vec<u8>",
    v.kind AS "entry_kind?: i64",
    v.sender AS "sender?: String",
    v.device AS "device?: String",
    v.time_ms AS "time_ms?: i64",
    v.chain AS "chain?: Vec<u8>",
    v.reply_to AS "reply_to?: i64",
    v.target_seq AS "target_seq?: i64",
    CASE WHEN e.seq IS NULL THEN v.mentions ELSE e.mentions END AS "named?: String",
    v.number AS "number?: i64",
    v.expires_ms AS "expires_ms?: i64",
    coalesce(e.body_gone, v.body_gone) AS "body_gone?: bool",
    coalesce(e.body, v.body) AS "body?: Vec<u8>"
FROM page
LEFT JOIN details AS d ON d.conversation_id = page.id
LEFT JOIN messages AS v
    ON v.conversation_id = page.id AND v.seq = page.active_seq AND v.seq > page.visible_seq
LEFT JOIN messages AS e
    ON e.conversation_id = page.id AND e.seq = (
        SELECT max(x.seq) FROM messages AS x INDEXED BY messages_by_target
        WHERE x.conversation_id = page.id AND x.target_seq = page.active_seq AND x.kind = 3
    )
ORDER BY
    page.stands DESC, (page.stands AND page.pinned_ms IS NOT NULL) DESC,
    CASE WHEN page.stands THEN page.active_ms ELSE 0 END DESC, page.id DESC
