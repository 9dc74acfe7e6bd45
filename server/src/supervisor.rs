//! What a supervisor is told: systemd's `Type=notify`, by its socket in `NOTIFY_SOCKET`.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where the server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// What heals by itself is waited for; more time is needed.
    Waiting,
    /// Clients are served.
    Ready,
    /// A graceful end has begun.
    Stopping,
}

/// Tells the supervisor, if there is one. A supervisor that cannot be told loses nothing but that.
pub(crate) fn tell(state: State) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&socket, state)
    {
        tracing::warn!(%error, "the supervisor cannot be told");
    }
}

fn send(socket: &OsStr, state: State) -> io::Result<()> {
    let address = match socket.as_bytes() {
        // An abstract name, which systemd writes with an @.
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    let text = match state {
        // Each try is bounded by store.postgres_timeout, at most 300 s.
        State::Waiting => "STATUS=waiting for Postgres\nEXTEND_TIMEOUT_USEC=330000000",
        State::Ready => "STATUS=\nREADY=1",
        State::Stopping => "STOPPING=1",
    };
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn both_kinds_of_sockets_hear_it() {
        let dir = Dir::new();
        let path = dir.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), State::Ready).unwrap();
        let mut buffer = [0; 32];
        let n = heard.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..n], b"STATUS=\nREADY=1");

        let name = format!("godwit-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let heard = UnixDatagram::bind_addr(&address).unwrap();
        send(OsStr::new(&format!("@{name}")), State::Stopping).unwrap();
        let n = heard.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..n], b"STOPPING=1");

        assert!(send(OsStr::new("/no/such/socket"), State::Ready).is_err());
    }
}
