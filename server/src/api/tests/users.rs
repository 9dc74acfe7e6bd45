use super::*;

fn accounts(config: &mut Config) {
    config.accounts.enabled = true;
}

fn signup(config: &mut Config) {
    accounts(config);
    config.accounts.signup = true;
}

async fn login(world: &World, user: &str, password: &str) -> Reply {
    let body = json!({"user": user, "password": password, "device": "phone"}).to_string();
    world.ask("POST", "/v1/login", "", &body).await
}

#[tokio::test]
async fn an_account_gives_tokens() {
    let world = World::with(accounts).await;
    let body = r#"{"id":"dora","name":"Dora","password":"correct horse"}"#;
    let made = world.ask("POST", "/v1/users", ADMIN, body).await;
    let user = made.ok(201);
    assert_eq!(
        (&user["id"], &user["name"], &user["account"]),
        (&json!("dora"), &json!("Dora"), &json!(true))
    );
    assert!(user["created_ms"].is_u64() && !made.text.contains("argon2"), "{made:?}");
    assert_eq!(made.header("location"), Some("/v1/users/dora"));
    world.ask("POST", "/v1/users", ADMIN, body).await.refused(409, "conflict", "dora is taken");

    let token = login(&world, "dora", "correct horse").await.ok(200);
    let day_ms = 86_400_000;
    let left = token["expires_ms"].as_u64().unwrap() - crate::clock::now_ms();
    assert!((day_ms - 5_000..=day_ms + 1_000).contains(&left), "{left}");
    let token = token["token"].as_str().unwrap().to_owned();
    let own = world.get("/v1/users/dora", &token).await;
    assert_eq!(
        (own.ok(200)["name"].clone(), own.header("etag")),
        (json!("Dora"), made.header("etag"))
    );
    world.get("/v1/users/alice", &token).await.refused(403, "forbidden", "own user");
    for (user, password) in [("dora", "correct horsf"), ("nobody", "correct horse"), ("dora", "")] {
        let reply = login(&world, user, password).await;
        reply.refused(401, "unauthorized", "no such user, or not the password");
    }
    // A revoked device may log in anew.
    world.ask("DELETE", "/v1/devices/phone", &token, "").await.ok(200);
    world.get("/v1/inbox", &token).await.refused(401, "unauthorized", "revoked");
    let fresh = login(&world, "dora", "correct horse").await.ok(200);
    world.get("/v1/inbox", fresh["token"].as_str().unwrap()).await.ok(200);
}

#[tokio::test]
async fn what_is_no_account_and_no_login() {
    let world = World::with(accounts).await;
    for (body, part) in [
        (r#"{"id":"d/","password":"kiwi-178"}"#, "the user id in id"),
        (r#"{"id":"d","password":"1234567"}"#, "at least 8 characters"),
        (r#"{"id":"d"}"#, "missing field `password`"),
        (r#"{"id":"d","password":"kiwi-178","admin":true}"#, "unknown field `admin`"),
        (r#"{"id":"d","password":"kiwi-178","name":"a\tb"}"#, "control characters"),
        (r#"{"id":"d","password":"kiwi-178","name":" \u200b "}"#, "name is blank"),
    ] {
        world.ask("POST", "/v1/users", ADMIN, body).await.refused(400, "bad_request", part);
    }
    let fine = r#"{"id":"dora","password":"kiwi-178"}"#;
    world.ask("POST", "/v1/users", "", fine).await.refused(401, "unauthorized", "operator");
    world.ask("POST", "/v1/users", "nonsense", fine).await.refused(401, "unauthorized", "token");
    let alice = world.token("alice:phone");
    world.ask("POST", "/v1/users", &alice, fine).await.refused(403, "forbidden", "operator");
    for (body, part) in [
        (r#"{"user":"dora","password":"x"}"#, "missing field `device`"),
        (r#"{"user":"dora","password":"x","device":"a b"}"#, "device may hold only"),
        (r#"{"user":"","password":"x","device":"d"}"#, "the user id in user"),
    ] {
        world.ask("POST", "/v1/login", "", body).await.refused(400, "bad_request", part);
    }
    let off = World::new().await;
    off.ask("POST", "/v1/users", ADMIN, fine).await.refused(403, "forbidden", "accounts.enabled");
    login(&off, "dora", "kiwi-178").await.refused(403, "forbidden", "accounts.enabled");
    let path = "/v1/users/dora/password";
    let reply = off.ask("PUT", path, ADMIN, r#"{"password":"kiwi-178"}"#).await;
    reply.refused(403, "forbidden", "accounts.enabled");
}

#[tokio::test]
async fn a_stranger_takes_a_free_name_only() {
    let world = World::with(signup).await;
    id_of_signup(&world, "dora").await.ok(201);
    id_of_signup(&world, "dora").await.refused(409, "conflict", "dora is taken");
    // Known by a conversation, by a device, by a setting: all of it is somebody's.
    id(&world.create(ADMIN, "group", &["eve"]).await);
    world.api.store.note_devices(&[("fred:phone".parse().unwrap(), 5)]).await.unwrap();
    let grace = "/v1/settings?user=grace";
    world.ask("PATCH", grace, ADMIN, r#"{"share_reads":false}"#).await.ok(200);
    for user in ["eve", "fred", "grace"] {
        id_of_signup(&world, user).await.refused(409, "conflict", "is taken");
    }
    // An operator knows whose it is.
    let body = r#"{"id":"grace","password":"kiwi-178"}"#;
    world.ask("POST", "/v1/users", ADMIN, body).await.ok(201);
    let settings = world.get(grace, ADMIN).await.ok(200);
    assert_eq!(settings["share_reads"], json!(false), "what was set stays");
}

async fn id_of_signup(world: &World, user: &str) -> Reply {
    let body = json!({"id": user, "password": "kiwi-178"}).to_string();
    world.ask("POST", "/v1/users", "", &body).await
}

#[tokio::test]
async fn passwords_change_by_the_old_one() {
    let world = World::with(accounts).await;
    let body = r#"{"id":"dora","password":"first one"}"#;
    world.ask("POST", "/v1/users", ADMIN, body).await.ok(201);
    let dora = world.token("dora:phone");
    let path = "/v1/users/dora/password";
    for (token, body, status, code, part) in [
        (&dora, r#"{"password":"second one"}"#, 400, "bad_request", "old is missing"),
        (
            &dora,
            r#"{"old":"wrong one","password":"second one"}"#,
            403,
            "forbidden",
            "not the password",
        ),
        (&dora, r#"{"old":"first one","password":"short"}"#, 400, "bad_request", "at least 8"),
        (
            &world.token("eve:phone"),
            r#"{"old":"first one","password":"second one"}"#,
            403,
            "forbidden",
            "own user",
        ),
    ] {
        world.ask("PUT", path, token, body).await.refused(status, code, part);
    }
    login(&world, "dora", "first one").await.ok(200);
    let change = r#"{"old":"first one","password":"second one"}"#;
    let key: &[(&str, &str)] = &[("Idempotency-Key", "pw-1")];
    world.ask_with("PUT", path, &dora, key, change).await.ok(204);
    // An epoch: no token that was given before is good any more, the asking one neither.
    let again = world.ask_with("PUT", path, &dora, key, change).await;
    again.refused(401, "unauthorized", "revoked");
    world.get("/v1/inbox", &world.token("eve:phone")).await.ok(200);
    login(&world, "dora", "first one").await.refused(401, "unauthorized", "not the password");
    let fresh = login(&world, "dora", "second one").await.ok(200);
    let fresh = fresh["token"].as_str().unwrap();
    world.get("/v1/inbox", fresh).await.ok(200);
    world.ask("PUT", path, ADMIN, r#"{"password":"third one"}"#).await.ok(204);
    world.get("/v1/inbox", fresh).await.refused(401, "unauthorized", "revoked");
    login(&world, "dora", "third one").await.ok(200);
    let common = r#"{"password":"12345678"}"#;
    world.ask("PUT", path, ADMIN, common).await.refused(400, "bad_request", "row of keys");
    // A suspended user has no login either.
    world.ask("PUT", "/v1/users/dora/suspension", ADMIN, "").await.ok(200);
    login(&world, "dora", "third one").await.refused(403, "forbidden", "suspended");
    world.ask("DELETE", "/v1/users/dora/suspension", ADMIN, "").await.ok(200);
    login(&world, "dora", "third one").await.ok(200);
}

#[tokio::test]
async fn logins_are_held_to_a_rate() {
    let world = World::with(accounts).await;
    let body = r#"{"id":"dora","password":"correct horse"}"#;
    world.ask("POST", "/v1/users", ADMIN, body).await.ok(201);
    let mut refused = None;
    for _ in 0..=crate::limits::LOGIN_USER_BURST.get() {
        let reply = login(&world, "dora", "guess").await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
        assert_eq!(reply.status, 401, "{reply:?}");
    }
    let refused = refused.expect("too many guesses");
    refused.refused(429, "throttled", "too many logins as this user");
    let wait_ms = refused.json()["retry_after_ms"].as_u64().unwrap();
    assert!((1..=6000).contains(&wait_ms), "{wait_ms}");
    assert_eq!(refused.header("retry-after"), Some(wait_ms.div_ceil(1000).to_string().as_str()));
    // The right one has to wait too; another user need not.
    login(&world, "dora", "correct horse").await.refused(429, "throttled", "this user");
    login(&world, "eve", "guess").await.refused(401, "unauthorized", "no such user");
}

#[tokio::test]
async fn users_have_names() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let first = world.get("/v1/users/alice", &alice).await;
    assert_eq!(
        first.ok(200),
        json!({
            "id": "alice", "name": "", "account": false, "created_ms": null, "last_seen_ms": null,
            "revoked_ms": null, "suspended": false, "deleted_ms": null,
        })
    );
    let named = world.ask("PATCH", "/v1/users/alice", &alice, r#"{"name":"Alice"}"#).await;
    assert_eq!(named.ok(200)["name"], "Alice");
    let none: &[(&str, &str)] = &[("If-Match", "\"0\"")];
    let stale = world.ask_with("PATCH", "/v1/users/alice", &alice, none, r#"{"name":"A"}"#).await;
    stale.refused(412, "changed", "If-Match");
    assert_eq!(stale.header("etag"), named.header("etag"));
    world.ask_with("PATCH", "/v1/users/new", ADMIN, none, r#"{"name":"New"}"#).await.ok(200);
    let bob = "/v1/users/bob";
    world.ask("PATCH", bob, &alice, r#"{"name":"x"}"#).await.refused(403, "forbidden", "own");
    world.ask("PATCH", bob, ADMIN, r#"{"name":5}"#).await.refused(400, "bad_request", "type");
    world.get("/v1/users/b%20b", ADMIN).await.refused(400, "bad_request", "the path");
}

#[tokio::test]
async fn a_profile_is_for_those_who_share_a_conversation() {
    let world = World::new().await;
    world.ask("PATCH", "/v1/users/alice", ADMIN, r#"{"name":"Alice"}"#).await.ok(200);
    id(&world.create(ADMIN, "group", &["alice", "bob"]).await);
    let path = "/v1/users/alice/profile";
    let expected = json!({"id": "alice", "name": "Alice"});
    for token in [&world.token("alice:phone"), &world.token("bob:phone"), ADMIN] {
        assert_eq!(world.get(path, token).await.ok(200), expected);
    }
    world.get(path, &world.token("eve:phone")).await.refused(404, "not_found", "shares");
}

#[tokio::test]
async fn a_deleted_user_is_gone_for_good() {
    let world = World::with(signup).await;
    id_of_signup(&world, "dora").await.ok(201);
    let group = id(&world.create(ADMIN, "group", &["alice", "dora"]).await);
    let owned = id(&world.create(&world.token("dora:phone"), "group", &["alice"]).await);
    let dora = world.token("dora:phone");
    let alice = world.token("alice:phone");
    world.ask("DELETE", "/v1/users/dora", &alice, "").await.refused(403, "forbidden", "own user");
    // A group is never without an owner: nothing is lost for those who stay.
    world.ask("DELETE", "/v1/users/dora", &dora, "").await.refused(409, "last_owner", "owner");
    let transfer = format!("/v1/conversations/{owned}/transfer");
    world.ask("POST", &transfer, &dora, r#"{"to":"alice"}"#).await.ok(200);
    world.ask("DELETE", "/v1/users/dora", &dora, "").await.ok(204);
    world.get("/v1/inbox", &dora).await.refused(401, "unauthorized", "revoked");
    for cid in [group, owned] {
        let shown = world.get(&format!("/v1/conversations/{cid}/members"), &alice).await.ok(200);
        assert_eq!(shown["members"].as_array().unwrap().len(), 1, "{shown}");
    }
    let gone = world.get("/v1/users/dora", ADMIN).await.ok(200);
    assert_eq!((&gone["name"], &gone["account"]), (&json!(""), &json!(false)));
    assert!(gone["deleted_ms"].is_u64() && gone["suspended"] == true, "{gone}");
    login(&world, "dora", "kiwi-178").await.refused(401, "unauthorized", "no such user");
    id_of_signup(&world, "dora").await.refused(409, "conflict", "is taken");
    // Again it is the same, and nobody lifts it.
    world.ask("DELETE", "/v1/users/dora", ADMIN, "").await.ok(204);
    let lift = world.ask("DELETE", "/v1/users/dora/suspension", ADMIN, "").await;
    lift.refused(409, "conflict", "for good");
}
