//! Which index a hot query uses: a plan that scans a table is a defect that only size shows.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

use crate::fresh;

/// (query, what its plan must name).
const PLANS: &[(&str, &str, &[&str])] = &[
    (
        "conversations/load",
        include_str!("../../queries/conversations/load.sql"),
        &[
            "SEARCH c USING PRIMARY KEY (id=?)",
            "SEARCH m USING PRIMARY KEY (conversation_id=? AND user_id=?)",
            "SEARCH e USING INDEX sqlite_autoindex_messages_2",
        ],
    ),
    (
        "conversations/advance",
        include_str!("../../queries/conversations/advance.sql"),
        &["SEARCH conversations USING PRIMARY KEY (id=?)"],
    ),
    (
        "conversations/of_user",
        include_str!("../../queries/conversations/of_user.sql"),
        &["INDEX members_present_by_user (user_id=? AND conversation_id>?)"],
    ),
    (
        "messages/page",
        include_str!("../../queries/messages/page.sql"),
        &[
            "SEARCH m USING PRIMARY KEY (conversation_id=? AND seq>? AND seq<?)",
            "SEARCH messages USING PRIMARY KEY (conversation_id=? AND seq>?)",
        ],
    ),
    (
        "messages/prune_aged",
        include_str!("../../queries/messages/prune_aged.sql"),
        &[
            "SEARCH messages USING PRIMARY KEY (conversation_id=? AND seq=?)",
            "INDEX messages_body_by_age (time_ms<?)",
        ],
    ),
    (
        "messages/prune_expired",
        include_str!("../../queries/messages/prune_expired.sql"),
        &["INDEX messages_body_by_expiry (expires_ms>? AND expires_ms<?)"],
    ),
    (
        "cursors/behind",
        include_str!("../../queries/cursors/behind.sql"),
        &[
            "INDEX members_present_by_user (user_id=? AND conversation_id>?)",
            "SEARCH c USING PRIMARY KEY (id=?)",
            "SEARCH k USING PRIMARY KEY (conversation_id=? AND user_id=? AND device_id=? AND feed=?)",
        ],
    ),
    (
        "cursors/advance",
        include_str!("../../queries/cursors/advance.sql"),
        &[
            "SEARCH s USING PRIMARY KEY (user_id=? AND device_id=?)",
            "SEARCH m USING PRIMARY KEY (conversation_id=? AND user_id=?)",
        ],
    ),
    (
        "cursors/stop",
        include_str!("../../queries/cursors/stop.sql"),
        &["SEARCH cursors USING PRIMARY KEY (conversation_id=? AND user_id=? AND device_id=?"],
    ),
    (
        "sessions/load",
        include_str!("../../queries/sessions/load.sql"),
        &["SEARCH s USING PRIMARY KEY (user_id=? AND device_id=?)"],
    ),
    (
        "sessions/close",
        include_str!("../../queries/sessions/close.sql"),
        &["SEARCH sessions USING PRIMARY KEY (user_id=? AND device_id=?)"],
    ),
    (
        "sessions/expired",
        include_str!("../../queries/sessions/expired.sql"),
        &["INDEX sessions_by_expiry (<expr><?)"],
    ),
    (
        "subscriptions/load",
        include_str!("../../queries/subscriptions/load.sql"),
        &["SEARCH s USING PRIMARY KEY (user_id=? AND device_id=?)"],
    ),
    (
        "outbox/done",
        include_str!("../../queries/outbox/done.sql"),
        &["SEARCH outbox USING INTEGER PRIMARY KEY"],
    ),
];

#[tokio::test]
async fn hot_queries_use_their_indexes() {
    let fresh = fresh().await;
    let options = SqliteConnectOptions::new().filename(fresh.file());
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let mut wrong = Vec::new();
    for (name, query, expected) in PLANS {
        let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get::<String, _>("detail")).collect();
        let plan = plan.join("\n");
        // A virtual table is JSON's, and a subquery is read whole; a scan of a table of ours is not
        // bounded by what was asked.
        let scans = plan.lines().any(|line| {
            line.starts_with("SCAN ")
                && !["VIRTUAL TABLE", "(subquery", "SUBQUERY"].iter().any(|ok| line.contains(ok))
                && !line.contains("CONSTANT ROW")
        });
        if scans || !expected.iter().all(|part| plan.contains(part)) {
            wrong.push(format!("{name}:\n{plan}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
