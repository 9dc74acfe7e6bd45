//! A file of the first version, with data, is brought up: what the schema holds now is found right.

use godwit_core::conformance::support::{accepted, add, changed, cid, commit_one, send, user};
use godwit_core::ids::{Seq, UserId};
use godwit_core::inbox::{InboxQuery, Inboxes as _};
use godwit_core::membership::{Details, Stay};
use godwit_core::store::{Range, Store as _};
use godwit_store_sqlite::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

/// What the first version wrote: in one group a long message, carol's joining, bob's leaving and
/// coming back, two more messages (one body is gone); and a pair that said nothing.
const DATA: &str = "
    INSERT INTO conversations VALUES
        (x'01010101010101010101010101010101', 2, 6, zeroblob(16), 4, 1700000000000),
        (x'02020202020202020202020202020202', 1, 0, zeroblob(16), 1, 1700000000777);
    INSERT INTO members (conversation_id, user_id, joined_seq, left_seq, role) VALUES
        (x'01010101010101010101010101010101', 'alice', 0, NULL, 1),
        (x'01010101010101010101010101010101', 'bob', 0, 3, 3),
        (x'01010101010101010101010101010101', 'carol', 1, NULL, 3),
        (x'01010101010101010101010101010101', 'bob', 3, NULL, 3),
        (x'02020202020202020202020202020202', 'zoe', 0, NULL, 1),
        (x'02020202020202020202020202020202', 'adam', 0, NULL, 3);
    CREATE TEMP TABLE log (seq, kind, sender, cmid, reply_to, expires_ms, body_gone, body);
    INSERT INTO log VALUES
        (1, 1, 'alice', 'a', NULL, NULL, 0, zeroblob(200000)),
        (2, 2, 'godwit', '~b', NULL, NULL, 0, CAST('added 2 carol' AS BLOB)),
        (3, 2, 'godwit', '~c', NULL, NULL, 0, CAST('removed 3 bob' AS BLOB)),
        (4, 2, 'godwit', '~d', NULL, NULL, 0, CAST('added 4 bob' AS BLOB)),
        (5, 1, 'bob', 'e', 1, 1700000009999, 0, CAST('hi' AS BLOB)),
        (6, 1, 'carol', 'f', NULL, NULL, 1, x'');
    INSERT INTO messages (
        conversation_id, seq, message_id, kind, sender, device, cmid, time_ms, chain, reply_to,
        expires_ms, body_gone, body
    )
    SELECT
        x'01010101010101010101010101010101', seq, randomblob(16), kind, sender, 'd', cmid,
        1700000000000 + seq, zeroblob(16), reply_to, expires_ms, body_gone, body
    FROM log;
";

async fn first_version() -> (SqliteStore, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("old.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::migrate!().run_to(1, &mut old).await.unwrap();
    sqlx::raw_sql(DATA).execute(&mut old).await.unwrap();
    old.close().await.unwrap();
    let store = SqliteStore::open(&file).await.unwrap();
    assert!(store.migrate_status().await.unwrap().pending > 0);
    assert!(store.migrate_up().await.unwrap().is_current());
    (store, directory)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_of_the_first_version_is_found_right() {
    let (store, _directory) = first_version().await;
    let group = store.conversation(cid(1)).await.unwrap().unwrap();
    assert_eq!((group.number, group.active_seq, group.active_ms), (3, Seq(6), 1_700_000_000_006));
    assert_eq!((group.head_seq, group.group_version, group.next_tag), (Seq(6), 4, 5));
    assert_eq!(group.details, Details::default());
    let pair = store.conversation(cid(2)).await.unwrap().unwrap();
    assert_eq!((pair.number, pair.active_seq, pair.active_ms), (0, Seq(0), 1_700_000_000_777));
    assert_eq!(pair.next_tag, 3);
    let stays = store.stays(cid(1), None, 10).await.unwrap();
    let row = |stay: &Stay| {
        let member = &stay.member;
        let left = stay.left_seq.map(|seq| seq.0);
        (member.user.clone(), member.joined_seq.0, member.visible_seq.0, member.tag, left)
    };
    let expected: [(UserId, u64, u64, u32, Option<u64>); 4] = [
        (user("alice"), 0, 0, 1, None),
        (user("bob"), 0, 0, 2, Some(3)),
        (user("carol"), 1, 1, 3, None),
        (user("bob"), 3, 3, 4, None),
    ];
    assert_eq!(stays.iter().map(row).collect::<Vec<_>>(), expected);
    assert!(stays.iter().all(|stay| !stay.member.blocked));

    let log = store.read_log(cid(1), Range::above(Seq::ZERO), 10, usize::MAX).await.unwrap();
    let log = log.unwrap().entries;
    assert_eq!(log.iter().map(|entry| entry.number).collect::<Vec<_>>(), [1, 1, 1, 1, 2, 3]);
    assert_eq!(log[0].body, vec![0; 200_000]);
    assert_eq!((log[4].reply_to, log[4].expires_ms), (Some(Seq(1)), Some(1_700_000_009_999)));
    assert_eq!(log.iter().filter(|entry| entry.body_gone).count(), 1);
    assert!(log.iter().all(|entry| entry.target.is_none() && entry.mentions.is_empty()));
    assert_eq!(store.check_inboxes(None, 10, false).await.unwrap().differences, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_where_the_first_version_left_off() {
    let (store, _directory) = first_version().await;
    // Keys of the first version are remembered.
    assert!(accepted(commit_one(&store, send(cid(1), "bob:d", "e")).await).2);
    assert_eq!(accepted(commit_one(&store, send(cid(1), "bob:d", "g")).await).1, Seq(7));
    let (_, group) = changed(&store, cid(1), add(&["dan"])).await;
    assert_eq!((group.number, group.member(&user("dan")).unwrap().tag), (4, 5));
    let query = InboxQuery { limit: 10, ..InboxQuery::default() };
    let unread = async |name: &str| store.inbox(&user(name), &query).await.unwrap().items[0].unread;
    // From the join on, less what they said themselves, and 6, which cannot be read any more: alice
    // said 1 of 4, carol 6, bob 5 and 7.
    assert_eq!((unread("alice").await, unread("carol").await, unread("bob").await), (2, 2, 0));
    assert_eq!(store.check_inboxes(None, 10, false).await.unwrap().differences, []);
}
