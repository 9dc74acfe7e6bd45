use godwit_core::ids::{Seq, UserId};

use super::*;

#[tokio::test]
async fn conversations_by_latest_activity() {
    let world = World::new().await;
    let bob = world.token("bob:phone");
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(id(&world.create(ADMIN, "group", &["alice", "bob"]).await));
    }
    let direct = id(&world.create(ADMIN, "direct", &["alice", "bob"]).await);
    world.send(&direct, &[b"one", b"two"]).await;
    let named = Act::Message { reply_to: None, mentions: vec![UserId::new("bob").unwrap()] };
    world.act("alice:phone", &direct, named, b"bob?").await;
    let edit = Act::Edit { target: Seq(4), mentions: vec![UserId::new("bob").unwrap()] };
    world.act("alice:phone", &direct, edit, b"bob!").await;

    let item = world.get(&format!("/v1/inbox/{direct}"), &bob).await.ok(200);
    for (field, expected) in [
        ("id", json!(direct)),
        ("kind", json!("direct")),
        ("title", json!("")),
        ("peer", json!("alice")),
        ("members", json!(2)),
        ("head", json!(5)),
        ("role", json!("member")),
        ("unread", json!(3)),
        ("mentions", json!(1)),
        ("read", json!(0)),
        ("muted_until_ms", Value::Null),
        ("archived", json!(false)),
        ("pinned_ms", Value::Null),
        ("marked_unread", json!(false)),
        ("preview_cut", json!(false)),
        ("active_ms", json!(SENT_MS)),
    ] {
        assert_eq!(item[field], expected, "{field}");
    }
    assert_eq!((&item["preview"]["seq"], &item["preview"]["text"]), (&json!(4), &json!("bob!")));
    let receipts = format!("/v1/conversations/{direct}/receipts");
    world.ask("POST", &receipts, &bob, r#"{"read":3}"#).await.ok(200);
    let item = world.get(&format!("/v1/inbox/{direct}"), &bob).await.ok(200);
    assert_eq!(
        (&item["unread"], &item["mentions"], &item["read"]),
        (&json!(1), &json!(1), &json!(3))
    );

    // What is unread in all stands on the first page.
    let page = world.get("/v1/inbox?limit=1", &bob).await.ok(200);
    let badge = json!({"unread": 1, "mentions": 1, "conversations": 1});
    assert_eq!(page["badge"], badge);
    let next = page["next"].as_str().unwrap();
    let page = world.get(&format!("/v1/inbox?limit=1&cursor={next}"), &bob).await.ok(200);
    assert_eq!(page["badge"], Value::Null);

    // The groups were created after the messages' time, so the direct one is last.
    let order = walk(&world, "/v1/inbox?limit=2", &bob, "conversations", "id").await;
    assert_eq!((order.len(), order.last()), (4, Some(&direct)));
    let path = format!("/v1/inbox/{direct}");
    world.ask("PATCH", &path, &bob, r#"{"pinned":true}"#).await.ok(200);
    let order = walk(&world, "/v1/inbox?limit=1", &bob, "conversations", "id").await;
    assert_eq!((order.len(), order.first()), (4, Some(&direct)));
    // Alice's is her own.
    let order = walk(&world, "/v1/inbox?limit=4&user=alice", ADMIN, "conversations", "id").await;
    assert_eq!(order.last(), Some(&direct));
}

#[tokio::test]
async fn marks_are_ones_own() {
    let world = World::new().await;
    let (alice, bob) = (world.token("alice:phone"), world.token("bob:phone"));
    let cid = id(&world.create(&alice, "group", &["bob"]).await);
    let path = format!("/v1/inbox/{cid}");
    let patch = |body| world.ask("PATCH", &path, &bob, body);
    let item = patch(r#"{"muted_until_ms":5,"archived":true,"marked_unread":true}"#).await.ok(200);
    assert_eq!(
        (&item["muted_until_ms"], &item["archived"], &item["marked_unread"]),
        (&json!(5), &json!(true), &json!(true))
    );
    let item = patch(r#"{"muted_until_ms":9007199254740993}"#).await.ok(200);
    assert_eq!(
        (&item["muted_until_ms"], &item["archived"]),
        (&json!(9_007_199_254_740_991_u64), &json!(true))
    );
    let item = patch(r#"{"muted_until_ms":null,"marked_unread":false}"#).await.ok(200);
    assert_eq!((&item["muted_until_ms"], &item["marked_unread"]), (&Value::Null, &json!(false)));

    let shelf = |shelf: &'static str, token: String| {
        let world = &world;
        async move {
            let list = world.get(&format!("/v1/inbox?shelf={shelf}"), &token).await.ok(200);
            list["conversations"].as_array().unwrap().len()
        }
    };
    for (name, of_bob, of_alice) in [("open", 0, 1), ("archived", 1, 0), ("all", 1, 1)] {
        let found = (shelf(name, bob.clone()).await, shelf(name, alice.clone()).await);
        assert_eq!(found, (of_bob, of_alice), "{name}");
    }
    let item =
        world.ask("PATCH", &format!("{path}?user=bob"), ADMIN, r#"{"archived":false}"#).await;
    assert_eq!(item.ok(200)["archived"], json!(false));
}

#[tokio::test]
async fn what_is_refused() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let cid = id(&world.create(&alice, "group", &[]).await);
    let path = format!("/v1/inbox/{cid}");
    for (body, part) in [
        ("{}", "nothing to change"),
        (r#"{"archived":1}"#, "invalid type"),
        (r#"{"muted_until_ms":1.5}"#, "invalid type"),
        (r#"{"pin":true}"#, "unknown field `pin`"),
    ] {
        world.ask("PATCH", &path, &alice, body).await.refused(400, "bad_request", part);
    }
    let eve = world.token("eve:phone");
    let reply = world.ask("PATCH", &path, &eve, r#"{"pinned":true}"#).await;
    reply.refused(404, "not_found", "no conversation");
    world.get(&path, &eve).await.refused(404, "not_found", "no conversation");
    for (path, token, status, code, part) in [
        ("/v1/inbox?shelf=top", &alice, 400, "bad_request", "open, archived or all"),
        ("/v1/inbox?cursor=aW5ib3ggeA", &alice, 400, "bad_request", "next of this list"),
        ("/v1/inbox?user=bob", &alice, 403, "forbidden", "own user"),
        ("/v1/inbox", &ADMIN.to_owned(), 400, "bad_request", "?user="),
        ("/v1/inbox/x", &alice, 400, "bad_request", "22 characters"),
    ] {
        world.get(path, token).await.refused(status, code, part);
    }
}

#[tokio::test]
async fn a_long_preview_is_cut() {
    let world = World::new().await;
    let cid = id(&world.create(ADMIN, "group", &["alice", "bob"]).await);
    let long = vec![b'x'; crate::limits::PREVIEW_BYTES_MAX + 1];
    world.send(&cid, &[&long]).await;
    let item = world.get(&format!("/v1/inbox/{cid}?user=bob"), ADMIN).await.ok(200);
    assert_eq!(item["preview"]["text"].as_str().map(str::len), Some(long.len() - 1));
    assert_eq!(item["preview_cut"], json!(true));
}
