use super::*;

#[tokio::test]
async fn settings_are_in_force_at_once() {
    let world = World::new().await;
    let alice = world.token("alice:phone");
    let first = world.get("/v1/settings", &alice).await;
    assert_eq!(first.ok(200), json!({"share_reads": true, "share_presence": true}));
    assert_eq!(first.header("etag"), Some("\"0\""));
    world.signals();
    let reply = world.ask("PATCH", "/v1/settings", &alice, r#"{"share_presence":false}"#).await;
    assert_eq!(reply.ok(200), json!({"share_reads": true, "share_presence": false}));
    let seen = reply.header("etag").unwrap().to_owned();
    let user = godwit_core::ids::UserId::new("alice").unwrap();
    let told = world.signals();
    assert_eq!(told[0], Signal::UserChanged { user });
    assert!(matches!(told[1..], [Signal::Told(_)]), "and the own devices: {told:?}");

    let state: &[(&str, &str)] = &[("If-Match", &seen)];
    let patch = |headers, body| world.ask_with("PATCH", "/v1/settings", &alice, headers, body);
    patch(state, r#"{"share_reads":false}"#).await.ok(200);
    let stale = patch(state, r#"{"share_reads":true}"#).await;
    stale.refused(412, "changed", "If-Match");
    assert_ne!(stale.header("etag"), Some(seen.as_str()));
    let stale = patch(&[("If-Match", "\"no number\"")], r#"{"share_reads":true}"#).await;
    stale.refused(412, "changed", "If-Match");
    patch(&[("If-Match", "*")], r#"{"share_reads":true}"#).await.ok(200);

    let path = "/v1/settings?user=alice";
    assert_eq!(world.get(path, ADMIN).await.ok(200)["share_presence"], json!(false));
    world.ask("PATCH", path, ADMIN, r#"{"share_presence":true}"#).await.ok(200);
    for (path, token, body, status, code, part) in [
        ("/v1/settings", &alice, "{}", 400, "bad_request", "nothing to change"),
        ("/v1/settings", &alice, r#"{"share":true}"#, 400, "bad_request", "unknown field"),
        ("/v1/settings?user=bob", &alice, r#"{"share_reads":true}"#, 403, "forbidden", "own user"),
        (
            "/v1/settings",
            &ADMIN.to_owned(),
            r#"{"share_reads":true}"#,
            400,
            "bad_request",
            "?user=",
        ),
    ] {
        world.ask("PATCH", path, token, body).await.refused(status, code, part);
    }
}
