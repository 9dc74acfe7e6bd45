//! Which index a hot query uses: a plan that scans a table is a defect that only size shows.
//!
//! Plans are asked for in a session like the store's own, on small tables: there a scan is most
//! tempting.

use std::str::FromStr as _;

use godwit_core::conformance::support::{cid, group, keep, say, start};
use godwit_core::cursor::{Feed, Scope};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::fresh;

/// (query, types of its parameters, what its plan must name).
const PLANS: &[(&str, &str, &[&str])] = &[
    (
        include_str!("../../queries/conversations/load.sql"),
        "uuid[], text[], text[], text[]",
        &["conversations_pk", "members_present_by_user", "messages_key_unique"],
    ),
    (
        include_str!("../../queries/messages/append.sql"),
        "uuid[], bigint[], bigint[], bytea[], bigint[], uuid[], bigint[], uuid[], smallint[],
         text[], text[], text[], bigint[], bytea[], bigint[], bigint[], bytea[]",
        &["conversations_pk"],
    ),
    (include_str!("../../queries/conversations/lock.sql"), "uuid[]", &["conversations_pk"]),
    (
        include_str!("../../queries/conversations/of_user.sql"),
        "text, uuid, bigint",
        &["members_present_by_user", "conversations_pk"],
    ),
    (
        include_str!("../../queries/messages/page.sql"),
        "uuid, bigint, bigint, bigint",
        &["messages_pk", "conversations_pk"],
    ),
    (
        include_str!("../../queries/messages/prune_aged.sql"),
        "bigint, bigint",
        &["messages_body_by_age", "messages_pk"],
    ),
    (
        include_str!("../../queries/messages/prune_expired.sql"),
        "bigint, bigint",
        &["messages_body_by_expiry", "messages_pk"],
    ),
    (
        include_str!("../../queries/cursors/behind.sql"),
        "text, text, smallint, uuid, bigint",
        &["members_present_by_user", "conversations_pk", "cursors_pk"],
    ),
    (
        include_str!("../../queries/cursors/advance.sql"),
        "uuid[], text[], text[], smallint[], bigint[]",
        &["cursors_pk"],
    ),
    (
        include_str!("../../queries/cursors/insert.sql"),
        "uuid[], text[], text[], smallint[], bigint[]",
        &["members_pk"],
    ),
    (
        include_str!("../../queries/cursors/stop.sql"),
        "text, text, smallint, uuid",
        &["cursors_pk", "members_present_by_user"],
    ),
    (include_str!("../../queries/sessions/load.sql"), "text[], text[]", &["sessions_pk"]),
    (
        include_str!("../../queries/sessions/close.sql"),
        "text[], text[], bigint[], bigint[]",
        &["sessions_pk"],
    ),
    (include_str!("../../queries/sessions/forget.sql"), "text[], text[]", &["sessions_pk"]),
    (include_str!("../../queries/sessions/expired.sql"), "bigint, bigint", &["sessions_by_expiry"]),
    (include_str!("../../queries/subscriptions/load.sql"), "text[], text[]", &["subscriptions_pk"]),
    (include_str!("../../queries/outbox/oldest.sql"), "bigint", &["outbox_pk"]),
    (include_str!("../../queries/outbox/done.sql"), "bigint[]", &["outbox_pk"]),
];

/// What `connect` tells the planner.
const SESSION: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

#[tokio::test]
async fn hot_queries_use_their_indexes() {
    let fresh = fresh().await;
    group(&fresh.store, cid(1), &["alice", "bob"]).await;
    say(&fresh.store, cid(1), "alice:d", 20).await;
    keep(&fresh.store, &["bob:d"]).await;
    start(&fresh.store, "bob:d", Feed::Log, Scope::All).await;
    let options = PgConnectOptions::from_str(fresh.database.url()).unwrap().options(SESSION);
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("ANALYZE").execute(&mut connection).await.unwrap();
    let mut wrong = Vec::new();
    for (place, (query, types, expected)) in PLANS.iter().enumerate() {
        let nulls = vec!["NULL"; types.split(',').count()].join(", ");
        let prepare = format!("PREPARE plan_{place} ({types}) AS {query}");
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut connection).await.unwrap();
        let explain = format!("EXPLAIN (COSTS off) EXECUTE plan_{place} ({nulls})");
        let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut connection).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        if plan.contains("Seq Scan") || !expected.iter().all(|index| plan.contains(index)) {
            wrong.push(format!("{query}\n{plan}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
