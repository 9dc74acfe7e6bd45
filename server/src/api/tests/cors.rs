use super::*;

const PAGE: &str = "https://chat.example.org";

async fn world() -> World {
    World::with(|config| {
        config.http.cors_origins = vec![PAGE.to_owned(), "http://localhost:*".to_owned()];
    })
    .await
}

#[tokio::test]
async fn a_listed_page_may_ask_and_read_the_answer() {
    let world = world().await;
    for page in [PAGE, "http://localhost:5173"] {
        let headers = [
            ("Origin", page),
            ("Access-Control-Request-Method", "PATCH"),
            ("Access-Control-Request-Headers", "authorization,if-match,idempotency-key"),
        ];
        let asked = world.ask_with("OPTIONS", "/v1/conversations", "", &headers, "").await;
        assert_eq!(asked.status, 200, "{asked:?}");
        assert_eq!(asked.header("access-control-allow-origin"), Some(page));
        let methods = asked.header("access-control-allow-methods").unwrap();
        assert!(["get", "post", "put", "patch", "delete"].iter().all(|m| methods.contains(m)));
        let names = asked.header("access-control-allow-headers").unwrap();
        for name in ["authorization", "content-type", "if-match", "idempotency-key"] {
            assert!(names.contains(name), "{name}: {names}");
        }
        assert_eq!(asked.header("access-control-allow-credentials"), None);
        // A refusal is read by the page as well.
        let refused = world.ask_with("GET", "/v1/inbox", "", &[("Origin", page)], "").await;
        assert_eq!(refused.status, 401, "{refused:?}");
        assert_eq!(refused.header("access-control-allow-origin"), Some(page));
        let vary = refused.header("vary").unwrap();
        assert!(vary.contains("origin"), "caches must not mix pages: {vary}");
        let token = world.token("alice:phone");
        let inbox = world.ask_with("GET", "/v1/inbox", &token, &[("Origin", page)], "").await;
        assert_eq!(inbox.status, 200, "{inbox:?}");
        let exposed = inbox.header("access-control-expose-headers").unwrap();
        assert!(["etag", "location", "retry-after"].iter().all(|name| exposed.contains(name)));
    }
}

#[tokio::test]
async fn other_pages_are_let_in_nowhere() {
    for (world, page) in [
        (world().await, "https://evil.example"),
        (world().await, "http://localhost.evil.example"),
        // Without a list there is no page that may.
        (World::new().await, PAGE),
    ] {
        let headers = [("Origin", page), ("Access-Control-Request-Method", "GET")];
        let asked = world.ask_with("OPTIONS", "/v1/inbox", "", &headers, "").await;
        assert_eq!(asked.header("access-control-allow-origin"), None, "{page}: {asked:?}");
        let token = world.token("alice:phone");
        let inbox = world.ask_with("GET", "/v1/inbox", &token, &[("Origin", page)], "").await;
        assert_eq!(inbox.header("access-control-allow-origin"), None, "{page}: {inbox:?}");
    }
}
