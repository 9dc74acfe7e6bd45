use super::*;

async fn group(world: &World) -> (String, String) {
    let cid = id(&world.create(ADMIN, "group", &["alice", "bob", "carol"]).await);
    world.send(&cid, &[b"one", b"two", b"three"]).await;
    let path = format!("/v1/conversations/{cid}/receipts");
    (cid, path)
}

#[tokio::test]
async fn read_by_some_of_all() {
    let world = World::new().await;
    let (_, path) = group(&world).await;
    let [alice, bob, carol] =
        ["alice:phone", "bob:phone", "carol:phone"].map(|who| world.token(who));
    assert_eq!(
        world.get(&path, &alice).await.ok(200),
        json!({"receipts": [], "members": 3, "next": null})
    );
    let own = world.ask("POST", &path, &bob, r#"{"delivered":3,"read":2}"#).await.ok(200);
    assert_eq!(own, json!({"delivered": 3, "read": 2}));
    // Never back; reading is delivery.
    let own = world.ask("POST", &path, &bob, r#"{"read":1}"#).await.ok(200);
    assert_eq!(own, json!({"delivered": 3, "read": 2}));
    let own = world.ask("POST", &path, &carol, r#"{"read":3}"#).await.ok(200);
    assert_eq!(own, json!({"delivered": 3, "read": 3}));
    world.ask("PATCH", "/v1/settings", &carol, r#"{"share_reads":false}"#).await.ok(200);

    let shown = |reads: Value| {
        json!([
            {"user": "bob", "delivered": 3, "read": 2},
            {"user": "carol", "delivered": 3, "read": reads},
        ])
    };
    let seen = world.get(&path, &alice).await.ok(200);
    assert_eq!(seen["receipts"], shown(Value::Null));
    // One's own is one's own.
    let seen = world.get(&path, &carol).await.ok(200);
    assert_eq!(seen["receipts"], shown(json!(3)));
    let users = walk(&world, &format!("{path}?limit=1"), &alice, "receipts", "user").await;
    assert_eq!(users, ["bob", "carol"]);
    let told = world.signals().iter().filter(|s| matches!(s, Signal::Receipt { .. })).count();
    assert!(told >= 2, "the others are told");
}

#[tokio::test]
async fn what_cannot_have_been_read() {
    let world = World::new().await;
    let (cid, path) = group(&world).await;
    let bob = world.token("bob:phone");
    for (token, body, status, code, part) in [
        (&bob, r#"{"read":5}"#, 400, "bad_request", "ends at 4"),
        (&bob, r#"{"delivered":5}"#, 400, "bad_request", "ends at 4"),
        (&bob, "{}", 400, "bad_request", "nothing to report"),
        (&bob, r#"{"read":-1}"#, 400, "bad_request", "invalid value"),
        (&bob, r#"{"seen":1}"#, 400, "bad_request", "unknown field"),
        (&ADMIN.to_owned(), r#"{"read":1}"#, 403, "forbidden", "an operator has no cursors"),
        (&world.token("eve:phone"), r#"{"read":1}"#, 404, "not_found", "no conversation"),
    ] {
        world.ask("POST", &path, token, body).await.refused(status, code, part);
    }
    // Whoever has left reports nothing, and sees nothing.
    let gone = format!("/v1/conversations/{cid}/members/bob");
    world.ask("DELETE", &gone, &bob, "").await.ok(200);
    let reply = world.ask("POST", &path, &bob, r#"{"read":1}"#).await;
    reply.refused(404, "not_found", "no conversation");
    world.get(&path, &bob).await.refused(404, "not_found", "no conversation");
    let reply = world.get(&format!("{path}?cursor=!"), ADMIN).await;
    reply.refused(400, "bad_request", "next of this list");
}
