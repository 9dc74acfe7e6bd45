use super::*;

#[tokio::test]
async fn members_change_and_live_devices_hear_of_it() {
    let world = World::new().await;
    let (alice, bob) = (world.token("alice:phone"), world.token("bob:phone"));
    let carol = world.token("carol:phone");
    let cid = id(&world.create(&alice, "group", &["bob"]).await);
    world.send(&cid, &[b"before carol"]).await;
    let members = format!("/v1/conversations/{cid}/members");
    let add = r#"{"users":["carol","carol"]}"#;

    world.ask("POST", &members, &bob, add).await.refused(403, "forbidden", "only an owner");
    world.ask("POST", &members, &carol, add).await.refused(404, "not_found", "no conversation");
    let none = world.ask("POST", &members, &alice, r#"{"users":[]}"#).await;
    none.refused(400, "bad_request", "empty");
    assert_eq!(std::mem::take(&mut *world.heard.announced.lock()).len(), 1, "the creation");

    let reply = world.ask("POST", &members, &alice, add).await;
    let shown = reply.ok(200);
    assert_eq!((&shown["group_version"], &shown["head"]), (&json!(2), &json!(3)));
    {
        let heard = world.heard.announced.lock();
        assert_eq!(heard.len(), 1);
        assert_eq!((heard[0].entry.seq.0, heard[0].group_version), (3, 2));
    }
    // Carol sees her own entry and what follows, not what was before.
    let messages = format!("/v1/conversations/{cid}/messages");
    let list = world.get(&messages, &carol).await.ok(200);
    assert_eq!(list["messages"].as_array().map(Vec::len), Some(1));
    let entry = &list["messages"][0];
    assert_eq!((&entry["kind"], &entry["seq"]), (&json!("membership"), &json!(3)));
    let change = json!({
        "change": "added", "users": ["carol"], "group_version": 2, "role": "member", "first_tag": 3,
    });
    assert_eq!((&entry["membership"], &entry["body"]), (&change, &json!("")));

    world.ask("POST", &members, &alice, add).await.refused(409, "conflict", "already");
    // Bob may leave but not remove.
    let one = |user: &str| format!("{members}/{user}");
    let reply = world.ask("DELETE", &one("carol"), &bob, "").await;
    reply.refused(403, "forbidden", "anyone may leave");
    assert_eq!(world.ask("DELETE", &one("bob"), &bob, "").await.status, 200);
    world.get(&messages, &bob).await.refused(404, "not_found", "no conversation");
    assert_eq!(world.ask("DELETE", &one("carol"), ADMIN, "").await.status, 200);
    world.ask("DELETE", &one("carol"), ADMIN, "").await.refused(409, "conflict", "already");
    world.ask("DELETE", &one("a%2Fb"), ADMIN, "").await.refused(400, "bad_request", "the path");
    assert_eq!(world.heard.announced.lock().len(), 3);

    let direct = id(&world.create(ADMIN, "direct", &["alice", "bob"]).await);
    let path = format!("/v1/conversations/{direct}/members");
    world.ask("POST", &path, ADMIN, add).await.refused(409, "conflict", "direct");
}

#[tokio::test]
async fn too_many_at_once_are_refused_whole() {
    let world = World::new().await;
    let cid = id(&world.create(ADMIN, "group", &["alice"]).await);
    let path = format!("/v1/conversations/{cid}/members");
    let users = |n: usize| {
        let users: Vec<String> = (0..n).map(|n| format!("u{n}")).collect();
        json!({"users": users}).to_string()
    };
    let reply = world.ask("POST", &path, ADMIN, &users(1001)).await;
    reply.refused(400, "bad_request", "1001 users are named; at most 1000");
    // 100,000 of them are about 800 kB: understood, and refused.
    let reply = world.ask("POST", &path, ADMIN, &users(100_000)).await;
    reply.refused(400, "bad_request", "at most 1000");
    let reply = world.ask("POST", &path, ADMIN, &users(200_000)).await;
    reply.refused(413, "too_large", "1048576 bytes");
    world.ask("POST", &path, ADMIN, &users(1000)).await.ok(200);
    let shown = world.get(&format!("/v1/conversations/{cid}"), ADMIN).await.ok(200);
    assert_eq!(shown["members"].as_array().map(Vec::len), Some(1001));
    assert_eq!(shown["head"], 2);
}

#[tokio::test]
async fn roles_and_the_last_owner() {
    let world = World::new().await;
    let [alice, bob, carol] =
        ["alice:phone", "bob:phone", "carol:phone"].map(|who| world.token(who));
    let cid = id(&world.create(&alice, "group", &["bob", "carol"]).await);
    let one = |user: &str| format!("/v1/conversations/{cid}/members/{user}");
    let transfer = format!("/v1/conversations/{cid}/transfer");
    let role =
        |user: &'static str, role: &'static str| (one(user), json!({"role": role}).to_string());

    let (path, body) = role("bob", "admin");
    world.ask("PATCH", &path, &bob, &body).await.refused(403, "forbidden", "only an owner");
    let shown = world.ask("PATCH", &path, &alice, &body).await.ok(200);
    assert_eq!(shown["entry"]["membership"]["roles"], json!([{"user": "bob", "role": "admin"}]));
    let again = world.ask("PATCH", &path, &alice, &body).await.ok(200);
    assert_eq!((&again["group_version"], again.get("entry")), (&json!(2), None));
    // An admin switches members and read-only ones, no more.
    let (path, body) = role("carol", "read-only");
    world.ask("PATCH", &path, &bob, &body).await.ok(200);
    let fate = world.act("carol:phone", &cid, Act::MESSAGE, b"x").await;
    assert!(matches!(fate, Fate::Forbidden(_)), "{fate:?}");
    let (path, body) = role("carol", "owner");
    world.ask("PATCH", &path, &bob, &body).await.refused(403, "forbidden", "only an owner");
    let (path, body) = role("zoe", "member");
    world.ask("PATCH", &path, &alice, &body).await.refused(404, "not_found", "zoe is no member");
    world.ask("PATCH", &path, &alice, r#"{"role":"king"}"#).await.refused(
        400,
        "bad_request",
        "unknown variant `king`",
    );

    // The last owner can neither go nor step down.
    world.ask("DELETE", &one("alice"), &alice, "").await.refused(409, "last_owner", "transfer");
    let (path, body) = role("alice", "member");
    world.ask("PATCH", &path, &alice, &body).await.refused(409, "last_owner", "transfer");
    let to = |user: &str| json!({"to": user}).to_string();
    world.ask("POST", &transfer, &bob, &to("bob")).await.refused(403, "forbidden", "only an owner");
    world.ask("POST", &transfer, &alice, &to("zoe")).await.refused(404, "not_found", "zoe");
    world.ask("POST", &transfer, &alice, &to("a/b")).await.refused(400, "bad_request", "in to");
    world.ask("POST", &transfer, &alice, &to("alice")).await.refused(409, "conflict", "yours");
    let shown = world.ask("POST", &transfer, &alice, &to("carol")).await.ok(200);
    let roles: Vec<_> = shown["members"].as_array().unwrap().iter().map(|m| &m["role"]).collect();
    assert_eq!(roles, ["admin", "admin", "owner"]);
    world.ask("DELETE", &one("alice"), &alice, "").await.ok(200);
    world.get(&one(""), &carol).await.refused(404, "not_found", "no such path");
}

#[tokio::test]
async fn members_are_listed_with_their_stays() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let cid = id(&world.create(&alice, "group", &["bob", "carol"]).await);
    let path = format!("/v1/conversations/{cid}/members");
    world.ask("DELETE", &format!("{path}/bob"), &alice, "").await.ok(200);
    world
        .ask("POST", &path, &alice, r#"{"users":["bob","dave"],"role":"read-only"}"#)
        .await
        .ok(200);
    let users = walk(&world, &format!("{path}?limit=1"), &alice, "members", "user").await;
    assert_eq!(users, ["alice", "bob", "carol", "dave"]);
    let page = world.get(&format!("{path}?limit=2"), &alice).await.ok(200);
    let bob = &page["members"][1];
    let expected =
        json!({"user": "bob", "role": "read-only", "joined_seq": 2, "visible_seq": 2, "tag": 4});
    assert_eq!(bob, &expected);
    let path = format!("{path}?history=true&limit=2");
    let users = walk(&world, &path, &alice, "members", "user").await;
    assert_eq!(users, ["alice", "bob", "carol", "bob", "dave"]);
    let first = world.get(&path, &alice).await.ok(200);
    assert_eq!(
        (&first["members"][1]["left_seq"], first["members"][0].get("left_seq")),
        (&json!(2), None)
    );

    for (query, part) in [
        ("history=yes", "true or false"),
        ("cursor=AAAA", "next of this list"),
        ("history=true&cursor=bWVtYmVycyBib2I", "next of this list"),
        ("user=bob", "unknown field `user`"),
    ] {
        let path = format!("/v1/conversations/{cid}/members?{query}");
        world.get(&path, &alice).await.refused(400, "bad_request", part);
    }
    let eve = world.token("eve:phone");
    world.get(&path, &eve).await.refused(404, "not_found", "no conversation");
}

#[tokio::test]
async fn whoever_changed_meanwhile_is_noticed() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let created = world.create(&alice, "group", &["bob"]).await;
    let cid = id(&created);
    let path = format!("/v1/conversations/{cid}/members");
    let seen = created.header("etag").unwrap().to_owned();
    let state: &[(&str, &str)] = &[("If-Match", &seen)];
    let add = |user: &str| json!({"users": [user]}).to_string();
    world.ask_with("POST", &path, &alice, state, &add("carol")).await.ok(200);
    let stale = world.ask_with("POST", &path, &alice, state, &add("dave")).await;
    stale.refused(412, "changed", "If-Match");
    assert_eq!(stale.header("etag"), Some("\"2.0\""));
    let gone = format!("{path}/bob");
    world.ask_with("DELETE", &gone, &alice, state, "").await.refused(412, "changed", "If-Match");
    world.ask_with("DELETE", &gone, &alice, &[("If-Match", "\"2.0\"")], "").await.ok(200);
}
