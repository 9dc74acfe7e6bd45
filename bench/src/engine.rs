//! One thread, one epoll, all connections: the load generator shares two cores with the server
//! that it measures, so it must cost much less than the server does.
//!
//! tokio's timer has a grain of 1 ms and a task a connection; here a wait ends to the
//! microsecond (`epoll_pwait2`) and a connection is a struct with two reusable buffers.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::limits::{INPUT_BYTES, READY_MAX};
use crate::stamp::{Clock, Stamp};
use crate::tls::{Tls, Transport};
use crate::wire::{Error, Event, Wire};

/// What happened on a connection.
pub(crate) enum News {
    /// The protocol said so.
    Event(Event),
    /// The connection is gone; why.
    Gone(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Connecting,
    Open,
    Gone,
}

/// One connection.
struct Link {
    wire: Wire,
    transport: Option<Transport>,
    state: State,
    /// Bytes not yet taken by the socket.
    out: Vec<u8>,
    /// The beginning of a packet whose end did not arrive yet.
    tail: Vec<u8>,
    opened_ns: u64,
    dirty: bool,
    wants_write: bool,
    traffic: Traffic,
}

/// Application bytes of a connection, TCP and TLS not counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// Where connections go and come from.
pub(crate) struct Route {
    pub(crate) server: SocketAddr,
    /// Source addresses 127.0.0.2 and up, taken in turn; 0: the kernel chooses.
    pub(crate) sources: u8,
    pub(crate) tls: Option<Tls>,
}

/// All connections of a run.
pub(crate) struct Engine {
    epoll: OwnedFd,
    route: Route,
    links: Vec<Link>,
    input: Box<[u8]>,
    ready: Vec<epoll::Event>,
    dirty: Vec<usize>,
    gone: Vec<(usize, String)>,
    clock: Clock,
}

impl Engine {
    /// An engine without connections. Errors: the kernel gives no epoll.
    pub(crate) fn new(route: Route, clock: Clock) -> std::io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            route,
            links: Vec::new(),
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            ready: Vec::with_capacity(READY_MAX),
            dirty: Vec::new(),
            gone: Vec::new(),
            clock,
        })
    }

    /// Adds a connection that is not opened yet and returns its index.
    pub(crate) fn add(&mut self, wire: Wire) -> usize {
        self.links.push(Link {
            wire,
            transport: None,
            state: State::Waiting,
            out: Vec::new(),
            tail: Vec::new(),
            opened_ns: 0,
            dirty: false,
            wants_write: false,
            traffic: Traffic::default(),
        });
        self.links.len() - 1
    }

    /// Connections that were added.
    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    /// When the connection was begun.
    pub(crate) fn opened_ns(&self, index: usize) -> u64 {
        self.links[index].opened_ns
    }

    /// Application bytes so far.
    pub(crate) fn traffic(&self, index: usize) -> Traffic {
        self.links[index].traffic
    }

    /// Unanswered publishes that the server allows on the connection.
    pub(crate) fn window(&self, index: usize) -> u32 {
        self.links[index].wire.window()
    }

    /// The clock that all stamps are of.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Begins to connect. A failure is reported by the next [`Engine::poll`].
    pub(crate) fn open(&mut self, index: usize) {
        self.links[index].opened_ns = self.clock.now_ns();
        match self.dial(index) {
            Ok(transport) => {
                self.links[index].transport = Some(transport);
                self.links[index].state = State::Connecting;
            }
            Err(error) => self.fail(index, error.to_string()),
        }
    }

    fn dial(&self, index: usize) -> std::io::Result<Transport> {
        let server = self.route.server;
        let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        if self.route.sources > 0 {
            let nth = index % usize::from(self.route.sources);
            let last = u8::try_from(nth).unwrap_or(0).saturating_add(2);
            let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0);
            rustix::net::bind(&socket, &source)?;
        }
        match rustix::net::connect(&socket, &server) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        epoll::add(&self.epoll, &socket, data(index), EventFlags::OUT | EventFlags::IN)?;
        Transport::new(TcpStream::from(socket), self.route.tls.as_ref())
    }

    /// Appends one message and returns the id it will be answered by. It leaves with the next
    /// [`Engine::flush`]. None: the connection is not open.
    pub(crate) fn publish(&mut self, index: usize, stamp: Stamp, size: usize) -> Option<u32> {
        let link = &mut self.links[index];
        if link.state != State::Open {
            return None;
        }
        let id = link.wire.publish(stamp, size, &mut link.out);
        self.mark(index);
        Some(id)
    }

    /// Appends something that passes, with QoS 0; false: the connection is not open.
    pub(crate) fn pass(&mut self, index: usize, payload: &[u8]) -> bool {
        let link = &mut self.links[index];
        if link.state != State::Open {
            return false;
        }
        link.wire.pass(payload, &mut link.out);
        self.mark(index);
        true
    }

    /// Says goodbye and closes; nothing is reported of it.
    pub(crate) fn close(&mut self, index: usize) {
        let link = &mut self.links[index];
        if link.state == State::Open {
            link.wire.close(&mut link.out);
            self.write(index);
        }
        self.links[index].state = State::Gone;
        self.links[index].transport = None;
    }

    fn mark(&mut self, index: usize) {
        let link = &mut self.links[index];
        if !link.dirty {
            link.dirty = true;
            self.dirty.push(index);
        }
    }

    /// Hands what was appended to the sockets: one write a connection.
    pub(crate) fn flush(&mut self) {
        while let Some(index) = self.dirty.pop() {
            self.links[index].dirty = false;
            self.write(index);
        }
    }

    /// Waits for at most `wait`, reads what arrived, and reports it with the time of reading.
    pub(crate) fn poll(
        &mut self,
        wait: Duration,
        mut report: impl FnMut(usize, News, u64),
    ) -> std::io::Result<()> {
        let wait = if self.gone.is_empty() { wait } else { Duration::ZERO };
        let timeout = rustix::time::Timespec::try_from(wait).unwrap_or_default();
        self.ready.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.ready);
        match epoll::wait(&self.epoll, spare, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for at in 0..self.ready.len() {
            let event = self.ready[at];
            let index = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            self.serve(index, event.flags, &mut report);
        }
        self.flush();
        let now = self.clock.now_ns();
        for (index, reason) in self.gone.drain(..) {
            report(index, News::Gone(reason), now);
        }
        Ok(())
    }

    fn serve(
        &mut self,
        index: usize,
        flags: EventFlags,
        report: &mut impl FnMut(usize, News, u64),
    ) {
        if self.links[index].state == State::Connecting && !self.connected(index) {
            return;
        }
        if flags.contains(EventFlags::OUT) && self.links[index].wants_write {
            self.write(index);
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            self.read(index, report);
        }
    }

    /// The socket is writable for the first time: connected or refused.
    fn connected(&mut self, index: usize) -> bool {
        let link = &mut self.links[index];
        let Some(transport) = &link.transport else { return false };
        match sockopt::socket_error(transport.socket()) {
            Ok(Ok(())) => {}
            Ok(Err(error)) | Err(error) => {
                self.fail(index, error.to_string());
                return false;
            }
        }
        link.state = State::Open;
        link.wants_write = true;
        link.wire.open(&mut link.out);
        self.write(index);
        true
    }

    fn read(&mut self, index: usize, report: &mut impl FnMut(usize, News, u64)) {
        loop {
            let link = &mut self.links[index];
            let Some(transport) = &mut link.transport else { return };
            let buffered = transport.is_tls();
            let len = match transport.read(&mut self.input) {
                Ok(0) => return self.fail(index, "closed by the server".to_owned()),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // The end of a TLS handshake frees what waited for it.
                    if buffered && !link.out.is_empty() {
                        self.mark(index);
                    }
                    return;
                }
                Err(error) => return self.fail(index, error.to_string()),
            };
            link.traffic.bytes_in += u64::try_from(len).unwrap_or(0);
            let at_ns = self.clock.now_ns();
            if let Err(error) = digest(link, &self.input[..len], |event| {
                report(index, News::Event(event), at_ns);
            }) {
                return self.fail(index, error.to_string());
            }
            if !link.out.is_empty() {
                self.mark(index);
            }
            // TLS may hold decrypted bytes that epoll knows nothing of; plain TCP reports again.
            if !buffered {
                return;
            }
        }
    }

    fn write(&mut self, index: usize) {
        let link = &mut self.links[index];
        let Some(transport) = &mut link.transport else { return };
        let mut written = 0;
        let outcome = loop {
            if written == link.out.len() {
                break transport.flush();
            }
            match transport.write(&link.out[written..]) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(len) => written += len,
                Err(error) => break Err(error),
            }
        };
        link.out.drain(..written);
        link.traffic.bytes_out += u64::try_from(written).unwrap_or(0);
        let blocked = match outcome {
            Ok(()) => false,
            // During a handshake the next bytes to arrive decide, not room in the socket.
            Err(error) if error.kind() == ErrorKind::WouldBlock => !transport.is_negotiating(),
            Err(error) => return self.fail(index, error.to_string()),
        };
        if blocked != link.wants_write {
            link.wants_write = blocked;
            let flags = if blocked { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            let outcome = epoll::modify(&self.epoll, transport.socket(), data(index), flags);
            if let Err(error) = outcome {
                self.fail(index, error.to_string());
            }
        }
    }

    fn fail(&mut self, index: usize, reason: String) {
        let link = &mut self.links[index];
        link.state = State::Gone;
        link.transport = None;
        self.gone.push((index, reason));
    }
}

fn data(index: usize) -> EventData {
    EventData::new_u64(u64::try_from(index).unwrap_or(u64::MAX))
}

/// Feeds what was read to the protocol; a packet's beginning is kept for the next time.
fn digest(link: &mut Link, input: &[u8], mut report: impl FnMut(Event)) -> Result<(), Error> {
    if link.tail.is_empty() {
        let used = steps(&mut link.wire, &mut link.out, input, &mut report)?;
        link.tail.extend_from_slice(&input[used..]);
    } else {
        link.tail.extend_from_slice(input);
        let used = steps(&mut link.wire, &mut link.out, &link.tail, &mut report)?;
        link.tail.drain(..used);
    }
    Ok(())
}

fn steps(
    wire: &mut Wire,
    out: &mut Vec<u8>,
    input: &[u8],
    report: &mut impl FnMut(Event),
) -> Result<usize, Error> {
    let mut used = 0;
    while let Some((len, event)) = wire.step(&input[used..], out)? {
        used += len;
        if let Some(event) = event {
            report(event);
        }
    }
    Ok(used)
}
