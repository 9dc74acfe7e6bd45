//! A database of the first version, brought up to this one.

use godwit_core::conformance::support::{
    add, changed, checked_log, cid, conversation, group, inbox, remove, say, send,
};
use godwit_core::ids::ConversationId;
use godwit_core::inbox::Inboxes as _;
use godwit_core::store::Store as _;
use godwit_testkit::postgres;
use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgConnection};

use crate::fresh;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Takes away what the migrations after the first have added.
const DOWN: &str = "
    DROP TRIGGER messages_gone_counted ON messages;
    DROP FUNCTION count_gone;
    ALTER TABLE conversations DROP COLUMN moved;
    DROP TABLE gone_blocks;
    DROP TABLE direct_pairs, notice_heads, notices, notice_cursors, invitations, offers;
    ALTER TABLE messages DROP COLUMN fingerprint;
    DROP TABLE revocations, revocation_numbers;
    DROP INDEX messages_gone;
    DROP TABLE details, mentions, inbox, users, devices, blocks, request_keys, leases;
    DROP INDEX messages_by_target, messages_pins;
    ALTER TABLE conversations DROP COLUMN number, DROP COLUMN active_seq, DROP COLUMN active_ms,
        DROP COLUMN next_tag, DROP COLUMN expiry_s;
    ALTER TABLE messages DROP COLUMN number, DROP COLUMN target_seq, DROP COLUMN mentions;
    ALTER TABLE members DROP COLUMN visible_seq, DROP COLUMN tag, DROP COLUMN blocked,
        DROP COLUMN left_ms;
    DELETE FROM _sqlx_migrations WHERE version >= 2";

/// What a schema consists of.
const SCHEMA: &str = "
    SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' '
        || coalesce(column_default, '') AS part
    FROM information_schema.columns
    WHERE table_schema = 'public'
    UNION ALL
    SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL
    SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    ORDER BY part";

#[tokio::test]
async fn what_the_first_version_has_stored_goes_on() {
    let fresh = fresh().await;
    let store = &fresh.store;
    group(store, cid(1), &["alice", "bob"]).await;
    say(store, cid(1), "alice:d", 3).await;
    changed(store, cid(1), add(&["carol", "dan"])).await;
    say(store, cid(1), "carol:d", 2).await;
    changed(store, cid(1), remove(&["bob"])).await;
    changed(store, cid(1), add(&["bob"])).await;
    group(store, cid(2), &["alice", "bob"]).await;
    group(store, cid(3), &["alice", "bob"]).await;
    let late =
        godwit_core::commit::Send { time_ms: 1_900_000_000_000, ..send(cid(3), "bob:d", "a") };
    store.commit(&[late], &godwit_core::policy::Policy::default()).await.unwrap();
    let everything = async || {
        let mut all = Vec::new();
        for number in 1..=3 {
            let stays = store.stays(cid(number), None, 100).await.unwrap();
            all.push((
                conversation(store, cid(number)).await,
                checked_log(store, cid(number)).await,
                stays,
            ));
        }
        (all, inbox(store, "alice").await, inbox(store, "bob").await)
    };
    let before = everything().await;

    let _ = fresh.database.ask(DOWN);
    let first = postgres::empty();
    let mut connection = PgConnection::connect(first.url()).await.unwrap();
    MIGRATIONS.run_to(1, &mut connection).await.unwrap();
    assert_eq!(fresh.database.ask(SCHEMA), first.ask(SCHEMA), "it is the first version's schema");
    assert!(store.migrate_status().await.unwrap().pending > 0);

    assert!(store.migrate_up().await.unwrap().is_current());
    assert_eq!(everything().await, before);
    assert_eq!(store.check_inboxes(None, 9, false).await.unwrap().differences, []);
    let tags = |id: ConversationId| async move {
        let members = conversation(store, id).await.members;
        members.iter().map(|member| (member.user.to_string(), member.tag)).collect::<Vec<_>>()
    };
    changed(store, cid(1), add(&["eve"])).await;
    let expected = [("alice", 1), ("bob", 5), ("carol", 3), ("dan", 4), ("eve", 6)];
    assert_eq!(tags(cid(1)).await, expected.map(|(name, tag)| (name.to_owned(), tag)));
    say(store, cid(1), "eve:d", 1).await;
    assert_eq!(conversation(store, cid(1)).await.number, 6);
}
