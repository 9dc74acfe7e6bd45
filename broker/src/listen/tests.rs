//! Listeners over real sockets on loopback.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

mod websocket;

/// Longer than anything here takes; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it does not happen")
}

/// A listener that is running.
struct Running {
    address: SocketAddr,
    accepted: mpsc::UnboundedReceiver<Socket>,
    census: Arc<Census>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn run(kind: Kind, options: Options, census: Arc<Census>) -> Running {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), kind, options).unwrap();
    let address = listener.address();
    let (sender, accepted) = mpsc::unbounded_channel();
    let accept = move |socket: Socket, peer: SocketAddr| {
        assert!(peer.ip().is_loopback());
        drop(sender.send(socket));
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let stop_signal = async move { drop(stopped.await) };
    let task = tokio::spawn(listener.run(Arc::clone(&census), Arc::new(accept), stop_signal));
    Running { address, accepted, census, stop, task }
}

impl Running {
    fn new(kind: Kind) -> Self {
        run(kind, Options::default(), Census::new(100, 100))
    }

    async fn connect(&self) -> TcpStream {
        soon(TcpStream::connect(self.address)).await.unwrap()
    }

    async fn next(&mut self) -> Socket {
        soon(self.accepted.recv()).await.unwrap()
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        soon(self.task).await.unwrap();
    }
}

/// Sends some bytes there and back.
async fn exchange(
    client: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    server: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
) {
    let mut seen = [0; 4];
    soon(client.write_all(b"ping")).await.unwrap();
    soon(client.flush()).await.unwrap();
    soon(server.read_exact(&mut seen)).await.unwrap();
    assert_eq!(&seen, b"ping");
    soon(server.write_all(b"pong")).await.unwrap();
    soon(server.flush()).await.unwrap();
    soon(client.read_exact(&mut seen)).await.unwrap();
    assert_eq!(&seen, b"pong");
}

async fn assert_closed(stream: &mut TcpStream) {
    let read = soon(stream.read(&mut [0; 16])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

/// A directory of its own with a certificate in it.
struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("godwit-listen-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        let files = Self(path);
        files.renew();
        files
    }

    fn certificate(&self) -> PathBuf {
        self.0.join("certificate.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    /// Writes a new certificate for `localhost` and returns it.
    fn renew(&self) -> CertificateDer<'static> {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(self.certificate(), pair.cert.pem()).unwrap();
        std::fs::write(self.key(), pair.signing_key.serialize_pem()).unwrap();
        pair.cert.der().clone()
    }

    fn load(&self) -> Tls {
        Tls::load(&self.certificate(), &self.key()).unwrap()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

async fn tls_connect(
    tcp: TcpStream,
    trusted: &[&CertificateDer<'static>],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add((*certificate).clone()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    soon(TlsConnector::from(Arc::new(config)).connect(name, tcp)).await
}

fn ring_provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::ring::default_provider()
}

#[tokio::test]
async fn plain_bytes_pass_both_ways() {
    let mut listener = Running::new(Kind::Tcp);
    let mut client = listener.connect().await;
    let mut server = listener.next().await;
    exchange(&mut client, &mut server).await;
    drop(server);
    assert_closed(&mut client).await;
    listener.end().await;
}

#[tokio::test]
async fn a_busy_port_is_named() {
    let first = Listener::bind("127.0.0.1:0".parse().unwrap(), Kind::Tcp, Options::default());
    let address = first.as_ref().unwrap().address();
    let error = Listener::bind(address, Kind::Tcp, Options::default()).unwrap_err();
    assert!(matches!(error, Error::InUse { address: busy } if busy == address));
    assert!(error.to_string().contains(&address.to_string()));
    let foreign: SocketAddr = "192.0.2.1:0".parse().unwrap();
    let error = Listener::bind(foreign, Kind::Tcp, Options::default()).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
}

#[tokio::test]
async fn connections_beyond_the_census_are_closed_and_others_unharmed() {
    let mut listener = run(Kind::Tcp, Options::default(), Census::new(9, 1));
    let mut first = listener.connect().await;
    let mut served = listener.next().await;
    assert_closed(&mut listener.connect().await).await;
    exchange(&mut first, &mut served).await;
    drop(served);
    assert_eq!(listener.census.total(), 0);
    let mut third = listener.connect().await;
    let mut served = listener.next().await;
    exchange(&mut third, &mut served).await;
    listener.end().await;
}

#[tokio::test]
async fn stopping_frees_the_address_and_cuts_handshakes() {
    let listener = Running::new(Kind::Tls(Files::new().load()));
    let mut silent = listener.connect().await;
    let (address, census) = (listener.address, Arc::clone(&listener.census));
    // Once the census counts it, its handshake is under way.
    soon(async {
        while census.total() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    listener.end().await;
    assert_closed(&mut silent).await;
    assert_eq!(census.total(), 0);
    Listener::bind(address, Kind::Tcp, Options::default()).unwrap();
}

#[tokio::test]
async fn a_silent_tls_client_blocks_nobody_and_is_cut() {
    let files = Files::new();
    let certificate = files.renew();
    let options = Options { handshake_timeout: Duration::from_millis(300), ..Options::default() };
    let mut listener = run(Kind::Tls(files.load()), options, Census::new(9, 9));
    let mut silent = listener.connect().await;
    let mut client = tls_connect(listener.connect().await, &[&certificate]).await.unwrap();
    let mut server = listener.next().await;
    exchange(&mut client, &mut server).await;
    assert_closed(&mut silent).await;
    listener.end().await;
}

#[tokio::test]
async fn full_of_handshakes_the_next_waits_for_its_turn() {
    let files = Files::new();
    let certificate = files.renew();
    let options = Options {
        handshakes_max: 1,
        handshake_timeout: Duration::from_millis(300),
        ..Options::default()
    };
    let mut listener = run(Kind::Tls(files.load()), options, Census::new(9, 9));
    let mut silent = listener.connect().await;
    let mut client = tls_connect(listener.connect().await, &[&certificate]).await.unwrap();
    let mut server = listener.next().await;
    exchange(&mut client, &mut server).await;
    assert_closed(&mut silent).await;
    listener.end().await;
}

#[tokio::test]
async fn a_reload_changes_the_certificate_of_new_handshakes_only() {
    let files = Files::new();
    let old = files.renew();
    let tls = files.load();
    let mut listener = Running::new(Kind::Tls(tls.clone()));
    let mut first = tls_connect(listener.connect().await, &[&old]).await.unwrap();
    let mut first_server = listener.next().await;
    exchange(&mut first, &mut first_server).await;

    let new = files.renew();
    assert!(tls_connect(listener.connect().await, &[&new]).await.is_err(), "not reloaded yet");
    tls.reload().unwrap();
    let mut second = tls_connect(listener.connect().await, &[&new]).await.unwrap();
    let mut second_server = listener.next().await;
    exchange(&mut second, &mut second_server).await;
    exchange(&mut first, &mut first_server).await;

    std::fs::write(files.certificate(), "no PEM at all").unwrap();
    let error = tls.reload().unwrap_err();
    assert!(matches!(&error, tls::Error::Empty { path } if *path == files.certificate()));
    tls_connect(listener.connect().await, &[&new]).await.unwrap();
    listener.end().await;
}

#[test]
fn certificates_that_cannot_be_used_are_named() {
    let (files, other) = (Files::new(), Files::new());
    let missing = files.0.join("missing.pem");
    let garbage = files.0.join("garbage.pem");
    let text = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    std::fs::write(&garbage, text).unwrap();
    let named = |certificate: &Path, key: &Path, culprit: &Path, what: &str| {
        let error = Tls::load(certificate, key).unwrap_err().to_string();
        assert!(error.contains(&culprit.display().to_string()), "{error}");
        assert!(error.contains(what), "{error}");
    };
    named(&missing, &files.key(), &missing, "No such file");
    named(&files.certificate(), &missing, &missing, "No such file");
    named(&garbage, &files.key(), &garbage, "cannot read the TLS certificate");
    named(&files.key(), &files.key(), &files.key(), "no PEM certificate");
    named(&files.certificate(), &files.certificate(), &files.certificate(), "TLS key");
    named(&files.certificate(), &other.key(), &other.key(), "does not fit");
}

/// Runs itself again with few file descriptors: when they are used up, accepting fails; when some
/// are free again, it goes on.
#[test]
fn used_up_descriptors_do_not_end_a_listener() {
    const INNER: &str = "GODWIT_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(INNER).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(use_up_descriptors());
        return;
    }
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" --exact --nocapture \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg("listen::tests::used_up_descriptors_do_not_end_a_listener")
        .env(INNER, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert!(text.contains("accepting fails for want of descriptors"), "{text}");
}

async fn use_up_descriptors() {
    let mut listener = Running::new(Kind::Tcp);
    let spare = std::fs::File::open("/dev/null").unwrap();
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect(listener.address).await {
        clients.push(client);
        assert!(clients.len() < 100, "the limit is not in force");
    }
    let quiet = 3 * ACCEPT_PAUSE;
    let mut served = Vec::new();
    while let Ok(socket) = tokio::time::timeout(quiet, listener.accepted.recv()).await {
        served.push(socket.unwrap());
    }
    if served.len() == clients.len() {
        // The listener got the last descriptor: one more client takes the one that is set free.
        drop(spare);
        clients.push(listener.connect().await);
    }
    let accepted = tokio::time::timeout(quiet, listener.accepted.recv()).await;
    assert!(accepted.is_err(), "there was a descriptor left");
    println!("accepting fails for want of descriptors");

    // The first in the backlog is the first that was not served.
    let mut waiting = clients.swap_remove(served.len());
    drop(served);
    let mut socket = listener.next().await;
    exchange(&mut waiting, &mut socket).await;
    listener.end().await;
}
