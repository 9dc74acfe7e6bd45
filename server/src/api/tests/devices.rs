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
            "connected_ms": SENT_MS, "revoked_ms": null,
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
    assert_eq!(world.signals(), [Signal::Revoked { device: device.clone(), time_ms: at }]);
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
    door.load_revoked(&*world.api.store).await.unwrap();
    assert!(door.verify(phone.as_bytes()).is_err());
    assert!(door.verify(laptop.as_bytes()).is_ok());

    let path = "/v1/devices/never-seen?user=bob";
    world.ask("DELETE", path, &laptop, "").await.refused(403, "forbidden", "own user");
    let unknown = world.ask("DELETE", path, ADMIN, "").await.ok(200);
    assert_eq!(unknown["device"], "never-seen");
    world.get("/v1/inbox", &world.token("bob:other")).await.ok(200);
}
