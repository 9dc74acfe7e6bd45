//! One hostile peer, with no token or with its own alone, and honest ones beside it that must not
//! notice: `tls`, `http`, `hello` before a peer is known, `weight` once it is.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::world::World;
use godwit_testkit::wire::Version;
use godwit_testkit::within;

mod hello;
mod http;
mod tls;
mod weight;

/// What an honest peer waits at most while somebody attacks, in a debug build on a machine that does
/// other work too. Each of these attacks held everybody up for longer than this, or for good.
const PROMPT: Duration = Duration::from_secs(4);

/// So many sockets, each of which has sent these bytes.
async fn sockets(address: &str, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let stream = within("a TCP connection", TcpStream::connect(address)).await;
        let mut stream = stream.unwrap_or_else(|error| panic!("{address}: {error}"));
        // A server that has closed it already is what is hoped for.
        let _ = stream.write_all(bytes).await;
        all.push(stream);
    }
    all
}

/// Insists that something is done promptly, a few times in a row.
async fn prompt(what: &str, mut done: impl AsyncFnMut()) {
    for round in 0..4 {
        let start = Instant::now();
        done().await;
        let took = start.elapsed();
        assert!(took < PROMPT, "{what}, round {round}: {took:?}");
    }
}

/// carol and dave talk while something goes on; the median of their rounds.
async fn others<T>(world: &World, attack: impl Future<Output = T>) -> (T, Duration) {
    let cid = world.server.create("direct", &["carol", "dave"]).await;
    let mut carol = world.probe(Version::V5, "carol", "phone").await;
    let mut dave = world.probe(Version::V5, "dave", "phone").await;
    dave.subscribe("m/#").await;
    let mut rounds = Vec::new();
    let mut attack = std::pin::pin!(attack);
    let result = loop {
        let round = async {
            // As fast as one user may send, and no faster.
            tokio::time::sleep(Duration::from_millis(25)).await;
            let start = Instant::now();
            assert_eq!(carol.publish(&format!("c/{cid}"), b"how are you").await.code, 0);
            dave.recv().await;
            start.elapsed()
        };
        tokio::select! {
            biased;
            result = attack.as_mut() => break result,
            took = round => rounds.push(took),
        }
    };
    assert!(rounds.len() >= 10, "the others got {} rounds", rounds.len());
    rounds.sort_unstable();
    (result, rounds[rounds.len() / 2])
}
