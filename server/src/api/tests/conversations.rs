use super::*;

#[tokio::test]
async fn who_creates_what() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let roles = |reply: &Reply| {
        let found = reply.json();
        let members = found["members"].as_array().unwrap().clone();
        let text =
            |m: &Value| format!("{}:{}", m["user"].as_str().unwrap(), m["role"].as_str().unwrap());
        members.iter().map(text).collect::<Vec<_>>().join(" ")
    };
    let reply = world.create(ADMIN, "direct", &["bob", "alice"]).await;
    assert_eq!(roles(&reply), "alice:member bob:member");
    let place = format!("/v1/conversations/{}", id(&reply)).to_lowercase();
    assert_eq!(reply.header("location"), Some(place.as_str()));
    assert_eq!(reply.header("etag"), Some("\"1.0\""));
    // Between two there is one, and with oneself.
    for (token, members) in [(&alice, &["bob"][..]), (&alice, &["alice", "bob"])] {
        let again = world.create(token, "direct", members).await;
        assert_eq!((again.status, id(&again)), (200, id(&reply)));
        assert_eq!(roles(&again), "alice:member bob:member");
    }
    let notes = world.create(&alice, "direct", &[]).await;
    assert_eq!((notes.status, roles(&notes).as_str()), (201, "alice:member"));
    let again = world.create(ADMIN, "direct", &["alice"]).await;
    assert_eq!((again.status, id(&again)), (200, id(&notes)));
    let peer = world.get("/v1/conversations?peer=bob", &alice).await.ok(200);
    assert_eq!(peer["conversations"][0]["id"], serde_json::json!(id(&reply)));
    let reply = world.create(&alice, "group", &["zoe", "bob", "zoe"]).await;
    assert_eq!(roles(&reply), "alice:owner bob:member zoe:member");
    let reply = world.create(ADMIN, "group", &["zoe", "bob"]).await;
    assert_eq!(roles(&reply), "bob:member zoe:owner");
    assert_eq!((&reply.json()["head"], &reply.json()["group_version"]), (&json!(1), &json!(1)));
    let path = format!("/v1/conversations/{}", id(&reply));
    let shown = world.get(&path, ADMIN).await;
    assert_eq!((shown.json(), shown.header("etag")), (reply.json(), Some("\"1.0\"")));
    world.get(&path, &alice).await.refused(404, "not_found", "member");
}

#[tokio::test]
async fn creation_is_refused_with_what_and_where() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let long = format!(r#"{{"kind":"group","members":["a"],"title":"{}"}}"#, "x".repeat(129));
    for (body, part) in [
        ("", "the body is empty"),
        ("{", "line 1 column"),
        ("[]", "invalid"),
        (r#"{"kind":"direct"}"#, "missing field `members`"),
        (r#"{"kind":"club","members":[]}"#, "unknown variant `club`"),
        (r#"{"kind":"group","members":[],"titel":"x"}"#, "unknown field `titel`"),
        (r#"{"kind":"group","members":[]}"#, "members is empty"),
        (r#"{"kind":"group","members":["ok","a/#"]}"#, "members[1] may hold only"),
        (r#"{"kind":"group","members":["ok",""]}"#, "members[1] must have 1 to 64"),
        (r#"{"kind":"direct","members":[]}"#, "between two"),
        (r#"{"kind":"direct","members":["a","b","c"]}"#, "between two"),
        (
            r#"{"kind":"direct","members":["a","b"],"title":"x"}"#,
            "a direct conversation has no title",
        ),
        (
            r#"{"kind":"direct","members":["a","b"],"history":"all"}"#,
            "a direct conversation has no",
        ),
        (r#"{"kind":"group","members":["a"],"history":"some"}"#, "unknown variant `some`"),
        (r#"{"kind":"group","members":["a"],"title":"a\nb"}"#, "control characters"),
        (r#"{"kind":"group","members":["a"],"title":"   "}"#, "the title is blank"),
        (r#"{"kind":"group","members":["a"],"description":" \n"}"#, "the description is blank"),
        (r#"{"kind":"group","members":["a"],"expiry_s":99999999}"#, "at most 31622400 seconds"),
        (r#"{"kind":"group","members":["a"],"expiry_s":-1}"#, "invalid value"),
        (long.as_str(), "129 characters, at most 128"),
    ] {
        let reply = world.ask("POST", "/v1/conversations", ADMIN, body).await;
        reply.refused(400, "bad_request", part);
    }
    let reply = world.create(&alice, "direct", &["bob", "carol"]).await;
    reply.refused(400, "bad_request", "not of 3");
    let many: Vec<String> = (0..10_001).map(|n| format!("u{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let reply = world.create(ADMIN, "group", &many).await;
    reply.refused(400, "bad_request", "at most 10000 members, not 10001");
    let large = "x".repeat(crate::limits::HTTP_BODY_BYTES_MAX + 1);
    let reply = world.ask("POST", "/v1/conversations", ADMIN, &large).await;
    reply.refused(413, "too_large", "bytes");
}

#[tokio::test]
async fn a_group_begins_with_its_details() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let body = r#"{"kind":"group","members":["bob"],"title":"Trip","description":"a\nb","history":"all","expiry_s":60}"#;
    let reply = world.ask("POST", "/v1/conversations", &alice, body).await;
    let shown = reply.ok(201);
    for (field, expected) in [
        ("title", json!("Trip")),
        ("description", json!("a\nb")),
        ("history", json!("all")),
        ("expiry_s", json!(60)),
        ("details_seq", json!(0)),
        ("messages", json!(0)),
        ("kind", json!("group")),
    ] {
        assert_eq!(shown[field], expected, "{field}");
    }
    assert_eq!(shown["chain"].as_str().map(str::len), Some(16));
    // All of the history is for newcomers too.
    let cid = id(&reply);
    world.send(&cid, &[b"before carol"]).await;
    let members = format!("/v1/conversations/{cid}/members");
    world.ask("POST", &members, &alice, r#"{"users":["carol"]}"#).await.ok(200);
    let carol = world.token("carol:phone");
    let list = world.get(&format!("/v1/conversations/{cid}/messages"), &carol).await.ok(200);
    let created = &list["messages"][0];
    let told = json!({
        "change": "created", "users": ["alice", "bob"], "group_version": 1, "first_tag": 1,
        "roles": [{"user": "alice", "role": "owner"}, {"user": "bob", "role": "member"}],
    });
    assert_eq!((&created["seq"], &created["from"]), (&json!(1), &json!("alice")));
    assert_eq!((&created["membership"], &created["details"]["title"]), (&told, &json!("Trip")));
    let first = &list["messages"][1];
    // The tests' time is long ago, so its minute is over.
    assert_eq!((&first["seq"], &first["body_gone"]), (&json!(2), &json!(true)));
    assert_eq!(first["expires_ms"], json!(SENT_MS + 60_000));
}

#[tokio::test]
async fn tokens_are_needed_and_judged() {
    let world = World::new().await;
    let path = "/v1/conversations/AAAAAAAAAAAAAAAAAAAAAA";
    for (token, part) in
        [("", "send the header"), ("nonsense", "no token"), ("an-admin-token-for-test", "no token")]
    {
        let reply = world.get(path, token).await;
        reply.refused(401, "unauthorized", part);
        assert_eq!(reply.header("www-authenticate"), Some("bearer"));
    }
    let basic = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic YTpi\r\n\r\n"
    );
    world.raw(basic.as_bytes()).await.refused(401, "unauthorized", "Bearer");
    world.get(path, ADMIN).await.refused(404, "not_found", "no conversation");
    world.get("/v1/conversations/x", ADMIN).await.refused(400, "bad_request", "22 characters");
}

#[tokio::test]
async fn ones_own_conversations_come_by_pages() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(id(&world.create(&alice, "group", &["bob"]).await));
    }
    id(&world.create(ADMIN, "group", &["bob"]).await);
    let mut found = walk(&world, "/v1/conversations?limit=2", &alice, "conversations", "id").await;
    let admin = walk(&world, "/v1/conversations?limit=9&user=alice", ADMIN, "conversations", "id");
    assert_eq!(found, admin.await);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let one = world.get("/v1/conversations?limit=1", &alice).await.ok(200);
    assert!(one["conversations"][0].get("members").is_none());
    for (path, token, status, code, part) in [
        ("/v1/conversations", ADMIN, 400, "bad_request", "?user="),
        ("/v1/conversations?user=bob", &alice, 403, "forbidden", "own user"),
        ("/v1/conversations?user=b%2F", ADMIN, 400, "bad_request", "user of the query"),
        ("/v1/conversations?cursor=x", &alice, 400, "bad_request", "next of this list"),
        ("/v1/conversations?limit=-1", &alice, 400, "bad_request", "limit in the query"),
        ("/v1/conversations?pages=1", &alice, 400, "bad_request", "unknown field `pages`"),
    ] {
        world.get(path, token).await.refused(status, code, part);
    }
}

#[tokio::test]
async fn details_change_by_the_last_writer_or_only_as_seen() {
    let world = World::new().await;
    let (alice, bob) = (world.token("alice:phone"), world.token("bob:phone"));
    let cid = id(&world.create(&alice, "group", &["bob"]).await);
    let path = format!("/v1/conversations/{cid}");
    let patch = |token, headers, body| world.ask_with("PATCH", &path, token, headers, body);

    let first = patch(&alice, &[], r#"{"title":"One","expiry_s":60}"#).await;
    let shown = first.ok(200);
    assert_eq!(
        (&shown["title"], &shown["details_seq"], &shown["head"]),
        (&json!("One"), &json!(2), &json!(2))
    );
    assert_eq!(shown["group_version"], json!(1), "details are no change of members");
    assert_eq!((&shown["entry"]["seq"], &shown["entry"]["kind"]), (&json!(2), &json!("details")));
    assert_eq!(first.header("etag"), Some("\"1.2\""));
    assert_eq!(world.heard.announced.lock().len(), 2);

    // A writer that knew of nothing overwrites, and the entry names what was lost.
    let second = patch(&alice, &[], r#"{"title":"Two","based_on":0}"#).await.ok(200);
    let details = json!({"title": "Two", "replaces": [2], "concurrent": true});
    assert_eq!(second["entry"]["details"], details);
    // Whoever names what was seen is refused instead, with what is there.
    let stale = patch(&alice, &[("If-Match", "\"1.2\"")], r#"{"title":"Three"}"#).await;
    stale.refused(412, "changed", "If-Match");
    assert_eq!(stale.header("etag"), Some("\"1.3\""));
    let strange = patch(&alice, &[("If-Match", "\"x\"")], r#"{"title":"Three"}"#).await;
    strange.refused(412, "changed", "If-Match");
    assert_eq!(strange.header("etag"), Some("\"1.3\""));
    patch(&alice, &[("If-Match", "1.3")], "{}").await.refused(400, "bad_request", "in quotes");
    let third = patch(&alice, &[("If-Match", "\"1.3\"")], r#"{"title":"Three","expiry_s":null}"#);
    let third = third.await.ok(200);
    assert_eq!((&third["title"], &third["expiry_s"]), (&json!("Three"), &Value::Null));

    // The same again is no change and no entry.
    let same = patch(&alice, &[], r#"{"title":"Three"}"#).await.ok(200);
    assert_eq!((&same["head"], same.get("entry")), (&json!(4), None));
    assert_eq!(world.heard.announced.lock().len(), 4);

    for (token, body, status, code, part) in [
        (&bob, r#"{"title":"Mine"}"#, 403, "forbidden", "owner or an admin"),
        (&world.token("eve:phone"), r#"{"title":"Mine"}"#, 404, "not_found", "no conversation"),
        (&alice, "{}", 400, "bad_request", "nothing to change"),
        (&alice, r#"{"based_on":1}"#, 400, "bad_request", "nothing to change"),
        (&alice, r#"{"title":5}"#, 400, "bad_request", "invalid type"),
        (&alice, r#"{"title":"x","based_on":99}"#, 400, "bad_request", "beyond the head"),
        (&alice, r#"{"kind":"direct"}"#, 400, "bad_request", "unknown field `kind`"),
    ] {
        patch(token, &[], body).await.refused(status, code, part);
    }
    let direct = id(&world.create(&alice, "direct", &["bob"]).await);
    let direct = format!("/v1/conversations/{direct}");
    let reply = world.ask("PATCH", &direct, &alice, r#"{"title":"x"}"#).await;
    reply.refused(400, "bad_request", "a direct conversation has no title");
    world.ask("PATCH", &direct, &bob, r#"{"expiry_s":5}"#).await.ok(200);
}
