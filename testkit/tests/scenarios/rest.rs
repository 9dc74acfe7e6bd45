//! The control plane: repetition that is safe, states that are named, pages, and plain refusals.

use std::collections::BTreeSet;

use godwit_testkit::rest::Caller;
use godwit_testkit::wire::Version;
use serde_json::{Value, json};

use super::payload;
use super::side::Side;
use super::world::World;

on_both_stores!(
    a_repeated_request_is_done_once,
    a_state_that_is_over_is_refused,
    lists_come_in_pages,
    groups_are_ruled_over_rest_too,
    what_is_sent_over_rest_reaches_devices_once,
);

/// Sets what a person lets others see: `share_reads` or `share_presence`.
pub(crate) async fn share(side: &Side<'_>, name: &str, what: &str, on: bool) {
    let body = json!({ what: on });
    side.rest(name).await.patch("/v1/settings", &body).await.expect(200);
}

async fn caller(world: &World, user: &str, device: &str) -> Caller {
    world.server.caller(&world.token(user, device).await)
}

/// A page of a conversation's log as the operator sees it: the places of its entries.
async fn head(world: &World, cid: &str) -> u64 {
    let operator = world.server.caller(world.server.admin());
    let shown = operator.get(&format!("/v1/conversations/{cid}")).await.expect(200);
    shown["head"].as_u64().expect("a place")
}

async fn a_repeated_request_is_done_once(world: World) {
    let alice = caller(&world, "alice", "phone").await;
    let laptop = caller(&world, "alice", "laptop").await;
    let group = |title: &str| json!({ "kind": "group", "members": ["bob"], "title": title });
    let create = async |who: &Caller, key: &str, title: &str| {
        who.ask("POST", "/v1/conversations", &[("Idempotency-Key", key)], Some(&group(title))).await
    };
    let first = create(&alice, "k1", "Trip").await.expect(201);
    let cid = first["id"].as_str().expect("an id").to_owned();
    let again = create(&alice, "k1", "Trip").await;
    assert!(matches!(again.status, 200 | 201), "{again:?}");
    assert_eq!(again.json()["id"], cid.as_str());
    assert_eq!(create(&alice, "k1", "Other").await.problem(422), "key_reused");
    // Keys are the caller's, and another key is another request; so is none.
    let mut made = BTreeSet::from([cid.clone()]);
    for reply in [
        create(&laptop, "k1", "Trip").await,
        create(&alice, "k2", "Trip").await,
        alice.post("/v1/conversations", &group("Trip")).await,
        alice.post("/v1/conversations", &group("Trip")).await,
    ] {
        assert!(made.insert(reply.expect(201)["id"].as_str().expect("an id").to_owned()));
    }
    for bad in ["", "a b", &"x".repeat(65)] {
        assert_eq!(create(&alice, bad, "Trip").await.problem(400), "bad_request", "{bad:?}");
    }

    // A change of members: what the first one did, also when it is undone since.
    let path = format!("/v1/conversations/{cid}/members");
    let carol = json!({ "users": ["carol"] });
    let key = [("Idempotency-Key", "add-1")];
    let first = alice.ask("POST", &path, &key, Some(&carol)).await.expect(200);
    assert_eq!(first["entry"]["seq"], 2);
    alice.delete(&format!("{path}/carol")).await.expect(200);
    let again = alice.ask("POST", &path, &key, Some(&carol)).await.expect(200);
    assert_eq!(again["entry"], first["entry"]);
    assert_eq!(again["members"].as_array().map(Vec::len), Some(2), "nobody was added again");
    assert_eq!(head(&world, &cid).await, 3);

    // All at once: one of them does it, all are told of it.
    let title = json!({ "title": "Sea" });
    let path = format!("/v1/conversations/{cid}");
    let ask = async || {
        let reply = alice.ask("PATCH", &path, &[("Idempotency-Key", "t-1")], Some(&title)).await;
        reply.expect(200)["entry"]["seq"].clone()
    };
    let told = tokio::join!(ask(), ask(), ask(), ask(), ask(), ask());
    assert_eq!(told, (4.into(), 4.into(), 4.into(), 4.into(), 4.into(), 4.into()));
    assert_eq!(head(&world, &cid).await, 4);
}

async fn a_state_that_is_over_is_refused(world: World) {
    let cid = world.server.create("group", &["alice", "bob"]).await;
    let alice = caller(&world, "alice", "phone").await;
    let path = format!("/v1/conversations/{cid}");
    let etag = async || {
        let shown = alice.get(&path).await;
        shown.header("etag").expect("an ETag").to_owned()
    };
    let rename = async |tag: &str, title: &str| {
        alice.ask("PATCH", &path, &[("If-Match", tag)], Some(&json!({ "title": title }))).await
    };
    let first = etag().await;
    let renamed = rename(&first, "Rome").await;
    let second = renamed.header("etag").expect("the new state").to_owned();
    assert_eq!((renamed.status, second == first), (200, false));
    assert_eq!(etag().await, second);
    let refused = rename(&first, "Paris").await;
    assert_eq!(refused.problem(412), "changed");
    assert_eq!(refused.header("etag"), Some(second.as_str()), "the way out");
    // Members are of the state, too; messages are not.
    alice.post(&format!("{path}/members"), &json!({ "users": ["carol"] })).await.expect(200);
    assert_eq!(rename(&second, "Paris").await.problem(412), "changed");
    let third = etag().await;
    let mut phone = world.probe(godwit_testkit::wire::Version::V5, "alice", "phone").await;
    assert_eq!(phone.publish(&format!("c/{cid}"), b"hello").await.code, 0);
    assert_eq!(etag().await, third);
    assert_eq!(alice.get(&path).await.json()["title"], "Rome");
    // Of two who know the same state one wins, and the other is told.
    let (members, known) = (format!("{path}/members/carol"), [("If-Match", third.as_str())]);
    let removed = alice.ask("DELETE", &members, &known, None);
    let (one, other) = tokio::join!(rename(&third, "Oslo"), removed);
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    for bad in ["", "abc", "\"1\", \"2\""] {
        assert_eq!(rename(bad, "x").await.problem(400), "bad_request", "{bad:?}");
    }
    assert_eq!(rename("\"no such\"", "x").await.problem(412), "changed");
    assert_eq!(rename("*", "x").await.status, 200);
}

/// All items of a list, a page at a time; how many pages it took.
async fn pages(caller: &Caller, path: &str, list: &str, limit: usize) -> (Vec<Value>, usize) {
    let mut items = Vec::new();
    let mut next = String::new();
    for count in 1.. {
        let page = caller.get(&format!("{path}limit={limit}{next}")).await.expect(200);
        let found = page[list].as_array().unwrap_or_else(|| panic!("no {list} in {page}"));
        assert!(found.len() <= limit, "{page}");
        items.extend(found.iter().cloned());
        match &page["next"] {
            Value::Null => return (items, count),
            Value::String(cursor) => next = format!("&cursor={cursor}"),
            other => panic!("{other} is no cursor"),
        }
    }
    unreachable!("a list ends")
}

async fn lists_come_in_pages(world: World) {
    let carol = caller(&world, "carol", "phone").await;
    let crowd: Vec<String> = (0..25).map(|n| format!("u{n:02}")).collect();
    let mut users: Vec<&str> = crowd.iter().map(String::as_str).collect();
    users.push("carol");
    let mut cids = BTreeSet::new();
    for _ in 0..7 {
        cids.insert(world.server.create("group", &users).await);
    }
    let (found, count) = pages(&carol, "/v1/conversations?", "conversations", 3).await;
    let ids: Vec<&str> = found.iter().filter_map(|c| c["id"].as_str()).collect();
    assert_eq!(ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>(), cids);
    assert_eq!((ids.len(), count), (7, 3), "each once");
    let cid = cids.first().expect("seven");
    let path = format!("/v1/conversations/{cid}/members");
    let (found, count) = pages(&carol, &format!("{path}?"), "members", 10).await;
    let found: Vec<&str> = found.iter().filter_map(|m| m["user"].as_str()).collect();
    users.sort_unstable();
    assert_eq!((found, count), (users.clone(), 3));
    // A cursor is its list's, and a page has at most a hundred.
    let first = carol.get(&format!("{path}?limit=1")).await.json();
    let cursor = first["next"].as_str().expect("more");
    for bad in [
        format!("/v1/conversations?cursor={cursor}"),
        format!("{path}?cursor=x"),
        format!("{path}?limit=-1"),
        format!("{path}?limit=ten"),
        format!("{path}?page=2"),
    ] {
        assert_eq!(carol.get(&bad).await.problem(400), "bad_request", "{bad}");
    }
    assert_eq!(carol.get(&format!("{path}?limit=101")).await.problem(400), "bad_request");
    let all = carol.get(&format!("{path}?limit=100")).await.expect(200);
    assert_eq!((all["members"].as_array().map(Vec::len), &all["next"]), (Some(26), &Value::Null));
}

/// A message over REST goes the way of any other; when its answer is lost, the same request with the same
/// key finds it.
async fn what_is_sent_over_rest_reaches_devices_once(world: World) {
    let alice = caller(&world, "alice", "phone").await;
    let mut bob = world.probe(Version::V5, "bob", "phone").await;
    bob.subscribe("m/#").await;
    let cid = world.c().trim_start_matches("c/").to_owned();
    let path = format!("/v1/conversations/{cid}/messages");
    let post = async |key: &str, text: &str| {
        let headers = [("Idempotency-Key", key)];
        alice.ask("POST", &path, &headers, Some(&json!({ "text": text }))).await
    };
    for n in 0..5 {
        let (key, text) = (format!("k-{n}"), format!("message {n}"));
        // Whoever asks hangs up at some moment; what became of it is found by asking again.
        let wait = std::time::Duration::from_micros(300 * n);
        let _ = tokio::time::timeout(wait, post(&key, &text)).await;
        let sent = post(&key, &text).await.expect(201);
        let again = post(&key, &text).await.expect(201);
        assert_eq!((&again["mid"], &again["seq"]), (&sent["mid"], &sent["seq"]));
        assert_eq!(again["duplicate"], true);
        let got = payload::entry(&bob.recv_on("m/").await.payload);
        assert_eq!((got.body.as_ref(), got.sender.as_str()), (text.as_bytes(), "alice"));
        assert_eq!(Some(got.seq), sent["seq"].as_u64());
        assert_eq!(post(&key, "another").await.problem(422), "key_reused");
    }
    assert_eq!(head(&world, &cid).await, 5, "each once");
    let mallory = caller(&world, "mallory", "phone").await;
    assert_eq!(mallory.post(&path, &json!({ "text": "x" })).await.problem(404), "not_found");
}

async fn groups_are_ruled_over_rest_too(world: World) {
    let alice = caller(&world, "alice", "phone").await;
    let bob = caller(&world, "bob", "phone").await;
    let carol = caller(&world, "carol", "phone").await;
    let body = json!({
        "kind": "group", "members": ["bob"], "title": "Trip", "description": "to the sea",
        "history": "from-join", "expiry_s": 3600,
    });
    let made = alice.post("/v1/conversations", &body).await;
    let group = made.expect(201);
    let path = format!("/v1/conversations/{}", group["id"].as_str().expect("an id"));
    assert_eq!(made.header("location"), Some(path.as_str()));
    for (field, value) in
        [("title", "Trip"), ("description", "to the sea"), ("history", "from-join")]
    {
        assert_eq!(group[field], value);
    }
    assert_eq!((&group["expiry_s"], &group["group_version"]), (&json!(3600), &json!(1)));
    assert_eq!(carol.get(&path).await.problem(404), "not_found");

    let members = format!("{path}/members");
    let added =
        alice.post(&members, &json!({ "users": ["carol"], "role": "read-only" })).await.expect(200);
    assert_eq!(added["entry"]["membership"]["role"], "read-only");
    carol.get(&path).await.expect(200);
    assert_eq!(bob.patch(&path, &json!({ "title": "Mine" })).await.problem(403), "forbidden");
    alice.patch(&format!("{members}/bob"), &json!({ "role": "admin" })).await.expect(200);
    bob.patch(&path, &json!({ "title": "Ours", "expiry_s": null })).await.expect(200);
    assert_eq!(bob.delete(&format!("{members}/alice")).await.problem(403), "forbidden");
    assert_eq!(alice.delete(&format!("{members}/alice")).await.problem(409), "last_owner");
    let to = json!({ "to": "bob" });
    assert_eq!(bob.post(&format!("{path}/transfer"), &to).await.problem(403), "forbidden");
    alice.post(&format!("{path}/transfer"), &to).await.expect(200);
    carol.delete(&format!("{members}/carol")).await.expect(200);
    assert_eq!(carol.get(&path).await.problem(404), "not_found");
    // The stays of all, in the order of joining: who came when, and left when.
    bob.post(&members, &json!({ "users": ["carol"] })).await.expect(200);
    let stays = bob.get(&format!("{members}?history=true")).await.expect(200);
    let stays: Vec<_> = stays["members"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|stay| {
            (
                stay["user"].as_str().expect("a user").to_owned(),
                stay["joined_seq"].as_u64(),
                stay["left_seq"].as_u64(),
            )
        })
        .collect();
    let stay = |user: &str, joined, left: Option<u64>| (user.to_owned(), Some(joined), left);
    let expected = [
        stay("alice", 0, None),
        stay("bob", 0, None),
        stay("carol", 1, Some(6)),
        stay("carol", 6, None),
    ];
    assert_eq!(stays, expected);
    // A change of members too long for one is refused whole: as a request, or as a body.
    let crowd: Vec<String> = (0..100_000).map(|n| format!("u{n}")).collect();
    let refused = bob.post(&members, &json!({ "users": crowd })).await;
    assert!(matches!(refused.status, 400 | 413), "{refused:?}");
    let status = refused.status;
    refused.problem(status);
    let refused = bob.post(&members, &json!({ "users": crowd[..1001] })).await;
    assert_eq!(refused.problem(400), "bad_request");
    let now = bob.get(&path).await.expect(200);
    assert_eq!((&now["head"], now["members"].as_array().map(Vec::len)), (&json!(7), Some(3)));
}

#[tokio::test]
async fn every_refusal_is_a_problem_with_a_way_out() {
    let world = World::new().await;
    let alice = caller(&world, "alice", "phone").await;
    let nobody = world.server.caller("");
    let wrong = world.server.caller("no.such.token");
    let mallory = caller(&world, "mallory", "phone").await;
    let cid = &world.cid;
    let path = format!("/v1/conversations/{cid}");
    let nowhere = "/v1/conversations/AAAAAAAAAAAAAAAAAAAAAA";
    let carol = json!({ "users": ["carol"] });
    // who, how, where, what, status, code
    type Row<'a> = (&'a Caller, &'a str, &'a str, Option<Value>, u16, &'a str);
    let table: &[Row<'_>] = &[
        (&nobody, "GET", &path, None, 401, "unauthorized"),
        (&wrong, "GET", &path, None, 401, "unauthorized"),
        (&mallory, "GET", &path, None, 404, "not_found"),
        (&alice, "GET", nowhere, None, 404, "not_found"),
        (&alice, "GET", "/v1/conversations/short", None, 400, "bad_request"),
        (&alice, "GET", "/v1/nothing", None, 404, "not_found"),
        (&alice, "GET", "/", None, 404, "not_found"),
        (&alice, "PUT", &path, None, 405, "method_not_allowed"),
        (&alice, "POST", "/v1/conversations", None, 400, "bad_request"),
        (&alice, "PATCH", &path, Some(json!({ "title": "x" })), 400, "bad_request"),
        (&alice, "POST", &format!("{path}/members"), Some(carol), 409, "conflict"),
        (&alice, "GET", &format!("{path}/messages?after=x"), None, 400, "bad_request"),
        (&alice, "GET", &format!("{path}/messages?order=up"), None, 400, "bad_request"),
        (&alice, "GET", "/v1/conversations?user=bob", None, 403, "forbidden"),
    ];
    for (who, method, path, body, status, code) in table {
        let reply = who.ask(method, path, &[], body.as_ref()).await;
        assert_eq!(reply.problem(*status), *code, "{method} {path}: {reply:?}");
        if *status == 401 {
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
    }
    for body in [
        json!([]),
        json!({ "kind": "triple", "members": [] }),
        json!({ "kind": "direct", "members": ["bob", "carol"] }),
        json!({ "kind": "direct", "members": ["bob"], "title": "x" }),
        json!({ "kind": "group", "members": ["b/b"] }),
        json!({ "kind": "group", "members": [], "colour": "red" }),
        json!({ "kind": "group", "members": [], "title": "x".repeat(129) }),
    ] {
        let reply = alice.post("/v1/conversations", &body).await;
        assert_eq!(reply.problem(400), "bad_request", "{body}");
    }
    let large = json!({ "kind": "group", "members": [], "title": "x".repeat(1024 * 1024) });
    assert_eq!(alice.post("/v1/conversations", &large).await.problem(413), "too_large");
}

#[tokio::test]
async fn the_description_and_its_viewer_are_served() {
    let world = World::new().await;
    let anyone = world.server.caller("");
    let document = anyone.get("/openapi.json").await.expect(200);
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let paths = document["paths"].as_object().expect("paths");
    for path in [
        "/v1/conversations",
        "/v1/conversations/{cid}",
        "/v1/conversations/{cid}/members",
        "/v1/conversations/{cid}/members/{user}",
        "/v1/conversations/{cid}/messages",
        "/v1/conversations/{cid}/receipts",
        "/v1/inbox",
        "/v1/inbox/{cid}",
        "/v1/users",
        "/v1/devices",
        "/v1/devices/{device}",
        "/v1/settings",
        "/v1/blocks/{user}",
        "/v1/login",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
    // Each operation says who may ask, what is answered, and how a refusal looks.
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().expect("operations") {
            let what = format!("{method} {path}");
            assert!(
                operation["summary"].is_string() || operation["description"].is_string(),
                "{what}"
            );
            let responses = operation["responses"].as_object().expect("responses");
            let fine = responses.keys().any(|status| status.starts_with('2'));
            assert!(fine, "{what}: {responses:?}");
        }
    }
    // The viewer needs nothing from elsewhere: it works without a network.
    let mut page = anyone.get("/docs").await;
    if let Some(place) = page.header("location").map(str::to_owned) {
        page = anyone.get(&place).await;
    }
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    let mut local = 0;
    for (name, quote) in ["src=", "href="].iter().flat_map(|name| [(name, '"'), (name, '\'')]) {
        for part in page.text.split(&format!("{name}{quote}")).skip(1) {
            let target = part.split(quote).next().unwrap_or_default();
            assert!(!target.contains("//"), "{target} is elsewhere");
            if target.starts_with('#') || target.starts_with("data:") {
                continue;
            }
            let base = if target.starts_with('/') { "" } else { "/docs/" };
            let asset = anyone.get(&format!("{base}{}", target.trim_start_matches("./"))).await;
            assert_eq!(asset.status, 200, "{target}");
            local += 1;
        }
    }
    assert!(local > 0 || page.text.contains("<script"), "a viewer does something");
}
