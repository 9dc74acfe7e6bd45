//! A page in a browser against `godwit dev`: what the browser asks before it lets the page talk.

use godwit_testkit::within;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::world::World;

/// The status of a WebSocket upgrade that a page of this origin asks for.
async fn upgrade(world: &World, origin: &str) -> String {
    let url = world.server.address("ws");
    let host = url.trim_start_matches("ws://").trim_end_matches("/mqtt").to_owned();
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: mqtt\r\nOrigin: {origin}\r\n\r\n"
    );
    let mut answer = vec![0; 1024];
    let read = within("the upgrade", async {
        let mut stream = TcpStream::connect(&host).await?;
        stream.write_all(request.as_bytes()).await?;
        stream.read(&mut answer).await
    });
    let count = read.await.unwrap_or_else(|error| panic!("{origin}: {error}"));
    let answer = String::from_utf8_lossy(&answer[..count]);
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// Whether REST tells a browser that a page of this origin may read its answers.
async fn may_read(world: &World, origin: &str) -> bool {
    let caller = world.server.caller("");
    let headers = [("Origin", origin), ("Access-Control-Request-Method", "GET")];
    let asked = caller.ask("OPTIONS", "/v1/inbox", &headers, None).await;
    asked.header("access-control-allow-origin") == Some(origin)
}

#[tokio::test]
async fn dev_lets_pages_of_this_machine_in_and_no_others() {
    let world = World::new().await;
    for (origin, expected) in [
        ("http://localhost:5173", true),
        ("http://127.0.0.1:3000", true),
        ("http://[::1]:8000", true),
        ("https://localhost:5173", true),
        ("https://chat.example.org", false),
        ("http://localhost.example.org", false),
        ("null", false),
    ] {
        let status = if expected { "101" } else { "403" };
        assert_eq!(upgrade(&world, origin).await, status, "WebSocket, {origin}");
        assert_eq!(may_read(&world, origin).await, expected, "REST, {origin}");
    }
}
