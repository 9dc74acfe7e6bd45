//! The attacker: a thread of its own, connections that take what comes, and no patience.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use godwit_testkit::until;
use godwit_testkit::wire::{self, Connect, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::scenarios::world::World;

/// What an attacker has: addresses, and tokens of one user.
pub(super) struct Means {
    pub(super) mqtt: String,
    /// A CONNECT for each of mallory's devices.
    pub(super) devices: Vec<Connect>,
    stop: Arc<AtomicBool>,
    blows: Arc<AtomicU64>,
}

impl Means {
    /// With tokens for so many devices of mallory.
    pub(super) async fn prepare(world: &World, devices: usize) -> Self {
        let mut hellos = Vec::with_capacity(devices);
        for n in 0..devices {
            hellos.push(world.hello(Version::V5, "mallory", &format!("device{n}")).await);
        }
        Self { mqtt: world.mqtt(), devices: hellos, stop: Arc::default(), blows: Arc::default() }
    }

    /// Whether to go on.
    pub(super) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Something was done to the server.
    pub(super) fn blow(&self) {
        self.blows.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection of a device, if the server lets it in.
    pub(super) async fn enter(&self, device: usize) -> Option<Raider> {
        self.enter_as(&self.devices[device]).await
    }

    /// As [`Means::enter`], with a session that is kept.
    pub(super) async fn enter_kept(&self, device: usize) -> Option<Raider> {
        self.enter_as(&self.devices[device].clone().kept()).await
    }

    async fn enter_as(&self, hello: &Connect) -> Option<Raider> {
        let mut raider = Raider::open(&self.mqtt).await?;
        (raider.write(&wire::connect(hello)).await && raider.hears().await).then_some(raider)
    }
}

/// An attack under way.
pub(super) struct Raid {
    thread: std::thread::JoinHandle<()>,
    stop: Arc<AtomicBool>,
    blows: Arc<AtomicU64>,
}

impl Raid {
    pub(super) fn begin<F>(means: Means, attack: F) -> Self
    where
        F: AsyncFn(&Means) + Send + 'static,
    {
        let (stop, blows) = (Arc::clone(&means.stop), Arc::clone(&means.blows));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(attack(&means));
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

    /// Tells the attacker to end; how many blows there were.
    pub(super) async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        until("the attack's end", async || self.thread.is_finished().then_some(())).await;
        self.thread.join().expect("the attacker does not fail");
        self.blows.load(Ordering::Relaxed)
    }
}

/// How long the attacker waits for a server that does not want to hear it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the attacker is: what is bounded for each address is bounded for it alone.
const HOSTILE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66)), 0);

/// One connection of the attacker's. Nothing that the server does to it is a failure.
pub(super) struct Raider {
    stream: TcpStream,
}

impl Raider {
    /// A bare TCP connection, from an address that no honest client has.
    pub(super) async fn open(address: &str) -> Option<Self> {
        let socket = TcpSocket::new_v4().ok()?;
        socket.bind(HOSTILE).ok()?;
        let opened = socket.connect(address.parse().expect("host:port"));
        let stream = tokio::time::timeout(PATIENCE, opened).await.ok()?.ok()?;
        Some(Self { stream })
    }

    /// Writes; `false`: the server has closed, or takes no more.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> bool {
        let written = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await;
        matches!(written, Ok(Ok(())))
    }

    /// Waits until the server says something; `false`: it has closed, or says nothing.
    pub(super) async fn hears(&mut self) -> bool {
        let mut scrap = [0; 16 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut scrap)).await;
        matches!(read, Ok(Ok(count)) if count > 0)
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
