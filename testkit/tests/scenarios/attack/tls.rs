//! TLS and WebSocket without a token.

use std::time::{Duration, Instant};

use godwit_testkit::server::Options;
use godwit_testkit::within;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{prompt, sockets};
use crate::scenarios::world::World;

/// More than handshakes are allowed at once.
const MANY: usize = 1200;
/// The beginning of a ClientHello's record, and no more.
pub(super) const HALF: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00];

/// Runs some lines of Python; what they print.
pub(super) async fn python(code: &str, words: &[&str]) -> String {
    let out = Command::new("python3").args(["-c", code]).args(words).output();
    let out = within("python3", out).await.expect("python3");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

async fn honest_tls(address: &str) {
    let (host, port) = address.rsplit_once(':').expect("host:port");
    let code = "import ssl, sys\nssl.get_server_certificate((sys.argv[1], int(sys.argv[2])))";
    python(code, &[host, port]).await;
}

async fn honest_websocket(address: &str) {
    let upgrade = format!(
        "GET /mqtt HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(upgrade.as_bytes()).await.expect("a request");
    let mut status = [0; 12];
    within("an upgrade", stream.read_exact(&mut status)).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 101");
}

/// Silent sockets, renewed for as long as it lasts, delay no handshake.
#[tokio::test]
async fn silent_sockets_delay_no_handshake() {
    let world = World::new().await;
    for (name, is_tls) in [("mqtts", true), ("ws", false)] {
        let address = world.server.address(name);
        let _silent = sockets(&address, MANY, b"").await;
        prompt(name, async || match is_tls {
            true => honest_tls(&address).await,
            false => honest_websocket(&address).await,
        })
        .await;
    }
}

/// Handshakes that were begun and are not gone on with make room.
#[tokio::test]
async fn half_handshakes_make_room() {
    let world = World::new().await;
    let address = world.server.address("mqtts");
    let _half = sockets(&address, MANY, HALF).await;
    prompt("mqtts", async || honest_tls(&address).await).await;
}

/// One time limit counts from accept to CONNECT, whatever was done meanwhile.
#[tokio::test]
async fn the_connect_timeout_counts_once() {
    let options = Options::default().with("GODWIT__LIMITS__CONNECT_TIMEOUT", "3s");
    let world = World::with(options).await;
    let address = world.server.address("mqtts");
    let (host, port) = address.rsplit_once(':').expect("host:port");
    // The handshake comes late, the CONNECT never.
    let code = "import socket, ssl, sys, time\n\
                plain = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n\
                start = time.monotonic()\n\
                time.sleep(2)\n\
                context = ssl._create_unverified_context()\n\
                tls = context.wrap_socket(plain)\n\
                try:\n    tls.recv(1)\n\
                except OSError:\n    pass\n\
                print(time.monotonic() - start)";
    let start = Instant::now();
    let took: f64 = python(code, &[host, port]).await.parse().expect("seconds");
    assert!((2.0..4.5).contains(&took), "{took} s, {:?} with Python", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(15));
}
