//! The broker as a whole: its beginning and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use godwit_core::edge::{Code, Downlink as _, Gate, Message, Outcome, Qos, Upstream};
use godwit_core::tasks::Supervisor;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::account::Accounts;
use crate::client::Registry;
use crate::clock::now_s;
use crate::journal::Journal;
use crate::limits::REFUSALS_MAX;
use crate::listen::{Accept, Census, Listener, Socket};
use crate::options::Options;
use crate::plain::Bound;
use crate::router::Router;
use crate::shared::Shared;
use crate::{account, connect, hello, metrics, retained, sweep};

/// Where the listeners' connections go.
struct Entrance(Arc<Shared>);

impl Entrance {
    /// Runs one accepted connection to its end.
    fn attend(&self, socket: Socket, peer: SocketAddr) {
        let shared = Arc::clone(&self.0);
        shared.alive.fetch_add(1, Ordering::SeqCst);
        metrics::connections(1.0);
        tokio::spawn(async move {
            // Counted down also when the task is cut off.
            let _alive = Alive(Arc::clone(&shared));
            connect::run(shared, socket, peer).await;
        });
    }
}

impl Accept for Entrance {
    fn accepted(&self, socket: Socket, peer: SocketAddr) {
        self.attend(socket, peer);
    }

    fn refused(&self, socket: Socket, why: Outcome) {
        // Without a permit there are enough that are told; this one is closed.
        if let Ok(permit) = Arc::clone(&self.0.refusals).try_acquire_owned() {
            let bytes_max = self.0.options.packet_bytes_max;
            tokio::spawn(async move {
                connect::refuse(socket, &why, bytes_max).await;
                drop(permit);
            });
        }
    }
}

struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
        metrics::connections(-1.0);
    }
}

/// An MQTT broker, embedded.
pub struct Broker {
    shared: Arc<Shared>,
    census: Arc<Census>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Broker {
    /// A broker without listeners yet. Call it within a tokio runtime with I/O and time.
    ///
    /// `gate` decides who comes in and what they may do. `upstream` takes the topics that the gate
    /// calls mounted; without it there are plain topics only. `supervisor` is told when a listener or
    /// the sweeper dies, or any task that all clients need.
    #[must_use]
    pub fn new(
        options: Options,
        census: Arc<Census>,
        gate: Arc<dyn Gate>,
        upstream: Option<Arc<dyn Upstream>>,
        supervisor: Arc<Supervisor>,
    ) -> Arc<Self> {
        now_s();
        let retained = retained::Bounds {
            max: options.retained_max,
            bytes_max: options.retained_bytes_max,
            per_user_max: options.retained_per_user_max,
            per_user_bytes_max: options.retained_per_user_bytes_max,
        };
        let bound = Bound {
            live: options.queue_deliveries_max,
            away: options.offline_deliveries_max,
            bytes: options.offline_bytes_max,
        };
        let accounts = Accounts::new(account::Bounds {
            devices: options.devices_per_user_max,
            user_bytes: options.offline_per_user_bytes_max,
            bytes: options.offline_all_bytes_max,
        });
        let registry = Arc::new(Registry::new(Arc::clone(&accounts)));
        let router = Router::new(retained, bound, Arc::clone(&registry));
        let shared = Arc::new(Shared {
            options,
            gate,
            upstream,
            registry,
            accounts,
            router,
            alive: AtomicUsize::new(0),
            ending: Arc::default(),
            large_hellos: hello::large_places(),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            supervisor,
            journal: Journal::default(),
            stop: watch::Sender::new(false),
        });
        let stopped = shared.stop.subscribe();
        let sweep = sweep::run(Arc::clone(&shared), stopped);
        let sweeper = tokio::spawn(shared.supervisor.watch("sweeper of connections", sweep));
        Arc::new(Self { shared, census, tasks: Mutex::new(vec![sweeper]) })
    }

    /// Accepts connections on a bound listener until [`Broker::shutdown`].
    pub fn serve(&self, listener: Listener) {
        self.serve_as(listener, Arc::new(Entrance(Arc::clone(&self.shared))));
    }

    fn serve_as(&self, listener: Listener, accept: Arc<dyn Accept>) {
        let mut stopped = self.shared.stop.subscribe();
        let stop = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let running = listener.run(Arc::clone(&self.census), accept, stop);
        let task = tokio::spawn(self.shared.supervisor.watch("listener of MQTT", running));
        self.tasks.lock().push(task);
    }

    /// Publishes to plain topics from within the process; returns how many clients it reached.
    pub fn publish(&self, message: Message, qos: Qos, retain: bool) -> usize {
        let message = Arc::new(message);
        if retain {
            self.shared.router.retain(&message, qos, None);
        }
        self.shared.router.publish(&message, qos, retain, None)
    }

    /// Connections now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.alive.load(Ordering::SeqCst)
    }

    /// Clients connected or kept.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.shared.registry.len()
    }

    /// Ends the connection of a client with this code; `false`: it is not connected here.
    pub fn disconnect(&self, client_id: &str, code: Code) -> bool {
        let link = self.shared.registry.find(client_id).and_then(|client| client.link());
        if let Some(link) = &link {
            link.close(code);
        }
        link.is_some()
    }

    /// Ends the connection of a client whose right has ended (0x87), or what is kept for it while it
    /// is away: its plain filters, messages and will. The gate has to refuse it from before on.
    pub fn revoke(&self, client_id: &str) {
        let Some(client) = self.shared.registry.find(client_id) else { return };
        if let Some(link) = client.link() {
            link.close(Code::NOT_AUTHORIZED);
        } else if let Some(_turn) = client.try_turn() {
            // Somebody who has the turn is on the way in or out, and asks the gate itself.
            client.forget_kept();
            self.shared.end_session(&client);
        }
    }

    /// As [`Broker::revoke`], for all clients whose id begins so. Looks at every client there is: for
    /// what happens seldom.
    pub fn revoke_all(&self, prefix: &str) {
        self.shared.registry.each(|client| {
            if client.id.starts_with(prefix) {
                self.revoke(&client.id);
            }
        });
    }

    /// Stops accepting, tells the clients (0x8B), releases what is committed, and ends. Returns
    /// when all connections have ended or `timeout` has passed.
    pub async fn shutdown(&self, timeout: Duration) {
        self.shared.supervisor.stop();
        self.shared.stop.send_replace(true);
        self.shared.registry.each(|client| {
            if let Some(link) = client.link() {
                link.close(Code::SERVER_SHUTTING_DOWN);
            }
        });
        let ended = async {
            while self.connections() > 0 || self.shared.ending.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(timeout, ended).await.is_err() {
            let left = self.connections();
            tracing::warn!(left, "connections had to be cut at shutdown");
        }
        for task in std::mem::take(&mut *self.tasks.lock()) {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use godwit_core::edge::{Action, Admitted, Credentials, Grant, Task};
    use tokio::net::TcpStream;
    use tokio::sync::mpsc;

    use super::*;
    use crate::listen::{self, Kind};

    struct Nobody;

    impl Gate for Nobody {
        fn authenticate(&self, _: Credentials) -> Task<'_, Result<Admitted, Outcome>> {
            Box::pin(async { Err(Outcome::refused(Code::NOT_AUTHORIZED, "")) })
        }

        fn authorize(&self, _: &Admitted, _: Action<'_>) -> Grant {
            Grant::default()
        }
    }

    /// Falls over each connection.
    struct Faulty;

    impl Accept for Faulty {
        fn accepted(&self, _: Socket, _: SocketAddr) {
            panic!("as it was asked to");
        }
    }

    fn broker() -> (Arc<Broker>, mpsc::UnboundedReceiver<String>) {
        let (tell, told) = mpsc::unbounded_channel();
        let supervisor = Supervisor::new(move |death| drop(tell.send(death.to_string())));
        let census = Census::new(9, 9);
        (Broker::new(Options::default(), census, Arc::new(Nobody), None, supervisor), told)
    }

    async fn next(told: &mut mpsc::UnboundedReceiver<String>) -> String {
        let soon = tokio::time::timeout(Duration::from_secs(20), told.recv());
        soon.await.expect("it is told").expect("the supervisor is alive")
    }

    #[tokio::test]
    async fn a_listener_and_a_sweeper_that_die_are_told() {
        let (broker, mut told) = broker();
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(any, Kind::Tcp, listen::Options::default()).unwrap();
        let address = listener.address();
        broker.serve_as(listener, Arc::new(Faulty));
        let _stream = TcpStream::connect(address).await.unwrap();
        let dead = "the task \"listener of MQTT\" died: it panicked: as it was asked to";
        assert_eq!(next(&mut told).await, dead);
        // Nobody has said that the broker stops.
        broker.shared.stop.send_replace(true);
        let dead = "the task \"sweeper of connections\" died: it ended, which it must not";
        assert_eq!(next(&mut told).await, dead);
    }

    #[tokio::test]
    async fn what_ends_at_a_shutdown_is_no_death() {
        let (broker, mut told) = broker();
        let any = "127.0.0.1:0".parse().unwrap();
        broker.serve(Listener::bind(any, Kind::Tcp, listen::Options::default()).unwrap());
        broker.shutdown(Duration::from_secs(1)).await;
        drop(broker);
        assert_eq!(told.recv().await, None);
    }

    /// Connections beyond the census are told so, as many at a time as may be; the next is closed
    /// without a word.
    #[tokio::test]
    async fn refusals_are_told_to_so_many_at_a_time() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let supervisor = Supervisor::new(|death| panic!("{death}"));
        let options = Options::default();
        let broker = Broker::new(options, Census::new(0, 0), Arc::new(Nobody), None, supervisor);
        let any = "127.0.0.1:0".parse().unwrap();
        let listener = Listener::bind(any, Kind::Tcp, listen::Options::default()).unwrap();
        let address = listener.address();
        broker.serve(listener);
        let refused = async || {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // It may be closed already.
            let _ = stream.write_all(b"\x10\x0f\0\x04MQTT\x04\x02\0\x3c\0\x03a:b").await;
            let mut told = Vec::new();
            let read = stream.read_to_end(&mut told);
            let _ = tokio::time::timeout(Duration::from_secs(20), read).await.expect("an end");
            told
        };
        assert_eq!(refused().await, [0x20, 2, 0, 3]);
        let all = u32::try_from(REFUSALS_MAX).unwrap();
        let busy = broker.shared.refusals.acquire_many(all).await.unwrap();
        assert!(refused().await.is_empty());
        drop(busy);
        assert_eq!(refused().await, [0x20, 2, 0, 3]);
        broker.shutdown(Duration::from_secs(1)).await;
    }
}
