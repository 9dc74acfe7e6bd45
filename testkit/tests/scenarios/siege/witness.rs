//! Honest ones beside the pairs: they ask the probes, or come by TLS, again and again.

use std::sync::Arc;
use std::time::Duration;

use godwit_testkit::wire::{self, Connect};
use godwit_testkit::{rest, within};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::honest::PACE;
use super::mint::Mint;
use crate::scenarios::world::{BOTH, World};

/// How many do it side by side, each once in [`PACE`].
const MANY: u32 = 4;

/// What is done beside the pairs' talk.
pub(super) enum Witness {
    None,
    /// Somebody asks whether the server lives and is ready.
    Probes {
        http: rest::Caller,
    },
    /// Devices connect by TLS and by WSS, and go.
    Comers {
        tls: TlsConnector,
        mqtts: String,
        wss: String,
        hellos: Vec<Connect>,
    },
}

impl Witness {
    pub(super) fn probes(world: &World) -> Self {
        Self::Probes { http: world.server.caller("") }
    }

    pub(super) fn comers(world: &World) -> Self {
        let mint = Mint::of(world);
        let hello = |n: u32| {
            let version = BOTH[usize::from(n.is_multiple_of(2))];
            mint.hello(version, "comer", &format!("phone{n}"))
        };
        let hellos = (0..MANY).map(hello).collect();
        let certificate = CertificateDer::from_pem_file(world.server.data().join("dev-cert.pem"));
        let mut roots = RootCertStore::empty();
        roots.add(certificate.expect("dev's certificate")).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring's own versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Each handshake is a whole one.
        config.resumption = rustls::client::Resumption::disabled();
        Self::Comers {
            tls: TlsConnector::from(Arc::new(config)),
            mqtts: world.server.address("mqtts"),
            wss: world.server.address("wss"),
            hellos,
        }
    }

    /// Does it for so long; how long it took each time, if there is anything to do.
    pub(super) async fn watch(self: &Arc<Self>, span: Duration) -> Option<Vec<Duration>> {
        if matches!(**self, Self::None) {
            return None;
        }
        let begin = Instant::now();
        let mut all = JoinSet::new();
        for n in 0..MANY {
            let witness = Arc::clone(self);
            all.spawn(async move {
                let (mut times, mut due) = (Vec::new(), begin + PACE * n / MANY);
                while due < begin + span {
                    tokio::time::sleep_until(due).await;
                    witness.once(n, times.len()).await;
                    times.push(due.elapsed());
                    due += PACE;
                }
                times
            });
        }
        let mut times = Vec::new();
        while let Some(done) = within("a witness", all.join_next()).await {
            times.extend(done.expect("what is honest is served"));
        }
        Some(times)
    }

    async fn once(&self, n: u32, round: usize) {
        match self {
            Self::None => {}
            Self::Probes { http } => {
                let path = ["/livez", "/readyz"][round % 2];
                let status = http.get(path).await.status;
                // Ready is what the disk allows.
                assert!(status == 200 || (path == "/readyz" && status == 503), "{path}: {status}");
            }
            Self::Comers { tls, mqtts, wss, hellos } => {
                let hello = wire::connect(&hellos[n as usize]);
                let (address, web) =
                    if round.is_multiple_of(2) { (mqtts, false) } else { (wss, true) };
                within("a connection by TLS", come(tls, address, web, &hello)).await;
            }
        }
    }
}

/// From nothing to a CONNACK that lets in; over WebSocket if `web`.
async fn come(tls: &TlsConnector, address: &str, web: bool, hello: &[u8]) {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("a fresh socket");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = tls.connect(name, stream).await.expect("a handshake");
    if web {
        let upgrade = format!(
            "GET /mqtt HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        stream.write_all(upgrade.as_bytes()).await.expect("a request");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.expect("an answer"));
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        let length = u16::try_from(hello.len()).expect("a short CONNECT");
        // Binary, whole, and masked by nothing.
        let mut frame = vec![0x82, 0x80 | 126];
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(hello);
        stream.write_all(&frame).await.expect("a CONNECT");
        assert_eq!(stream.read_u8().await.expect("a frame"), 0x82);
        assert!(stream.read_u8().await.expect("its length") < 126);
    } else {
        stream.write_all(hello).await.expect("a CONNECT");
    }
    let mut welcome = [0; 4];
    stream.read_exact(&mut welcome).await.expect("a CONNACK");
    assert_eq!((welcome[0], welcome[3]), (0x20, 0), "{welcome:?}");
    let _ = stream.shutdown().await;
}
