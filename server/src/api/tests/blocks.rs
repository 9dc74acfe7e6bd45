use godwit_core::ids::UserId;

use super::*;

#[tokio::test]
async fn who_is_blocked_cannot_reach_the_blocker() {
    let world = World::new().await;
    let (alice, bob) = (world.token("alice:phone"), world.token("bob:phone"));
    let direct = id(&world.create(&bob, "direct", &["alice"]).await);
    world.signals();
    assert_eq!(world.ask("PUT", "/v1/blocks/bob", &alice, "").await.ok(204), Value::Null);
    world.ask("PUT", "/v1/blocks/bob", &alice, "").await.ok(204);
    let changed = |name| Signal::UserChanged { user: UserId::new(name).unwrap() };
    assert_eq!(world.signals()[..2], [changed("alice"), changed("bob")]);
    let fate = world.act("bob:phone", &direct, Act::MESSAGE, b"hello?").await;
    assert!(matches!(fate, Fate::Forbidden(_)), "{fate:?}");
    assert_eq!(id(&world.create(&bob, "direct", &["alice"]).await), direct);
    world.create(&bob, "group", &["alice"]).await.refused(403, "forbidden", "cannot be asked");
    let group = id(&world.create(&bob, "group", &["carol"]).await);
    let members = format!("/v1/conversations/{group}/members");
    let reply = world.ask("POST", &members, &bob, r#"{"users":["alice"]}"#).await;
    reply.refused(403, "forbidden", "cannot be asked");

    world.ask("DELETE", "/v1/blocks/bob", &alice, "").await.ok(204);
    world.ask("DELETE", "/v1/blocks/bob", &alice, "").await.ok(204);
    let fate = world.act("bob:phone", &direct, Act::MESSAGE, b"hello!").await;
    assert!(matches!(fate, Fate::Accepted { .. }), "{fate:?}");
}

#[tokio::test]
async fn blocks_come_by_pages() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    for user in ["zoe", "bob", "mallory"] {
        let path = format!("/v1/blocks/{user}?user=alice");
        world.ask("PUT", &path, ADMIN, "").await.ok(204);
    }
    let users = walk(&world, "/v1/blocks?limit=1", &alice, "blocks", "").await;
    assert_eq!(users, ["bob", "mallory", "zoe"]);
    for (method, path, status, code, part) in [
        ("PUT", "/v1/blocks/alice", 400, "bad_request", "himself"),
        ("PUT", "/v1/blocks/a%20b", 400, "bad_request", "the path"),
        ("PUT", "/v1/blocks/bob?user=carol", 403, "forbidden", "own user"),
        ("DELETE", "/v1/blocks/bob?user=carol", 403, "forbidden", "own user"),
        ("GET", "/v1/blocks?cursor=x", 400, "bad_request", "next of this list"),
        ("POST", "/v1/blocks/bob", 405, "method_not_allowed", "/docs"),
    ] {
        world.ask(method, path, &alice, "").await.refused(status, code, part);
    }
}
