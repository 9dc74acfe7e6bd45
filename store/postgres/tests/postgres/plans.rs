//! Which index a hot query uses: a plan that scans a table is a defect that only size shows.
//!
//! Plans are asked for in a session like the store's own, on small tables: there a scan is most
//! tempting.

use std::str::FromStr as _;

use godwit_core::change::{Ask, DetailsChange};
use godwit_core::commit::{Act, Send as SendRequest};
use godwit_core::conformance::support::{
    NOW, about, changed, cid, commit, device, group, keep, reached, report, say, send, start, user,
};
use godwit_core::cursor::{Feed, Scope};
use godwit_core::ids::Seq;
use godwit_core::people::People as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use crate::{Fresh, fresh};

/// (query, types of its parameters, what its plan must name).
const PLANS: &[(&str, &str, &[&str])] = &[
    (
        include_str!("../../queries/conversations/load.sql"),
        "uuid[], text[], text[], text[]",
        &["conversations_pk", "members_present_by_user", "messages_key_unique"],
    ),
    (
        include_str!("../../queries/messages/append.sql"),
        "uuid[], bigint[], bigint[], bytea[], bigint[], bytea[], bigint[], bigint[], bigint[], bigint[],
         uuid[], bigint[], uuid[], smallint[], text[], text[], text[], bigint[], bytea[], bigint[],
         bigint[], bigint[], text[], bigint[], bytea[], uuid[], text[], bigint[],
         bigint[], uuid[], text[], bigint[]",
        &["conversations_pk", "inbox_pk"],
    ),
    (
        include_str!("../../queries/messages/targets.sql"),
        "bigint[], uuid[], bigint[], smallint[], text[], bigint[], bigint",
        &["messages_pk", "messages_by_target"],
    ),
    (
        include_str!("../../queries/messages/erase.sql"),
        "uuid[], bigint[]",
        &["messages_pk", "messages_by_target"],
    ),
    (
        include_str!("../../queries/mentions/erase.sql"),
        "uuid[], bigint[]",
        &["messages_pk", "mentions_pk"],
    ),
    (
        include_str!("../../queries/conversations/get.sql"),
        "uuid",
        &["conversations_pk", "members_pk", "details_pk"],
    ),
    (include_str!("../../queries/conversations/lock.sql"), "uuid[]", &["conversations_pk"]),
    (
        include_str!("../../queries/conversations/of_user.sql"),
        "text, uuid, bigint",
        &["members_present_by_user", "conversations_pk", "details_pk"],
    ),
    (
        include_str!("../../queries/messages/page.sql"),
        "uuid, bigint, bigint, bigint, bigint",
        &["messages_pk", "conversations_pk"],
    ),
    (
        include_str!("../../queries/messages/page_back.sql"),
        "uuid, bigint, bigint, bigint, bigint",
        &["messages_pk", "conversations_pk"],
    ),
    (
        include_str!("../../queries/messages/pins.sql"),
        "uuid, bigint",
        &["messages_pins", "messages_pk", "messages_by_target"],
    ),
    (include_str!("../../queries/members/leave.sql"), "uuid, text[], bigint, bigint", &["members_"]),
    (
        include_str!("../../queries/members/left.sql"),
        "text, bigint, bigint",
        &["members_left_by_user", "messages_pk", "details_pk", "members_pk"],
    ),
    (
        include_str!("../../queries/inbox/page.sql"),
        "text, uuid, uuid, boolean, boolean, boolean, bigint, uuid, bigint, bigint, bigint[],
         bigint, bigint, bigint, bigint, bigint",
        &[
            "messages_gone",
            "gone_blocks_pk",
            "members_present_by_user",
            "conversations_pk",
            "inbox_pk",
            "messages_pk",
            "messages_by_target",
            "mentions_pk",
            "details_pk",
        ],
    ),
    (
        include_str!("../../queries/inbox/badge.sql"),
        "text, bigint, bigint, bigint, bigint, bigint, bigint",
        &[
            "messages_gone",
            "gone_blocks_pk",
            "members_present_by_user",
            "conversations_pk",
            "inbox_pk",
            "messages_pk",
            "mentions_pk",
        ],
    ),
    (
        include_str!("../../queries/cursors/mend_all.sql"),
        "uuid, bigint",
        &["conversations_pk", "cursors_pk", "inbox_pk"],
    ),
    (
        include_str!("../../queries/mentions/check.sql"),
        "uuid[], bigint",
        &["messages_by_target", "mentions_pk"],
    ),
    (
        include_str!("../../queries/inbox/load_cursors.sql"),
        "uuid[], text[]",
        &["members_present_by_user", "conversations_pk", "inbox_pk"],
    ),
    (
        include_str!("../../queries/inbox/advance_cursors.sql"),
        "uuid[], text[], bigint[], bigint[], bigint[], bigint[]",
        &["inbox_pk"],
    ),
    (include_str!("../../queries/inbox/hold.sql"), "uuid[], text[]", &["inbox_pk"]),
    (include_str!("../../queries/inbox/receipts.sql"), "uuid", &["inbox_pk", "members_"]),
    (include_str!("../../queries/inbox/leave.sql"), "uuid, text[]", &["inbox_pk"]),
    (include_str!("../../queries/mentions/leave.sql"), "uuid, text[]", &["mentions_pk"]),
    (
        include_str!("../../queries/members/hold.sql"),
        "uuid[], text[]",
        &["members_present_by_user"],
    ),
    (include_str!("../../queries/members/one.sql"), "uuid, text", &["members_"]),
    (
        include_str!("../../queries/members/acquainted.sql"),
        "text, text[]",
        &["members_present_by_user"],
    ),
    (
        include_str!("../../queries/members/stays.sql"),
        "uuid, bigint, text, bigint",
        &["members_pk"],
    ),
    (
        include_str!("../../queries/conversations/peers.sql"),
        "text, text",
        &["members_present_by_user", "conversations_pk"],
    ),
    (include_str!("../../queries/blocks/between.sql"), "text, text", &["blocks_pk"]),
    (include_str!("../../queries/blocks/among.sql"), "text, text[]", &["blocks_pk"]),
    (include_str!("../../queries/blocks/list.sql"), "text, bigint", &["blocks_pk"]),
    (include_str!("../../queries/devices/list.sql"), "text", &["devices_pk"]),
    (
        include_str!("../../queries/devices/forget_unseen.sql"),
        "bigint, bigint",
        &["devices_unseen", "devices_pk"],
    ),
    (include_str!("../../queries/devices/unseen.sql"), "text, text", &["devices_pk"]),
    (
        include_str!("../../queries/revocations/after.sql"),
        "bigint, bigint",
        &["revocations_by_number"],
    ),
    (
        include_str!("../../queries/request_keys/prune.sql"),
        "bigint, bigint",
        &["request_keys_by_age", "request_keys_pk"],
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
        &["members_present_by_user"],
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
const SESSION: [(&str, &str); 6] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("random_page_cost", "0"),
    ("jit", "off"),
];

/// Conversations of some size, in each of which everything has happened once.
async fn ground(fresh: &Fresh) {
    for number in 1..=20 {
        group(&fresh.store, cid(number), &["alice", "bob", &format!("user-{number}")]).await;
        say(&fresh.store, cid(number), "alice:d", 20).await;
        let act = Act::Message { reply_to: None, mentions: vec![user("bob"), user("alice")] };
        let named = SendRequest { act, ..send(cid(number), "alice:d", "named") };
        let about = |key, act| about(cid(number), "alice:d", key, act);
        let target = Seq(1);
        let batch = [
            named,
            about("edit", Act::edit(target)),
            about("react", Act::React { target }),
            about("pin", Act::Pin { target }),
        ];
        commit(&fresh.store, &batch).await;
        let set = DetailsChange { title: Some("x".to_owned()), ..DetailsChange::default() };
        changed(&fresh.store, cid(number), Ask::Details { set, based_on: None }).await;
        for name in ["alice", "bob"] {
            report(&fresh.store, name, &[reached(cid(number), 20, 10)]).await.unwrap();
        }
        let other = user(&format!("user-{number}"));
        fresh.block(&user("alice"), &other, true, NOW).await.unwrap().unwrap();
        let revoked = device(&format!("alice:d{number}"));
        fresh.revoke_device(&revoked, NOW, None).await.unwrap().unwrap();
        fresh.claim_key("caller", &format!("key-{number}"), &[0; 32], NOW).await.unwrap();
    }
    let devices: Vec<String> = (1..20).map(|number| format!("bob:d{number}")).collect();
    for name in &devices {
        keep(&fresh.store, &[name]).await;
        start(&fresh.store, name, Feed::Log, Scope::All).await;
    }
}

#[tokio::test]
async fn hot_queries_use_their_indexes() {
    let fresh = fresh().await;
    ground(&fresh).await;
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
