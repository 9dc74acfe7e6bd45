use super::*;

#[tokio::test]
async fn devices_are_listed_and_named() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let seen: Vec<(Identity, u64)> = ["alice:tablet", "alice:phone", "alice:laptop", "bob:phone"]
        .map(|who| (who.parse().unwrap(), SENT_MS))
        .to_vec();
    world.api.store.note_devices(&seen).await.unwrap();
    let names = walk(&world, "/v1/devices?limit=2", &alice, "devices", "device").await;
    assert_eq!(names, ["laptop", "phone", "tablet"]);
    let path = "/v1/devices/phone";
    let named = world.ask("PATCH", path, &alice, r#"{"name":"Alice's phone"}"#).await.ok(200);
    assert_eq!(
        named,
        json!({
            "device": "phone", "name": "Alice's phone", "created_ms": SENT_MS,
            "connected_ms": SENT_MS, "revoked_ms": null, "barred": false,
        })
    );
    let admin = world.get("/v1/devices?user=alice", ADMIN).await.ok(200);
    assert_eq!(admin["devices"][1]["name"], "Alice's phone");
    let long = json!({"name": "x".repeat(129)}).to_string();
    for (path, body, status, code, part) in [
        ("/v1/devices/watch", r#"{"name":"x"}"#, 404, "not_found", "ever been connected"),
        ("/v1/devices/a%2Fb", r#"{"name":"x"}"#, 400, "bad_request", "device id in the path"),
        (path, "{}", 400, "bad_request", "missing field `name`"),
        (path, r#"{"name":"a\u0000"}"#, 400, "bad_request", "control characters"),
        (path, &long, 400, "bad_request", "129 characters"),
        ("/v1/devices/phone?user=bob", r#"{"name":"x"}"#, 403, "forbidden", "own user"),
    ] {
        world.ask("PATCH", path, &alice, body).await.refused(status, code, part);
    }
}

#[tokio::test]
async fn a_revoked_device_is_out_until_a_later_token() {
    let world = World::new().await;
    let (phone, laptop) = (world.token("alice:phone"), world.token("alice:laptop"));
    world.get("/v1/inbox", &phone).await.ok(200);
    world.signals();
    let revoked = world.ask("DELETE", "/v1/devices/phone", &laptop, "").await.ok(200);
    let at = revoked["revoked_ms"].as_u64().unwrap();
    let device: Identity = "alice:phone".parse().unwrap();
    assert_eq!(world.signals(), [Signal::Revoked]);
    world.get("/v1/inbox", &phone).await.refused(401, "unauthorized", "revoked");
    world.get("/v1/inbox", &laptop).await.ok(200);
    // A token of a later moment is good again.
    let ttl = Duration::from_secs(60);
    let later = world.key.mint(&device, ttl, None, at + 1).unwrap();
    world.get("/v1/inbox", later.expose()).await.ok(200);
    let same = world.key.mint(&device, ttl, None, at).unwrap();
    world.get("/v1/inbox", same.expose()).await.refused(401, "unauthorized", "issued later");

    // Another server, or this one after a restart, reads it from the store.
    let config = Config {
        server: crate::config::Server {
            data_dir: world._dir.path().to_owned(),
            ..Default::default()
        },
        ..Config::default()
    };
    let door = Doorkeeper::new(&config, &world.key, false).unwrap();
    assert!(door.verify(phone.as_bytes()).is_ok());
    let door = Arc::new(door);
    let watch = Watch::new(world.opened.port(), Arc::clone(&door), Vec::new(), Duration::ZERO);
    assert_eq!(watch.look().await.unwrap(), 1);
    assert!(door.verify(phone.as_bytes()).is_err());
    assert!(door.verify(laptop.as_bytes()).is_ok());

    let path = "/v1/devices/never-seen?user=bob";
    world.ask("DELETE", path, &laptop, "").await.refused(403, "forbidden", "own user");
    let unknown = world.ask("DELETE", path, ADMIN, "").await.ok(200);
    assert_eq!(unknown["device"], "never-seen");
    world.get("/v1/inbox", &world.token("bob:other")).await.ok(200);
}

#[tokio::test]
async fn a_barred_device_is_out_whatever_its_tokens_say() {
    let world = World::new().await;
    let laptop = world.token("alice:laptop");
    let phone: Identity = "alice:phone".parse().unwrap();
    world.api.store.note_devices(&[(phone.clone(), SENT_MS)]).await.unwrap();
    let barred = world.ask("DELETE", "/v1/devices/phone?bar=true", &laptop, "").await.ok(200);
    assert_eq!(barred["barred"], true);
    let at = barred["revoked_ms"].as_u64().unwrap();
    let later = world.key.mint(&phone, Duration::from_secs(60), None, at + 1).unwrap();
    world.get("/v1/inbox", later.expose()).await.refused(401, "unauthorized", "revoked");
    // Revoked again without a word of it, it stays barred.
    let again = world.ask("DELETE", "/v1/devices/phone", &laptop, "").await.ok(200);
    assert_eq!(again["barred"], true);
    let path = "/v1/devices/phone/bar";
    world.ask("DELETE", path, &world.token("bob:phone"), "").await.refused(
        404,
        "not_found",
        "ever",
    );
    let lifted = world.ask("DELETE", path, &laptop, "").await.ok(200);
    assert_eq!((&lifted["barred"], &lifted["revoked_ms"]), (&json!(false), &again["revoked_ms"]));
    world.get("/v1/inbox", later.expose()).await.refused(401, "unauthorized", "revoked");
    let at = again["revoked_ms"].as_u64().unwrap();
    let later = world.key.mint(&phone, Duration::from_secs(60), None, at + 1).unwrap();
    world.get("/v1/inbox", later.expose()).await.ok(200);
    world.ask("DELETE", "/v1/devices/phone?bar=1", &laptop, "").await.refused(
        400,
        "bad_request",
        "bar in the query",
    );
}

#[tokio::test]
async fn all_devices_are_revoked_at_once_and_invented_ones_are_bounded() {
    let world = World::new().await;
    let (phone, laptop) = (world.token("alice:phone"), world.token("alice:laptop"));
    let bob = world.token("bob:phone");
    for n in 0..godwit_core::limits::REVOKED_UNSEEN_MAX {
        world.ask("DELETE", &format!("/v1/devices/made-up-{n}"), &phone, "").await.ok(200);
    }
    let one_more = world.ask("DELETE", "/v1/devices/made-up", &phone, "").await;
    one_more.refused(409, "conflict", "DELETE /v1/devices");
    world.ask("DELETE", "/v1/devices/made-up-1", &phone, "").await.ok(200);
    world.ask("DELETE", "/v1/devices/made-up", &bob, "").await.ok(200);
    for bad in ["..", "."] {
        let path = format!("/v1/devices/x?user={bad}");
        world.ask("DELETE", &path, ADMIN, "").await.refused(400, "bad_request", ". or ..");
    }
    world.ask("DELETE", "/v1/devices?user=bob", &phone, "").await.refused(403, "forbidden", "own");
    world.ask("DELETE", "/v1/devices", &phone, "").await.ok(204);
    for token in [&phone, &laptop] {
        world.get("/v1/inbox", token).await.refused(401, "unauthorized", "revoked");
    }
    world.get("/v1/inbox", &bob).await.ok(200);
    let at = world.get("/v1/users/alice", ADMIN).await.ok(200)["revoked_ms"].as_u64().unwrap();
    let identity: Identity = "alice:phone".parse().unwrap();
    let later = world.key.mint(&identity, Duration::from_secs(60), None, at + 1).unwrap();
    world.get("/v1/inbox", later.expose()).await.ok(200);
}

#[tokio::test]
async fn a_suspended_user_is_out_until_it_is_lifted() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let path = "/v1/users/alice/suspension";
    world.ask("PUT", path, &alice, "").await.refused(403, "forbidden", "only operators");
    let suspended = world.ask("PUT", path, ADMIN, "").await.ok(200);
    assert_eq!(suspended["suspended"], true);
    let far = crate::clock::now_ms() + 900;
    let identity: Identity = "alice:phone".parse().unwrap();
    let later = world.key.mint(&identity, Duration::from_secs(60), None, far).unwrap();
    for token in [alice.as_str(), later.expose()] {
        world.get("/v1/inbox", token).await.refused(401, "unauthorized", "");
    }
    assert_eq!(world.ask("PUT", path, ADMIN, "").await.ok(200), suspended);
    let lifted = world.ask("DELETE", path, ADMIN, "").await.ok(200);
    assert_eq!(lifted["suspended"], false);
    world.get("/v1/inbox", &alice).await.refused(401, "unauthorized", "revoked");
    let at = lifted["revoked_ms"].as_u64().unwrap();
    let later = world.key.mint(&identity, Duration::from_secs(60), None, at + 1).unwrap();
    world.get("/v1/inbox", later.expose()).await.ok(200);
}
