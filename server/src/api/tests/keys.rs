//! Idempotency keys and rates: what holds for all resources.

use super::*;

#[tokio::test]
async fn a_repeated_creation_is_the_first_one() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let key: &[(&str, &str)] = &[("Idempotency-Key", "create-1")];
    let body = r#"{"kind":"group","members":["bob"],"title":"One"}"#;
    let post =
        |token, headers, body| world.ask_with("POST", "/v1/conversations", token, headers, body);
    let first = post(&alice, key, body).await;
    let again = post(&alice, key, body).await;
    assert_eq!(again.ok(201), first.ok(201));
    assert_eq!(again.header("location"), first.header("location"));
    // Another device, another key, no key: another conversation.
    let laptop = world.token("alice:laptop");
    let mut ids = vec![
        id(&first),
        id(&post(&laptop, key, body).await),
        id(&post(ADMIN, key, body).await),
        id(&post(&alice, &[("Idempotency-Key", "create-2")], body).await),
        id(&post(&alice, &[], body).await),
        id(&post(&alice, &[], body).await),
    ];
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    // The same key for something else.
    let other = r#"{"kind":"group","members":["bob"],"title":"Two"}"#;
    post(&alice, key, other).await.refused(422, "key_reused", "Idempotency-Key");
    let reply = world.ask_with("PATCH", "/v1/settings", &alice, key, r#"{"share_reads":true}"#);
    reply.await.refused(422, "key_reused", "Idempotency-Key");
    let long = "x".repeat(65);
    for bad in ["", "two words", long.as_str()] {
        let key: &[(&str, &str)] = &[("Idempotency-Key", bad)];
        let path = "/v1/conversations";
        let reply = world.ask_with("POST", path, &alice, key, body).await;
        reply.refused(400, "bad_request", "visible ASCII");
    }
}

#[tokio::test]
async fn a_repeated_change_is_told_what_the_first_did() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let cid = id(&world.create(&alice, "group", &["bob"]).await);
    let members = format!("/v1/conversations/{cid}/members");
    let key: &[(&str, &str)] = &[("Idempotency-Key", "add-1")];
    let add = r#"{"users":["carol"]}"#;
    let first = world.ask_with("POST", &members, &alice, key, add).await.ok(200);
    world.ask("DELETE", &format!("{members}/carol"), &alice, "").await.ok(200);
    // Without the key she would join again; with it, it was done once.
    let again = world.ask_with("POST", &members, &alice, key, add).await.ok(200);
    assert_eq!(again["entry"], first["entry"]);
    assert_eq!((&again["head"], &again["group_version"]), (&json!(3), &json!(3)));
    let users = walk(&world, &format!("{members}?limit=9"), &alice, "members", "user").await;
    assert_eq!(users, ["alice", "bob"]);
    // A refused change uses its key up for itself alone.
    let key: &[(&str, &str)] = &[("Idempotency-Key", "add-2")];
    for _ in 0..2 {
        let reply = world.ask_with("POST", &members, &alice, key, r#"{"users":["bob"]}"#).await;
        reply.refused(409, "conflict", "already");
    }
    // One that is not understood uses up none.
    let key: &[(&str, &str)] = &[("Idempotency-Key", "add-3")];
    let reply = world.ask_with("POST", &members, &alice, key, "{").await;
    reply.refused(400, "bad_request", "JSON");
    world.ask_with("POST", &members, &alice, key, add).await.ok(200);
    // With If-Match too: the key comes first.
    let path = format!("/v1/conversations/{cid}");
    let headers: &[(&str, &str)] = &[("Idempotency-Key", "title-1"), ("If-Match", "\"4.0\"")];
    let patch = || world.ask_with("PATCH", &path, &alice, headers, r#"{"title":"T"}"#);
    let (first, again) = (patch().await.ok(200), patch().await.ok(200));
    assert_eq!(first, again);
}

#[tokio::test]
async fn requests_are_held_to_a_rate() {
    let world = World::with(|config| config.limits.requests_per_s = 3).await;
    let alice = world.token("alice:phone");
    let mut refused = None;
    for _ in 0..50 {
        let reply = world.get("/v1/settings", &alice).await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let refused = refused.expect("too many requests");
    refused.refused(429, "throttled", "too many requests");
    assert!((1..=334).contains(&refused.json()["retry_after_ms"].as_u64().unwrap()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Whoever looks after the server is answered.
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(world.get(path, "").await.status, 200, "{path}");
    }
    // Pages cost like everything else that a stranger may ask for.
    let mut pages = 0;
    while world.get("/docs", "").await.status != 429 {
        pages += 1;
        assert!(pages < 50, "pages are held to no rate");
    }
}
