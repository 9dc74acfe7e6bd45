//! Which index a hot query uses: a plan that scans a table is a defect that only size shows.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

use crate::fresh;

/// Each: the query, its text, what its plan must name.
macro_rules! plans {
    ($($name:literal: [$($part:literal),* $(,)?])*) => {
        &[$(($name, include_str!(concat!("../../queries/", $name, ".sql")), &[$($part),*])),*]
    };
}

const PLANS: &[(&str, &str, &[&str])] = plans! {
    "conversations/load": [
        "SEARCH c USING PRIMARY KEY (id=?)",
        "SEARCH m USING PRIMARY KEY (conversation_id=? AND user_id=?)",
        "SEARCH e USING INDEX sqlite_autoindex_messages_2",
    ]
    "conversations/advance": ["SEARCH conversations USING PRIMARY KEY (id=?)"]
    "conversations/of_user": [
        "INDEX members_present_by_user (user_id=? AND conversation_id>?)",
        "SEARCH d USING PRIMARY KEY (conversation_id=?)",
    ]
    "conversations/get": [
        "SEARCH c USING PRIMARY KEY (id=?)",
        "SEARCH d USING PRIMARY KEY (conversation_id=?)",
        "SEARCH m USING PRIMARY KEY (conversation_id=?)",
    ]
    "conversations/check": ["SEARCH c USING PRIMARY KEY (id>?)"]
    "members/roles": ["SEARCH members USING PRIMARY KEY (conversation_id=? AND user_id=?)"]
    "members/leave": ["SEARCH members USING PRIMARY KEY (conversation_id=? AND user_id=?)"]
    "members/one": ["(conversation_id=? AND user_id=?"]
    "members/acquainted": [
        "SEARCH mine USING INDEX members_present_by_user (user_id=?)",
        "SEARCH theirs USING PRIMARY KEY (conversation_id=? AND user_id=?)",
    ]
    "members/stays": ["SEARCH members USING PRIMARY KEY (conversation_id=?)"]
    "members/left": [
        "SEARCH members USING INDEX members_left_by_user (user_id=? AND left_ms>?)",
        "SEARCH e USING PRIMARY KEY (conversation_id=? AND seq=?)",
        "SEARCH d USING PRIMARY KEY (conversation_id=?)",
        "SEARCH o USING PRIMARY KEY (conversation_id=? AND user_id=? AND joined_seq>?)",
    ]
    "members/block": [
        "INDEX members_present_by_user (user_id=? AND conversation_id=?)",
        "SEARCH c USING PRIMARY KEY (id=?)",
    ]
    "messages/page": [
        "SEARCH m USING PRIMARY KEY (conversation_id=? AND seq>? AND seq<?)",
        "SEARCH messages USING PRIMARY KEY (conversation_id=? AND seq>? AND seq<?)",
    ]
    "messages/page_back": [
        "SEARCH m USING PRIMARY KEY (conversation_id=? AND seq>? AND seq<?)",
        "SEARCH messages USING PRIMARY KEY (conversation_id=? AND seq>? AND seq<?)",
    ]
    "messages/by_key": ["INDEX sqlite_autoindex_messages_2"]
    "messages/targets": [
        "SEARCH t USING PRIMARY KEY (conversation_id=? AND seq=?)",
        "INDEX messages_by_target (conversation_id=? AND target_seq=? AND kind=? AND sender=?",
    ]
    "messages/erase": [
        "SEARCH messages USING PRIMARY KEY (conversation_id=? AND seq=?)",
        "SEARCH e USING COVERING INDEX messages_by_target (conversation_id=? AND target_seq=? AND kind=?)",
    ]
    "messages/pins": [
        "SEARCH p USING INDEX messages_pins (conversation_id=?)",
        "SEARCH later USING COVERING INDEX messages_by_target (conversation_id=? AND target_seq=?",
        "SEARCH t USING PRIMARY KEY (conversation_id=? AND seq=?)",
    ]
    "messages/mend_numbers": ["SEARCH messages USING PRIMARY KEY (conversation_id=? AND seq=?)"]
    "messages/prune_aged": [
        "SEARCH messages USING PRIMARY KEY (conversation_id=? AND seq=?)",
        "INDEX messages_body_by_age (time_ms<?)",
    ]
    "messages/prune_expired": ["INDEX messages_body_by_expiry (expires_ms>? AND expires_ms<?)"]
    "cursors/behind": [
        "INDEX members_present_by_user (user_id=? AND conversation_id>?)",
        "SEARCH c USING PRIMARY KEY (id=?)",
        "SEARCH k USING PRIMARY KEY (conversation_id=? AND user_id=? AND device_id=? AND feed=?)",
    ]
    "cursors/advance": [
        "SEARCH s USING PRIMARY KEY (user_id=? AND device_id=?)",
        "SEARCH m USING PRIMARY KEY (conversation_id=? AND user_id=?)",
    ]
    "cursors/stop": ["SEARCH cursors USING PRIMARY KEY (conversation_id=? AND user_id=? AND device_id=?"]
    "sessions/load": ["SEARCH s USING PRIMARY KEY (user_id=? AND device_id=?)"]
    "sessions/close": ["SEARCH sessions USING PRIMARY KEY (user_id=? AND device_id=?)"]
    "sessions/expired": ["INDEX sessions_by_expiry (<expr><?)"]
    "subscriptions/load": ["SEARCH s USING PRIMARY KEY (user_id=? AND device_id=?)"]
    "outbox/done": ["SEARCH outbox USING INTEGER PRIMARY KEY"]
    "mentions/erase": ["INDEX mentions_by_message (conversation_id=? AND seq=?)"]
    "mentions/leave": ["SEARCH mentions USING PRIMARY KEY (conversation_id=? AND user_id=?)"]
    "inbox/page": [
        "INDEX members_present_by_user (user_id=? AND conversation_id>? AND conversation_id<?)",
        "SEARCH c USING PRIMARY KEY (id=?)",
        "SEARCH i USING PRIMARY KEY (conversation_id=? AND user_id=?)",
        "SEARCH v USING PRIMARY KEY (conversation_id=? AND seq=?)",
        "SEARCH e USING PRIMARY KEY (conversation_id=? AND seq=?)",
        "SEARCH x USING COVERING INDEX messages_by_target (conversation_id=? AND target_seq=? AND kind=?)",
        "SEARCH r USING PRIMARY KEY (conversation_id=? AND seq=?)",
        "SEARCH o USING PRIMARY KEY (conversation_id=? AND seq>?)",
        "SEARCH n USING PRIMARY KEY (conversation_id=? AND user_id=? AND seq>?)",
        "SEARCH q USING PRIMARY KEY (conversation_id=? AND seq=?)",
        "SEARCH g USING COVERING INDEX messages_gone (conversation_id=? AND seq>? AND seq<?)",
        "SEARCH t USING PRIMARY KEY (conversation_id=? AND block>? AND block<?)",
        "SEARCH u USING COVERING INDEX messages_gone (conversation_id=? AND seq>? AND seq<?)",
    ]
    "inbox/badge": [
        "INDEX members_present_by_user (user_id=?)",
        "SEARCH c USING PRIMARY KEY (id=?)",
        "SEARCH i USING PRIMARY KEY (conversation_id=? AND user_id=?)",
        "SEARCH r USING PRIMARY KEY (conversation_id=? AND seq=?)",
        "SEARCH o USING PRIMARY KEY (conversation_id=? AND seq>?)",
        "SEARCH n USING PRIMARY KEY (conversation_id=? AND user_id=? AND seq>?)",
        "SEARCH q USING PRIMARY KEY (conversation_id=? AND seq=?)",
        "SEARCH g USING COVERING INDEX messages_gone (conversation_id=? AND seq>? AND seq<?)",
        "SEARCH t USING PRIMARY KEY (conversation_id=? AND block>? AND block<?)",
        "SEARCH u USING COVERING INDEX messages_gone (conversation_id=? AND seq>? AND seq<?)",
    ]
    "inbox/standing": [
        "SEARCH i USING PRIMARY KEY (conversation_id=? AND user_id=?)",
        "SEARCH r USING PRIMARY KEY (conversation_id=? AND seq=?)",
    ]
    "inbox/mend_all": ["SEARCH inbox USING PRIMARY KEY (conversation_id>?)"]
    "mentions/check": ["COVERING INDEX messages_by_target (conversation_id=? AND target_seq=? AND kind=?)"]
    "inbox/load_cursors": [
        "SEARCH c USING PRIMARY KEY (id=?)",
        "SEARCH m USING PRIMARY KEY (conversation_id=? AND user_id=?)",
        "SEARCH i USING PRIMARY KEY (conversation_id=? AND user_id=?)",
    ]
    "inbox/receipts": [
        "SEARCH i USING PRIMARY KEY (conversation_id=?)",
        "SEARCH m USING PRIMARY KEY (conversation_id=? AND user_id=?)",
    ]
    "inbox/mend": ["SEARCH inbox USING PRIMARY KEY (conversation_id=?)"]
    "blocks/between": ["SEARCH blocks USING PRIMARY KEY (user_id=? AND other_id=?)"]
    "blocks/among": ["SEARCH b USING PRIMARY KEY (user_id=? AND other_id=?)"]
    "devices/forget_unseen": ["INDEX devices_unseen ("]
    "devices/unseen": ["SEARCH devices USING PRIMARY KEY (user_id=?)"]
    "revocations/after": ["INDEX revocations_by_number (number>?)"]
    "request_keys/prune": [
        "SEARCH request_keys USING PRIMARY KEY (caller=? AND key=?)",
        "INDEX request_keys_by_age (created_ms<?)",
    ]
};

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
        let scans = plan.lines().any(|line| scans_a_table(line, &plan));
        if scans || !expected.iter().all(|part| plan.contains(part)) {
            wrong.push(format!("{name}:\n{plan}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// A virtual table is JSON's, and a subquery is read whole; a scan of a table of ours is not bounded
/// by what was asked.
fn scans_a_table(line: &str, plan: &str) -> bool {
    let Some(name) = line.strip_prefix("SCAN ") else { return false };
    let made = ["MATERIALIZE ", "CO-ROUTINE "];
    let is_made = |line: &str| made.iter().any(|how| line.strip_prefix(how) == Some(name));
    let materialized = plan.lines().any(is_made);
    // It has a row for each table that counts its ids: one.
    let whole = ["VIRTUAL TABLE", "(subquery", "SUBQUERY", "CONSTANT ROW", "sqlite_sequence"];
    !materialized && !whole.iter().any(|ok| name.contains(ok))
}
