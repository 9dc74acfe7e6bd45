//! The attacker: a thread of its own, connections that take what comes, and no patience.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use godwit_testkit::until;
use godwit_testkit::wire::{self, Connect, Received, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::mint::Mint;
use crate::scenarios::world::{BOTH, World};

/// What an attacker has: addresses, and tokens of one user.
pub(super) struct Means {
    pub(super) mqtt: String,
    pub(super) http: String,
    /// A CONNECT for each of mallory's devices, the even ones with MQTT 3.1.1.
    pub(super) devices: Vec<Connect>,
    stop: Arc<AtomicBool>,
    blows: Arc<AtomicU64>,
}

impl Means {
    /// With tokens for so many devices of mallory.
    pub(super) fn prepare(world: &World, devices: usize) -> Self {
        let mint = Mint::of(world);
        let hello = |n: usize| mint.hello(BOTH[n % 2], "mallory", &format!("device{n}"));
        Self {
            mqtt: world.mqtt(),
            http: world.server.address("http"),
            devices: (0..devices).map(hello).collect(),
            stop: Arc::default(),
            blows: Arc::default(),
        }
    }

    /// A token of mallory's, as REST wants it.
    pub(super) fn token(&self) -> &str {
        self.devices[0].password.as_deref().unwrap_or_default()
    }

    /// Whether to go on.
    pub(super) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Something was done to the server.
    pub(super) fn blow(&self) {
        self.blows.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes breath: a debug build needs ten times as long for each blow.
    pub(super) async fn breathe(&self) {
        if !super::is_strict() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// A connection of a device, if the server lets it in.
    pub(super) async fn enter(&self, device: usize) -> Option<Raider> {
        self.enter_as(&self.devices[device]).await
    }

    /// As [`Means::enter`], with a session that is kept.
    pub(super) async fn enter_kept(&self, device: usize) -> Option<Raider> {
        self.enter_as(&self.devices[device].clone().kept()).await
    }

    /// As [`Means::enter`], with this CONNECT.
    pub(super) async fn enter_as(&self, hello: &Connect) -> Option<Raider> {
        let mut raider = Raider::open(&self.mqtt).await?;
        raider.version = hello.version;
        (raider.write(&wire::connect(hello)).await && raider.welcome().await? == 0)
            .then_some(raider)
    }

    /// What the server answers to this CONNECT: the code, if it says anything.
    pub(super) async fn knock(&self, hello: &Connect) -> Option<u8> {
        let mut raider = Raider::open(&self.mqtt).await?;
        raider.version = hello.version;
        if !raider.write(&wire::connect(hello)).await {
            return None;
        }
        raider.welcome().await
    }

    /// One request of REST with mallory's token; the status, if there is an answer.
    pub(super) async fn ask(&self, method: &str, path: &str, body: &str) -> Option<u16> {
        let mut raider = Raider::open(&self.http).await?;
        let (token, length) = (self.token(), body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        if !raider.write(request.as_bytes()).await {
            return None;
        }
        let answer = raider.reads().await?;
        String::from_utf8_lossy(&answer).split(' ').nth(1)?.parse().ok()
    }
}

/// An attack under way.
pub(super) struct Raid<F> {
    thread: std::thread::JoinHandle<(Means, F)>,
    stop: Arc<AtomicBool>,
    blows: Arc<AtomicU64>,
}

impl<F> Raid<F>
where
    F: AsyncFn(&Means) + Send + 'static,
{
    pub(super) fn begin(means: Means, attack: F) -> Self {
        means.stop.store(false, Ordering::Relaxed);
        means.blows.store(0, Ordering::Relaxed);
        let (stop, blows) = (Arc::clone(&means.stop), Arc::clone(&means.blows));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(attack(&means));
            (means, attack)
        });
        Self { thread, stop, blows }
    }

    /// Waits for the first blow.
    pub(super) async fn underway(&self) {
        until("the attack's first blow", async || {
            assert!(!self.thread.is_finished(), "the attack is over before it began");
            (self.blows.load(Ordering::Relaxed) > 0).then_some(())
        })
        .await;
    }

    /// Tells the attacker to end; what it had, and how many blows there were.
    pub(super) async fn end(self) -> (Means, F, u64) {
        self.stop.store(true, Ordering::Relaxed);
        until("the attack's end", async || self.thread.is_finished().then_some(())).await;
        let (means, attack) = self.thread.join().expect("the attacker does not fail");
        (means, attack, self.blows.load(Ordering::Relaxed))
    }
}

/// How long the attacker waits for a server that does not want to hear it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the attacker is: what is bounded for each address is bounded for it alone.
const HOSTILE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66)), 0);

/// One connection of the attacker's. Nothing that the server does to it is a failure.
pub(super) struct Raider {
    stream: TcpStream,
    pub(super) version: Version,
    /// What came and was not taken yet.
    buffer: Vec<u8>,
    /// How much of what is said again and again was taken of the last time.
    said: usize,
}

impl Raider {
    /// A bare TCP connection, from an address that no honest client has.
    pub(super) async fn open(address: &str) -> Option<Self> {
        let socket = TcpSocket::new_v4().ok()?;
        socket.bind(HOSTILE).ok()?;
        let opened = socket.connect(address.parse().expect("host:port"));
        let stream = tokio::time::timeout(PATIENCE, opened).await.ok()?.ok()?;
        Some(Self { stream, version: Version::V5, buffer: Vec::new(), said: 0 })
    }

    /// Writes; `false`: the server has closed, or takes no more.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> bool {
        let written = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await;
        matches!(written, Ok(Ok(())))
    }

    /// Writes as much of `bytes`, said again and again, as goes at once; `false`: the server has closed.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        match self.stream.try_write(&bytes[self.said..]) {
            Ok(count) => self.said = (self.said + count) % bytes.len(),
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
        true
    }

    /// Waits until the server says something; `false`: it has closed, or says nothing.
    pub(super) async fn hears(&mut self) -> bool {
        self.reads().await.is_some()
    }

    /// What the server says next; `None`: it has closed, or says nothing.
    pub(super) async fn reads(&mut self) -> Option<Vec<u8>> {
        let mut scrap = vec![0; 16 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut scrap)).await;
        scrap.truncate(read.ok()?.ok()?);
        (!scrap.is_empty()).then_some(scrap)
    }

    /// The next packet; `None`: the server has closed, or says nothing for so long.
    pub(super) async fn packet(&mut self, patience: Duration) -> Option<Received> {
        tokio::time::timeout(patience, async {
            loop {
                let packet = wire::take(self.version, &mut self.buffer).expect("what MQTT allows");
                if packet.is_some() {
                    return packet;
                }
                if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        })
        .await
        .ok()?
    }

    /// The code of the CONNACK, if there is one.
    async fn welcome(&mut self) -> Option<u8> {
        match self.packet(PATIENCE).await? {
            Received::ConnAck { code, .. } => Some(code),
            other => panic!("{other:?} instead of a CONNACK"),
        }
    }

    /// Throws away what has come; `false`: the server has closed.
    pub(super) fn skim(&mut self) -> bool {
        let mut scrap = [0; 64 * 1024];
        loop {
            match self.stream.try_read(&mut scrap) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    }
}
