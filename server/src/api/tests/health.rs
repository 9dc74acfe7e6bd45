use super::*;

#[tokio::test]
async fn health_says_which_part_is_down() {
    let world = World::new().await;
    assert_eq!(world.get("/livez", "").await.ok(200)["status"], "live");
    let ready = world.get("/readyz", "").await.ok(200);
    assert_eq!((&ready["state"], &ready["lost"]), (&json!("ready"), &json!([])));
    assert_eq!(ready["parts"]["bus"]["status"], "up");
    world.api.drain();
    let draining = world.get("/readyz", "").await.ok(503);
    assert_eq!(draining["parts"]["listeners"]["status"], "down");
    assert_eq!(draining["parts"]["store"]["status"], "up");
    assert_eq!((&draining["state"], &draining["lost"]), (&json!("down"), &json!(["listeners"])));
    world.opened.close().await;
    world.api.probe.forget();
    let down = world.get("/readyz", "").await.ok(503);
    assert_eq!(down["lost"], json!(["store", "reads", "listeners"]));
    assert_eq!(down["parts"]["store"]["status"], "down");
    let reply = world.get("/v1/conversations/AAAAAAAAAAAAAAAAAAAAAA", ADMIN).await;
    assert!(matches!(reply.status, 500 | 503), "{reply:?}");
    world.get("/livez", "").await.ok(200);
}

#[tokio::test]
async fn paths_and_methods_that_are_not() {
    let world = World::new().await;
    world.get("/", "").await.refused(404, "not_found", "/docs");
    let reply = world.ask("PUT", "/v1/conversations", ADMIN, "{}").await;
    reply.refused(405, "method_not_allowed", "/docs");
    assert_eq!(reply.header("allow"), Some("post,get,head"), "{reply:?}");
    assert_eq!(world.get("/metrics", "").await.status, 200);
}
