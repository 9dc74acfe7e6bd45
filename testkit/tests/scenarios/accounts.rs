//! Local accounts: a password for a token, and nothing to be learned from the store or from guesses.

use godwit_testkit::probe::{self, Probe};
use godwit_testkit::server::Options;
use godwit_testkit::wire::Version;
use serde_json::{Value, json};

use super::world::{Backend, World};

fn enabled() -> Options {
    Options::default().with("GODWIT__ACCOUNTS__ENABLED", "true")
}

fn open_to_all() -> Options {
    enabled().with("GODWIT__ACCOUNTS__SIGNUP", "true")
}

fn login(user: &str, password: &str, device: &str) -> Value {
    json!({ "user": user, "password": password, "device": device })
}

async fn a_password_gives_a_devices_token(backend: Backend) {
    const PASSWORD: &str = "correct horse battery staple";
    let world = World::on_with(backend, enabled()).await;
    let operator = world.server.caller(world.server.admin());
    let anyone = world.server.caller("");
    let account = json!({ "id": "dora", "name": "Dora", "password": PASSWORD });
    let made = operator.post("/v1/users", &account).await;
    assert_eq!(made.header("location"), Some("/v1/users/dora"));
    assert_eq!(made.expect(201)["account"], true);
    assert_eq!(operator.post("/v1/users", &account).await.problem(409), "conflict");
    assert!(matches!(anyone.post("/v1/users", &account).await.status, 401 | 403));

    let given = anyone.post("/v1/login", &login("dora", PASSWORD, "phone")).await.expect(200);
    let token = given["token"].as_str().expect("a token").to_owned();
    assert!(given["expires_ms"].as_u64().is_some_and(|ms| ms > super::inbox::now_ms()));
    for version in super::world::BOTH {
        let hello = probe::connect(version, "dora", "phone", &token);
        Probe::connect(&world.mqtt(), &hello).await;
    }
    // It is the token of one device.
    let other = probe::connect(Version::V5, "dora", "laptop", &token);
    assert!(Probe::try_connect(&world.mqtt(), &other).await.1.code >= 0x80);
    let dora = world.server.caller(&token);
    assert_eq!(dora.get("/v1/users/dora").await.expect(200)["name"], "Dora");
    // The store holds a slow hash, and the password nowhere.
    let store = world.server.store();
    let hashes = store.ask("select password_hash from users where password_hash is not null");
    assert!(hashes.len() == 1 && hashes[0].starts_with("$argon2id$"), "{hashes:?}");
    assert!(!hashes[0].contains(PASSWORD));
    assert!(!world.server.log().contains(PASSWORD));

    // A wrong one, and a user who has none, look the same.
    for (user, password) in [("dora", "wrong horse"), ("nobody", PASSWORD), ("alice", "")] {
        let refused = anyone.post("/v1/login", &login(user, password, "phone")).await;
        assert_eq!(refused.problem(401), "unauthorized", "{user}");
    }
    // Changed by whoever knows the old one.
    let change = |old: &str| json!({ "old": old, "password": "another long password" });
    let path = "/v1/users/dora/password";
    assert_eq!(dora.put(path, &change("wrong horse")).await.problem(403), "forbidden");
    dora.put(path, &change(PASSWORD)).await.expect(204);
    assert_eq!(anyone.post("/v1/login", &login("dora", PASSWORD, "x")).await.status, 401);
    anyone.post("/v1/login", &login("dora", "another long password", "x")).await.expect(200);
    let short = json!({ "id": "eric", "password": "short" });
    assert_eq!(operator.post("/v1/users", &short).await.problem(400), "bad_request");
    let named = json!({ "id": "er/ic", "password": PASSWORD });
    assert_eq!(operator.post("/v1/users", &named).await.problem(400), "bad_request");
}

#[tokio::test]
async fn a_password_gives_a_devices_token_on_sqlite() {
    a_password_gives_a_devices_token(Backend::Sqlite).await;
}

#[tokio::test]
async fn a_password_gives_a_devices_token_on_postgres() {
    a_password_gives_a_devices_token(Backend::Postgres).await;
}

#[tokio::test]
async fn guesses_are_answered_with_a_wait() {
    let world = World::with(enabled()).await;
    let operator = world.server.caller(world.server.admin());
    let anyone = world.server.caller("");
    for id in ["dora", "eric"] {
        let account = json!({ "id": id, "password": "correct horse" });
        operator.post("/v1/users", &account).await.expect(201);
    }
    // The person's phone is known at this address.
    anyone.post("/v1/login", &login("dora", "correct horse", "phone")).await.expect(200);
    let mut refused = None;
    for n in 0..40 {
        let reply = anyone.post("/v1/login", &login("dora", &format!("guess {n}"), "x")).await;
        if reply.status == 429 {
            refused = Some(reply);
            break;
        }
        assert_eq!(reply.problem(401), "unauthorized");
    }
    let refused = refused.expect("forty guesses are too many");
    assert_eq!(refused.problem(429), "throttled");
    let wait_s = refused.header("retry-after").and_then(|wait| wait.parse::<u32>().ok());
    assert!(wait_s.is_some_and(|wait| (1..=60).contains(&wait)), "{refused:?}");
    assert!(refused.json()["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0));
    // Right or wrong: at that place the right one is not told apart by it. But the phone is heard, so
    // is another user, and the person elsewhere, however often they come.
    for n in 0..14 {
        let given = anyone.post("/v1/login", &login("dora", "correct horse", "phone")).await;
        assert_eq!(given.status, 200, "{n}: {given:?}");
    }
    let right = anyone.post("/v1/login", &login("dora", "correct horse", "x")).await;
    assert_eq!(right.problem(429), "throttled");
    anyone.post("/v1/login", &login("eric", "correct horse", "x")).await.expect(200);
    let elsewhere = anyone.at(std::net::Ipv4Addr::new(127, 0, 0, 2).into());
    for n in 0..14 {
        let given = elsewhere.post("/v1/login", &login("dora", "correct horse", "x")).await;
        assert_eq!(given.status, 200, "{n}: {given:?}");
    }
}

/// However many log in at once, only a few hash at a time, and the memory for it is used again.
#[tokio::test]
async fn logins_at_once_need_the_memory_of_a_few() {
    let world = World::with(enabled()).await;
    let anyone = world.server.caller("");
    // The first one brings what all need.
    anyone.post("/v1/login", &login("u0", "correct horse", "x")).await;
    let before = world.server.resident_peak();
    let mut logins = tokio::task::JoinSet::new();
    for n in 0..66 {
        let at = std::net::Ipv4Addr::new(127, 0, 1, n).into();
        let caller = anyone.at(at);
        logins.spawn(async move {
            let body = login(&format!("u{n}"), "correct horse", "x");
            caller.post("/v1/login", &body).await.status
        });
    }
    let answers = logins.join_all().await;
    assert!(answers.iter().all(|status| matches!(status, 401 | 429)), "{answers:?}");
    assert!(answers.contains(&401), "{answers:?}");
    // 66 of 19 MiB each would be 1.2 GiB; two at a time are 38.
    let grown = world.server.resident_peak().saturating_sub(before);
    assert!(grown < 64 << 20, "{} MiB more", grown >> 20);
}

/// A new password ends what the old one has given: connections at once, and every token.
async fn a_new_password_is_an_epoch(backend: Backend) {
    let world = World::on_with(backend, enabled()).await;
    let operator = world.server.caller(world.server.admin());
    let anyone = world.server.caller("");
    let account = json!({ "id": "dora", "password": "correct horse" });
    operator.post("/v1/users", &account).await.expect(201);
    for common in ["12345678", "password1", "eric2024"] {
        let account = json!({ "id": "eric", "password": common });
        assert_eq!(operator.post("/v1/users", &account).await.problem(400), "bad_request");
    }
    let token = async |password: &str, device: &str| {
        let given = anyone.post("/v1/login", &login("dora", password, device)).await.expect(200);
        given["token"].as_str().expect("a token").to_owned()
    };
    let (phone, laptop) =
        (token("correct horse", "phone").await, token("correct horse", "laptop").await);
    let hello = probe::connect(Version::V5, "dora", "phone", &phone).kept();
    let (mut connected, _) = Probe::connect(&world.mqtt(), &hello).await;
    let change = json!({ "old": "correct horse", "password": "battery staple" });
    let dora = world.server.caller(&laptop);
    dora.put("/v1/users/dora/password", &change).await.expect(204);
    assert!(matches!(connected.ended().await, Some(0x87 | 0x98)));
    assert!(Probe::try_connect(&world.mqtt(), &hello).await.1.code >= 0x80);
    assert_eq!(dora.get("/v1/inbox").await.problem(401), "unauthorized");
    let fresh = token("battery staple", "phone").await;
    let hello = probe::connect(Version::V5, "dora", "phone", &fresh).kept();
    assert!(!Probe::connect(&world.mqtt(), &hello).await.1.present, "what was kept has ended");
}

#[tokio::test]
async fn a_new_password_is_an_epoch_on_sqlite() {
    a_new_password_is_an_epoch(Backend::Sqlite).await;
}

#[tokio::test]
async fn a_new_password_is_an_epoch_on_postgres() {
    a_new_password_is_an_epoch(Backend::Postgres).await;
}

#[tokio::test]
async fn anyone_may_sign_up_where_that_is_on_and_nowhere_else() {
    const PASSWORD: &str = "correct horse";
    let (open, closed, off) =
        tokio::join!(World::with(open_to_all()), World::with(enabled()), World::new(),);
    let account = |id: &str| json!({ "id": id, "password": PASSWORD });
    for world in [&closed, &off] {
        let refused = world.server.caller("").post("/v1/users", &account("dora")).await;
        assert!(matches!(refused.status, 401 | 403), "{refused:?}");
    }
    let refused = off.server.caller("").post("/v1/login", &login("dora", PASSWORD, "x")).await;
    assert_eq!(refused.problem(403), "forbidden");
    let anyone = open.server.caller("");
    anyone.post("/v1/users", &account("dora")).await.expect(201);
    anyone.post("/v1/login", &login("dora", PASSWORD, "phone")).await.expect(200);
    // Nobody becomes someone who is there: by an account, by a conversation, by a device.
    for id in ["dora", "alice", "bob"] {
        assert_eq!(anyone.post("/v1/users", &account(id)).await.problem(409), "conflict", "{id}");
    }
}
