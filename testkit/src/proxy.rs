//! A TCP proxy between a server and its Postgres, with the faults of a network on demand.
//!
//! It runs in threads of its own, so that a test that waits for `psql` does not stop it.
//!
//! ```text
//! let proxy = Proxy::start(database.url());
//! options.postgres_url = Some(proxy.url());
//! proxy.swallow(b"body of a send", Cut::One);   // its commit happens, the answer is lost
//! proxy.refuse(); proxy.freeze(); proxy.cut(); proxy.pass();
//! ```

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::WAIT;

/// How Postgres ends its answer to a statement: ReadyForQuery and its length.
const ANSWERED: &[u8] = b"Z\0\0\0\x05";

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Accepted and closed, as by a balancer that has nobody behind it.
    Refuse,
    /// Nothing moves, and nothing is closed.
    Freeze,
}

/// Which connections are cut when an answer was swallowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The one that asked.
    One,
    /// All that are open.
    All,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    /// The bytes of a request whose answer is lost, and what is cut then.
    swallow: Option<(Vec<u8>, Cut)>,
    swallowed: u32,
    open: Vec<Pair>,
    closed: bool,
}

/// Both sides of a connection.
#[derive(Debug)]
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    fn close(&self) {
        // Either may be closed already.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    fn clone_both(&self) -> std::io::Result<Self> {
        Ok(Self { client: self.client.try_clone()?, server: self.server.try_clone()? })
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    upstream: String,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits while nothing may move.
    fn thaw(&self) {
        let mut state = self.state();
        while state.mode == Mode::Freeze && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A running proxy. Dropped, it closes everything.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    url: String,
}

impl Proxy {
    /// Listens on a free port of loopback, for the server that `url` names
    /// (`postgres://user@host:port/database`).
    #[must_use]
    pub fn start(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (authority, path) = rest.split_once('/').expect("a database");
        let (user, upstream) = authority.split_once('@').expect("a user");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let state = State {
            mode: Mode::Pass,
            swallow: None,
            swallowed: 0,
            open: Vec::new(),
            closed: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            upstream: upstream.to_owned(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        let url = format!("{scheme}://{user}@127.0.0.1:{port}/{path}");
        Self { shared, port, url }
    }

    /// The same database through the proxy.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// From now on everything passes (again).
    pub fn pass(&self) {
        self.shared.set(|state| state.mode = Mode::Pass);
    }

    /// Cuts what is open; what comes is accepted and closed.
    pub fn refuse(&self) {
        self.shared.set(|state| state.mode = Mode::Refuse);
        self.cut();
    }

    /// Nothing moves any more, in open connections and in new ones, until [`Proxy::pass`].
    pub fn freeze(&self) {
        self.shared.set(|state| state.mode = Mode::Freeze);
    }

    /// Cuts what is open; what comes is treated as before.
    pub fn cut(&self) {
        let open = std::mem::take(&mut self.shared.state().open);
        for pair in open {
            pair.close();
        }
    }

    /// The answer to the next request that holds these bytes (a body, `COMMIT`) is lost: it reaches
    /// Postgres, Postgres answers, and then connections are cut before the answer is passed on.
    pub fn swallow(&self, request: &[u8], cut: Cut) {
        self.shared.set(|state| state.swallow = Some((request.to_vec(), cut)));
    }

    /// How many answers were swallowed so far.
    #[must_use]
    pub fn swallowed(&self) -> u32 {
        self.shared.state().swallowed
    }

    /// Waits until so many answers were swallowed in all.
    pub fn until_swallowed(&self, count: u32) {
        let (start, mut state) = (Instant::now(), self.shared.state());
        while state.swallowed < count {
            assert!(start.elapsed() < WAIT, "only {} answers were swallowed", state.swallowed);
            let waited = self.shared.changed.wait_timeout(state, Duration::from_millis(100));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.set(|state| state.closed = true);
        self.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let (mode, closed) = {
            let state = shared.state();
            (state.mode, state.closed)
        };
        if closed {
            return;
        }
        let Ok(client) = client else { continue };
        if mode == Mode::Refuse {
            continue;
        }
        let Ok(server) = TcpStream::connect(&shared.upstream) else { continue };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let pair = Pair { client, server };
        let (Ok(kept), Ok(up), Ok(down)) =
            (pair.clone_both(), pair.clone_both(), pair.clone_both())
        else {
            continue;
        };
        shared.state().open.push(kept);
        // Set by the way up before the request is passed on, read by the way down.
        let asked = Arc::new(Mutex::new(None));
        let (shared_up, asked_up) = (Arc::clone(shared), Arc::clone(&asked));
        std::thread::spawn(move || upward(&shared_up, &up, &asked_up));
        let shared = Arc::clone(shared);
        std::thread::spawn(move || downward(&shared, &down, &asked));
    }
}

/// From the client to Postgres.
fn upward(shared: &Shared, pair: &Pair, asked: &Mutex<Option<Cut>>) {
    let (mut from, mut to) = (&pair.client, &pair.server);
    let (mut buffer, mut seen) = (vec![0; 64 * 1024], Vec::new());
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            break;
        }
        shared.thaw();
        seen.extend_from_slice(&buffer[..count]);
        let mut state = shared.state();
        let found = state.swallow.take_if(|(request, _)| holds(&seen, request));
        drop(state);
        if let Some((_, cut)) = found {
            *asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(cut);
        }
        // Enough for a request that comes in two pieces.
        let rest = seen.len().saturating_sub(1024);
        seen.drain(..rest);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    pair.close();
}

/// From Postgres to the client.
fn downward(shared: &Shared, pair: &Pair, asked: &Mutex<Option<Cut>>) {
    let (mut from, mut to) = (&pair.server, &pair.client);
    let (mut buffer, mut lost) = (vec![0; 64 * 1024], Vec::new());
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            break;
        }
        shared.thaw();
        let asked = *asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cut) = asked {
            lost.extend_from_slice(&buffer[..count]);
            if !holds(&lost, ANSWERED) {
                continue;
            }
            if cut == Cut::All {
                for pair in std::mem::take(&mut shared.state().open) {
                    pair.close();
                }
            }
            pair.close();
            shared.set(|state| state.swallowed += 1);
            return;
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    pair.close();
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len().max(1)).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each line by the line and the end of an answer.
    fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let mut buffer = [0; 64];
                    while let Ok(count) = stream.read(&mut buffer) {
                        if count == 0 {
                            return;
                        }
                        let answer = [&buffer[..count], ANSWERED].concat();
                        let _ = stream.write_all(&answer);
                    }
                });
            }
        });
        format!("postgres://user@{address}/database")
    }

    fn client(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        stream
    }

    /// What is read until an answer has ended, or the connection.
    fn ask(stream: &mut TcpStream, request: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        let _ = stream.write_all(request);
        let mut byte = [0];
        while !holds(&answer, ANSWERED) {
            match stream.read(&mut byte) {
                Ok(1) => answer.push(byte[0]),
                _ => break,
            }
        }
        answer
    }

    #[test]
    fn passes_swallows_cuts_refuses_and_freezes() {
        let proxy = Proxy::start(&echo());
        assert!(proxy.url().ends_with(&format!("@127.0.0.1:{}/database", proxy.port)));
        let (mut one, mut two) = (client(&proxy), client(&proxy));
        let answered = |text: &[u8]| [text, ANSWERED].concat();
        assert_eq!(ask(&mut one, b"hello"), answered(b"hello"));
        proxy.swallow(b"lost", Cut::One);
        assert_eq!(ask(&mut two, b"kept"), answered(b"kept"));
        assert_eq!(ask(&mut one, b"is lost"), b"");
        proxy.until_swallowed(1);
        assert_eq!(ask(&mut two, b"lost"), answered(b"lost"), "only the next one");
        let mut one = client(&proxy);
        assert_eq!(ask(&mut one, b"a"), answered(b"a"));
        proxy.swallow(b"all", Cut::All);
        assert_eq!(ask(&mut one, b"all"), b"");
        proxy.until_swallowed(2);
        assert_eq!(ask(&mut two, b"b"), b"");
        proxy.refuse();
        assert_eq!(ask(&mut client(&proxy), b"c"), b"");
        proxy.pass();
        let mut three = client(&proxy);
        assert_eq!(ask(&mut three, b"d"), answered(b"d"));
        proxy.freeze();
        three.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert_eq!(ask(&mut three, b"e"), b"");
        proxy.pass();
        three.set_read_timeout(Some(WAIT)).unwrap();
        assert_eq!(ask(&mut three, b""), answered(b"e"));
    }
}
