//! REST and the probes without a token.

use std::time::{Duration, Instant};

use godwit_testkit::rest;
use godwit_testkit::server::Options;
use godwit_testkit::{until, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{PROMPT, prompt, sockets};
use crate::scenarios::world::World;

const MANY: usize = 600;

/// The probes answer, and somebody with a token is served.
async fn is_served(world: &World) {
    let anybody = world.server.caller("");
    let operator = world.server.caller(world.server.admin());
    prompt("/livez", async || drop(anybody.get("/livez").await.expect(200))).await;
    prompt("/readyz", async || drop(anybody.get("/readyz").await.expect(200))).await;
    let path = format!("/v1/conversations/{}", world.cid);
    prompt("REST", async || drop(operator.get(&path).await.expect(200))).await;
}

/// Adds a line to each for as long as it is polled.
async fn drip(mut all: Vec<TcpStream>) {
    loop {
        for stream in &mut all {
            let _ = stream.write_all(b"X-Drip: drip\r\n").await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn headers_that_drip_keep_nobody_out() {
    let world = World::new().await;
    let address = world.server.address("http");
    let all = sockets(&address, MANY, b"GET /livez HTTP/1.1\r\nHost: x\r\n").await;
    tokio::select! {
        () = drip(all) => {}
        () = is_served(&world) => {}
    }
}

#[tokio::test]
async fn bodies_that_drip_keep_nobody_out() {
    let world = World::new().await;
    let address = world.server.address("http");
    let head = b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 Content-Length: 60000\r\n\r\n{";
    let all = sockets(&address, MANY, head).await;
    tokio::select! {
        () = drip(all) => {}
        () = is_served(&world) => {}
    }
}

#[tokio::test]
async fn pipeliners_that_never_read_keep_nobody_out() {
    let world = World::new().await;
    let address = world.server.address("http");
    let requests = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(30);
    let before = world.server.resident();
    let _all = sockets(&address, MANY, &requests).await;
    is_served(&world).await;
    let growth = world.server.resident().saturating_sub(before);
    assert!(growth < 200 << 20, "{} MiB more for answers that nobody reads", growth >> 20);
}

/// With a listener of their own the probes are there, and the metrics there only.
#[tokio::test]
async fn probes_have_a_listener_of_their_own() {
    let options = Options::default()
        .with("GODWIT__LISTEN__PROBES", "127.0.0.1:0")
        .with("GODWIT__LIMITS__HTTP_CONNECTIONS_MAX", "8");
    let world = World::with(options).await;
    let probes = format!("http://{}", world.server.address("probes"));
    let rest = format!("http://{}", world.server.address("http"));
    assert_eq!(rest::ask(&rest, "GET", "/metrics", "", None).await.problem(404), "not_found");
    let _full = sockets(&world.server.address("http"), 50, b"GET /livez HTTP/1.1\r\n").await;
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(rest::ask(&probes, "GET", path, "", None).await.status, 200, "{path}");
    }
    let beside = rest::ask(&probes, "GET", "/v1/inbox", "", None).await;
    assert_eq!(beside.problem(404), "not_found");
}

/// With all descriptors used up a probe is answered: one was kept for it.
#[tokio::test]
async fn a_probe_is_answered_when_descriptors_are_used_up() {
    let wrapper = ["sh", "-c", "ulimit -n 160; exec \"$@\"", "sh"].map(str::to_owned).to_vec();
    let options = Options { wrapper, ..Options::default() };
    let world = World::with(options).await;
    let mqtt = world.server.mqtt();
    // More than are let in: those beyond are told so, and cost all other descriptors meanwhile, for half a
    // minute.
    let _held = sockets(&mqtt, 400, &[0x10]).await;
    let _more = sockets(&world.server.address("ws"), 140, b"GET").await;
    let anybody = world.server.caller("");
    // One after the other, by the same descriptor.
    let start = Instant::now();
    for _ in 0..10 {
        anybody.get("/livez").await.expect(200);
    }
    assert!(start.elapsed() < PROMPT, "ten probes took {:?}", start.elapsed());
    // Written by a thread of its own.
    until("a warning in the log", async || {
        let log = world.server.log();
        log.contains("fewer connections than limits.connections_max").then_some(())
    })
    .await;
}

/// Insists that the server closes without a word.
async fn is_closed(stream: &mut TcpStream) {
    let mut byte = [0];
    let read = within("the end of a connection", stream.read(&mut byte)).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}: {byte:?}");
}

/// One address has so many connections, and others have theirs; whoever leaves makes room.
#[tokio::test]
async fn connections_of_one_address_are_bounded() {
    const MAX: usize = 8;
    let options = Options::default()
        .with("GODWIT__LIMITS__HTTP_CONNECTIONS_PER_ADDRESS_MAX", &MAX.to_string());
    let world = World::with(options).await;
    let address = world.server.address("http");
    let mut all = sockets(&address, MAX, b"").await;
    let anybody = world.server.caller("");
    let elsewhere = anybody.at([127, 0, 0, 2].into());
    is_closed(&mut sockets(&address, 1, b"").await[0]).await;
    assert_eq!(elsewhere.get("/livez").await.status, 200);
    all.pop();
    until("a place", async || anybody.try_get("/livez").await).await;
}

/// The probes' own listener has its own bound.
#[tokio::test]
async fn probes_are_bounded_in_connections() {
    const MAX: usize = 64;
    let options = Options::default().with("GODWIT__LISTEN__PROBES", "127.0.0.1:0");
    let world = World::with(options).await;
    let address = world.server.address("probes");
    let mut all = sockets(&address, MAX, b"").await;
    is_closed(&mut sockets(&address, 1, b"").await[0]).await;
    all.pop();
    let probes = rest::Caller::new(&format!("http://{address}"), "");
    until("a place", async || probes.try_get("/readyz").await).await;
}

/// REST over TLS.
#[tokio::test]
async fn rest_is_served_over_tls() {
    let options = Options::default().with("GODWIT__LISTEN__HTTPS", "127.0.0.1:0");
    let world = World::with(options).await;
    let url = format!("https://{}/livez", world.server.address("https"));
    let url = url.replace("127.0.0.1", "localhost");
    let certificate = world.server.data().join("dev-cert.pem");
    let code = "import ssl, sys, urllib.request\n\
                context = ssl.create_default_context(cafile=sys.argv[2])\n\
                print(urllib.request.urlopen(sys.argv[1], context=context).status)";
    let certificate = certificate.display().to_string();
    assert_eq!(super::tls::python(code, &[&url, &certificate]).await, "200");
    let address = world.server.address("https");
    let _silent = sockets(&address, MANY, b"").await;
    let _half = sockets(&address, 300, super::tls::HALF).await;
    prompt("https", async || {
        super::tls::python(code, &[&url, &certificate]).await;
    })
    .await;
}
