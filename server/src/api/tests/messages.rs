use godwit_core::ids::{Seq, UserId};

use super::*;

#[tokio::test]
async fn messages_come_by_pages() {
    let world = World::new().await;
    let cid = id(&world.create(ADMIN, "group", &["alice", "bob"]).await);
    world.send(&cid, &[b"one", b"\xff\x00", b"short-lived", b"four"]).await;
    let path = |query: &str| format!("/v1/conversations/{cid}/messages{query}");
    let bob = world.token("bob:phone");
    let all = world.get(&path(""), &bob).await.ok(200);
    assert_eq!((&all["head"], &all["next"]), (&json!(5), &Value::Null));
    let first = &all["messages"][1];
    for (field, expected) in [
        ("seq", json!(2)),
        ("kind", json!("message")),
        ("from", json!("alice")),
        ("device", json!("phone")),
        ("ts", json!(SENT_MS)),
        ("body", json!("b25l")),
        ("text", json!("one")),
        ("body_gone", json!(false)),
        ("number", json!(1)),
    ] {
        assert_eq!(first[field], expected, "{field}");
    }
    assert_eq!(first["mid"].as_str().map(str::len), Some(22));
    assert_eq!(first["chain"].as_str().map(str::len), Some(16));
    let second = &all["messages"][2];
    assert_eq!((&second["body"], second.get("text")), (&json!("/wA="), None));
    let expired = &all["messages"][3];
    assert_eq!((&expired["body"], &expired["body_gone"]), (&json!(""), &json!(true)));

    let seqs = |list: &Value| -> Vec<u64> {
        list["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()).collect()
    };
    for (query, expected, next) in [
        ("?limit=2", vec![1, 2], json!(2)),
        ("?after=3&limit=2", vec![4, 5], Value::Null),
        ("?after=4&limit=100", vec![5], Value::Null),
        ("?limit=1", vec![1], json!(1)),
        ("?after=99", vec![], Value::Null),
        ("?after=18446744073709551615", vec![], Value::Null),
        ("?before=3", vec![1, 2], Value::Null),
        ("?before=4&limit=2", vec![1, 2], json!(2)),
        ("?before=0", vec![], Value::Null),
        ("?before=18446744073709551615", vec![1, 2, 3, 4, 5], Value::Null),
        ("?order=desc&limit=3", vec![5, 4, 3], json!(3)),
        ("?order=desc&before=2", vec![1], Value::Null),
        ("?order=desc&after=2", vec![5, 4, 3], Value::Null),
        ("?order=asc&after=1&before=4", vec![2, 3], Value::Null),
    ] {
        let page = world.get(&path(query), &bob).await.ok(200);
        assert_eq!((seqs(&page), &page["next"]), (expected, &next), "{query}");
    }
    for (query, part) in [
        ("?after=-1", "after in the query must be a whole number"),
        ("?before=x", "before in the query must be a whole number"),
        ("?limit=x", "limit in the query"),
        ("?limit=0", "from 1 to 100"),
        ("?limit=101", "from 1 to 100"),
        ("?order=down", "must be asc or desc"),
        ("?from=3", "unknown field `from`, expected one of `after`"),
    ] {
        world.get(&path(query), &bob).await.refused(400, "bad_request", part);
    }
    let mallory = world.token("mallory:phone");
    world.get(&path(""), &mallory).await.refused(404, "not_found", "no conversation");
}

#[tokio::test]
async fn every_kind_of_entry_is_shown() {
    let world = World::new().await;
    let cid = id(&world.create(ADMIN, "group", &["alice", "bob"]).await);
    world.send(&cid, &[b"one", b"two"]).await;
    let (one, two) = (Seq(2), Seq(3));
    let bob = UserId::new("bob").unwrap();
    let named = Act::Message { reply_to: Some(one), mentions: vec![bob] };
    for (act, body) in [
        (Act::edit(one), &b"one!"[..]),
        (Act::React { target: one }, b"+"),
        (Act::Pin { target: one }, b""),
        (Act::Pin { target: two }, b""),
        (Act::Unpin { target: two }, b""),
        (Act::Delete { target: two }, b""),
        (named, b"three"),
    ] {
        let fate = world.act("alice:phone", &cid, act, body).await;
        assert!(matches!(fate, Fate::Accepted { .. }), "{fate:?}");
    }
    let path = format!("/v1/conversations/{cid}/messages");
    let list = world.get(&path, ADMIN).await.ok(200);
    let shown: Vec<String> = list["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| {
            let text = m["text"].as_str().unwrap_or("-");
            format!("{} {} {text} {}", m["kind"].as_str().unwrap(), m["target"], m["body_gone"])
        })
        .collect();
    assert_eq!(
        shown,
        [
            "membership null - false",
            "message null one false",
            "message null - true",
            "edit 2 one! false",
            "reaction 2 + false",
            "pin 2 - false",
            "pin 3 - false",
            "unpin 3 - false",
            "deletion 3 - false",
            "message null three false",
        ]
    );
    let last = &list["messages"][9];
    assert_eq!(
        (&last["reply_to"], &last["mentions"], &last["number"]),
        (&json!(2), &json!(["bob"]), &json!(3))
    );

    let pins = world.get(&format!("/v1/conversations/{cid}/pins"), ADMIN).await.ok(200);
    let pins = pins["pins"].as_array().unwrap();
    assert_eq!((pins.len(), &pins[0]["kind"], &pins[0]["target"]), (1, &json!("pin"), &json!(2)));
    // What carol cannot see is not shown to her as pinned either.
    let members = format!("/v1/conversations/{cid}/members");
    world.ask("POST", &members, ADMIN, r#"{"users":["carol"]}"#).await.ok(200);
    let carol = world.token("carol:phone");
    let path = format!("/v1/conversations/{cid}/pins");
    assert_eq!(world.get(&path, &carol).await.ok(200), json!({"pins": []}));
    let eve = world.token("eve:phone");
    world.get(&path, &eve).await.refused(404, "not_found", "no conversation");
}

#[tokio::test]
async fn a_message_is_sent_once_for_a_key() {
    let world = World::new().await;
    let cid = id(&world.create(ADMIN, "group", &["alice", "bob"]).await);
    let path = format!("/v1/conversations/{cid}/messages");
    let (alice, bob) = (world.token("alice:phone"), world.token("bob:phone"));
    let key: &[(&str, &str)] = &[("Idempotency-Key", "m-1")];
    let body = r#"{"text":"hi","mentions":["bob","bob"]}"#;
    let first = world.ask_with("POST", &path, &alice, key, body).await;
    let sent = first.ok(201);
    let seq = sent["seq"].as_u64().unwrap();
    assert_eq!(sent["duplicate"], false);
    let again = world.ask_with("POST", &path, &alice, key, body).await.ok(201);
    assert_eq!((&again["mid"], &again["seq"]), (&sent["mid"], &sent["seq"]));
    assert_eq!(again["duplicate"], true);
    let other = world.ask_with("POST", &path, &alice, key, r#"{"text":"ho"}"#).await;
    other.refused(422, "key_reused", "another request");
    // Without a key each one is another; an operator sends for a user.
    let reply = json!({"body": "AP8=", "reply_to": seq}).to_string();
    world.ask("POST", &path, &bob, &reply).await.ok(201);
    let bot = world.ask("POST", &format!("{path}?user=bob"), ADMIN, r#"{"text":"bot"}"#).await;
    assert_eq!(bot.ok(201)["seq"], seq + 2);
    // The test reads headers in lower case.
    let place = format!("{}?after={}&limit=1", path.to_lowercase(), seq - 1);
    assert_eq!(first.header("location"), Some(place.as_str()));
    let list = world.get(&format!("{path}?after={}", seq - 1), &alice).await.ok(200);
    let shown = |i: usize, field: &str| list["messages"][i][field].clone();
    assert_eq!(list["messages"].as_array().unwrap().len(), 3);
    assert_eq!((shown(0, "text"), shown(0, "mentions")), (json!("hi"), json!(["bob"])));
    assert_eq!((shown(0, "mid"), shown(0, "device")), (sent["mid"].clone(), json!("phone")));
    assert_eq!((shown(1, "body"), shown(1, "reply_to")), (json!("AP8="), json!(seq)));
    assert_eq!((shown(2, "from"), shown(2, "device")), (json!("bob"), json!("rest")));
    let announced: Vec<_> = world.heard.announced.lock().iter().map(|a| a.entry.seq.0).collect();
    assert_eq!(announced, [seq - 1, seq, seq + 1, seq + 2], "devices are told as of any send");

    let long = json!({"text": "x".repeat(262_145)}).to_string();
    for (token, body, status, code, part) in [
        (&alice, "{}", 400, "bad_request", "either text or body"),
        (&alice, r#"{"text":"a","body":"YQ=="}"#, 400, "bad_request", "either text or body"),
        (&alice, r#"{"body":"%"}"#, 400, "bad_request", "base64"),
        (&alice, r#"{"text":"a","reply_to":9}"#, 400, "bad_request", "beyond the head"),
        (&alice, r#"{"text":"a","mentions":["b/"]}"#, 400, "bad_request", "mentions[0]"),
        (&alice, r#"{"text":"a","group_version":7}"#, 409, "conflict", "is now 1"),
        (&alice, &long, 400, "bad_request", "262144"),
        (&world.token("eve:d"), r#"{"text":"a"}"#, 404, "not_found", "no conversation"),
    ] {
        world.ask("POST", &path, token, body).await.refused(status, code, part);
    }
    let nowhere = "/v1/conversations/AAAAAAAAAAAAAAAAAAAAAA/messages";
    world.ask("POST", nowhere, &alice, r#"{"text":"a"}"#).await.refused(
        404,
        "not_found",
        "no conv",
    );
    let role = r#"{"role":"read-only"}"#;
    let member = format!("/v1/conversations/{cid}/members/bob");
    world.ask("PATCH", &member, ADMIN, role).await.ok(200);
    world.ask("POST", &path, &bob, r#"{"text":"a"}"#).await.refused(403, "forbidden", "read-only");
}
