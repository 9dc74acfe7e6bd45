//! What a request may take of time and of bytes.

use std::time::Instant;

use super::*;

/// A body that does not come is awaited for so long, whoever sends it.
#[tokio::test]
async fn a_request_has_so_much_time() {
    let world = World::new().await;
    let start = Instant::now();
    let request = format!(
        "POST /v1/conversations HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Authorization: Bearer {ADMIN}\r\nContent-Length: 100\r\n\r\n{{"
    );
    let reply = world.raw(request.as_bytes()).await;
    reply.refused(503, "unavailable", "not done in time");
    let took = start.elapsed();
    assert!(took >= HTTP_REQUEST_TIME_MAX, "after {took:?}");
    assert!(took < HTTP_REQUEST_TIME_MAX + Duration::from_secs(8), "after {took:?}");
}

/// Who shows no token is heard up to 64 KiB, by its own word about the length or without.
#[tokio::test]
async fn strangers_send_small_bodies() {
    let world = World::with(|config| config.accounts.enabled = true).await;
    let of = |bytes: usize| format!("{{{}", " ".repeat(bytes - 1));
    let (fits, more) = (of(HTTP_STRANGERS_BODY_BYTES_MAX), of(HTTP_STRANGERS_BODY_BYTES_MAX + 1));
    world.ask("POST", "/v1/login", "", &fits).await.refused(400, "bad_request", "");
    world.ask("POST", "/v1/login", "", &more).await.refused(413, "too_large", "");
    for (body, status) in [(&fits, 400), (&more, 413)] {
        let chunked = format!(
            "POST /v1/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        assert_eq!(world.raw(chunked.as_bytes()).await.status, status, "{}", body.len());
    }
    // With a token it is the request that is looked at.
    world.ask("POST", "/v1/conversations", ADMIN, &more).await.refused(400, "bad_request", "");
}
