//! The audit trail: who came in, who was refused, and what operators did, each a line of JSON.
//!
//! Two files in the data directory, so that a crowd of connections never pushes an act out:
//! `audit.log` has what is done over REST by operators, with passwords and to devices, and what the
//! process does (start, keys read again); `audit-connects.log` has connections, let in or refused.
//! Lines are only ever appended. At `audit.bytes_max` a file becomes `.1`, the older ones `.2` and so
//! on, and what is beyond `audit.files_max` is removed: the most on disk is 2 x files_max x bytes_max.
//! Never in it: tokens, passwords, bodies.
//!
//! Lines wait in a bounded queue for a thread of their own, so that a slow disk stops nobody. Beyond
//! it, or when the disk takes none, they are lost: counted in a metric, logged, and the next line
//! that is written says how many. Connections use at most half of the queue.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::clock;
use crate::config::Config;
use crate::failure::Result;
use crate::files;
use crate::limits::{AUDIT_QUEUE_MAX, AUDIT_REFUSALS_PER_S};
use crate::metrics::{AUDIT_LINES, AUDIT_LOST};

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trail {
    Acts,
    Connects,
}

impl Trail {
    const ALL: [Self; 2] = [Self::Acts, Self::Connects];

    const fn file(self) -> &'static str {
        match self {
            Self::Acts => "audit.log",
            Self::Connects => "audit-connects.log",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Acts => "acts",
            Self::Connects => "connects",
        }
    }
}

/// Something that somebody did.
#[derive(Debug, Clone)]
pub(crate) struct Act<'a> {
    /// `connect`, `rest`, `login`, `start`, `reload`, ...
    pub(crate) event: &'static str,
    /// Where from.
    pub(crate) peer: Option<SocketAddr>,
    /// Who, as far as it is known: a device, `operator:NAME`, or what was claimed.
    pub(crate) who: &'a str,
    /// What: method and path, or the reason of a refusal.
    pub(crate) what: &'a str,
    /// A status or code.
    pub(crate) outcome: &'a str,
}

/// Where acts are written to. Clones write to the same files.
#[derive(Debug, Clone)]
pub(crate) struct Audit(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    queue: SyncSender<(Trail, String)>,
    /// Connections that wait in the queue.
    connects: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
    /// Refusals that may still be written in the second that began then, and those that were not.
    refusals: Mutex<(Instant, u32, u64)>,
}

impl Audit {
    /// Nothing is written.
    pub(crate) const OFF: Self = Self(None);

    /// Opens the files of the data directory.
    pub(crate) fn start(config: &Config) -> Result<Self> {
        if !config.audit.enabled {
            return Ok(Self::OFF);
        }
        let open = |trail: Trail| {
            let path = config.server.data_dir.join(trail.file());
            Rotating::open(&path, config.audit.bytes_max, config.audit.files_max)
                .map_err(|error| files::unwritable(&path, &error))
        };
        let trails = [open(Trail::Acts)?, open(Trail::Connects)?];
        let (queue, waiting) = sync_channel(AUDIT_QUEUE_MAX);
        let (lost, connects) = (Arc::default(), Arc::default());
        let writer = Writer {
            trails,
            waiting,
            lost: Arc::clone(&lost),
            connects: Arc::clone(&connects),
            complained: None,
        };
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| files::unwritable(&config.server.data_dir, &error))?;
        let refusals = Mutex::new((Instant::now(), AUDIT_REFUSALS_PER_S, 0));
        Ok(Self(Some(Arc::new(Shared { queue, connects, lost, refusals }))))
    }

    /// Something that an operator did, or that is about the right to come in.
    pub(crate) fn act(&self, act: &Act<'_>) {
        if let Some(shared) = &self.0 {
            shared.put(Trail::Acts, line(act, 0));
        }
    }

    /// A device that was let in.
    pub(crate) fn connected(&self, act: &Act<'_>) {
        if let Some(shared) = &self.0 {
            shared.put(Trail::Connects, line(act, 0));
        }
    }

    /// Somebody who was not: so many in a second, then only their number.
    pub(crate) fn refused(&self, act: &Act<'_>) {
        let Some(shared) = &self.0 else { return };
        let unsaid = {
            let mut refusals = shared.refusals.lock();
            if refusals.0.elapsed().as_secs() >= 1 {
                (refusals.0, refusals.1) = (Instant::now(), AUDIT_REFUSALS_PER_S);
            }
            if refusals.1 == 0 {
                refusals.2 += 1;
                return;
            }
            refusals.1 -= 1;
            std::mem::take(&mut refusals.2)
        };
        shared.put(Trail::Connects, line(act, unsaid));
    }
}

impl Shared {
    fn put(&self, trail: Trail, line: String) {
        let half = (AUDIT_QUEUE_MAX / 2) as u64;
        let crowded =
            trail == Trail::Connects && self.connects.fetch_add(1, Ordering::Relaxed) >= half;
        let taken = !crowded
            && match self.queue.try_send((trail, line)) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            };
        if !taken {
            if trail == Trail::Connects {
                self.connects.fetch_sub(1, Ordering::Relaxed);
            }
            self.lost.fetch_add(1, Ordering::Relaxed);
            metrics::counter!(AUDIT_LOST, "why" => "queue").increment(1);
        }
    }
}

/// One line. `unsaid`: refusals before it that were not written.
fn line(act: &Act<'_>, unsaid: u64) -> String {
    let mut line = json!({
        "time_ms": clock::now_ms(),
        "event": act.event,
        "who": act.who,
        "what": act.what,
        "outcome": act.outcome,
    });
    if let Some(peer) = act.peer {
        line["address"] = Value::String(peer.to_string());
    }
    if unsaid > 0 {
        line["unsaid"] = unsaid.into();
    }
    format!("{line}\n")
}

/// The thread that writes. It ends with the last sender.
struct Writer {
    trails: [Rotating; Trail::ALL.len()],
    waiting: Receiver<(Trail, String)>,
    lost: Arc<AtomicU64>,
    connects: Arc<AtomicU64>,
    complained: Option<Instant>,
}

impl Writer {
    /// A fault over one line is told, and the next line is written: each stands for itself.
    fn run(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.write_all())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a fault while the audit trail was written; a line is lost");
        }
    }

    /// Until the last sender is gone.
    fn write_all(&mut self) {
        while let Ok((trail, line)) = self.waiting.recv() {
            if trail == Trail::Connects {
                self.connects.fetch_sub(1, Ordering::Relaxed);
            }
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if let Err(error) = self.write(trail, &line, lost) {
                self.lost.fetch_add(lost + 1, Ordering::Relaxed);
                metrics::counter!(AUDIT_LOST, "why" => "disk").increment(1);
                self.complain(&error);
            }
        }
    }

    fn write(&mut self, trail: Trail, line: &str, lost: u64) -> io::Result<()> {
        let file = match trail {
            Trail::Acts => &mut self.trails[0],
            Trail::Connects => &mut self.trails[1],
        };
        if lost > 0 {
            let told = json!({"time_ms": clock::now_ms(), "event": "lost", "lines": lost});
            file.append(&format!("{told}\n"))?;
        }
        file.append(line)?;
        if trail == Trail::Acts {
            // Few and wanted after a crash too.
            file.file.sync_data()?;
        }
        metrics::counter!(AUDIT_LINES, "trail" => trail.label()).increment(1);
        Ok(())
    }

    fn complain(&mut self, error: &io::Error) {
        let every = crate::limits::AUDIT_COMPLAINT_EVERY;
        if self.complained.is_none_or(|last| last.elapsed() >= every) {
            self.complained = Some(Instant::now());
            tracing::error!(%error, "the audit trail cannot be written; lines are lost");
        }
    }
}

/// A file that is only appended to, and its older ones.
struct Rotating {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    files_max: u32,
}

impl Rotating {
    fn open(path: &Path, bytes_max: u64, files_max: u32) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes, bytes_max, files_max })
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.bytes_max {
            self.rotate()?;
        }
        self.file.write_all(line.as_bytes())?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn older(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    fn rotate(&mut self) -> io::Result<()> {
        let there = |result: io::Result<()>| match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        there(fs::remove_file(self.older(self.files_max - 1)))?;
        for number in (1..self.files_max - 1).rev() {
            there(fs::rename(self.older(number), self.older(number + 1)))?;
        }
        self.file.sync_data()?;
        there(fs::rename(&self.path, self.older(1)))?;
        *self = Self::open(&self.path, self.bytes_max, self.files_max)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn files_turn_and_the_oldest_goes() {
        let dir = Dir::new();
        let path = dir.path().join("audit.log");
        let mut file = Rotating::open(&path, 20, 3).unwrap();
        for number in 0..10 {
            file.append(&format!("line {number}\n")).unwrap();
        }
        drop(file);
        // Two lines of seven bytes a file.
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("audit.log"), "line 8\nline 9\n");
        assert_eq!(read("audit.log.1"), "line 6\nline 7\n");
        assert_eq!(read("audit.log.2"), "line 4\nline 5\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        // It goes on where it was, and a line above the bound has a file to itself.
        let mut file = Rotating::open(&path, 20, 3).unwrap();
        file.append(&"x".repeat(50)).unwrap();
        assert_eq!(read("audit.log.1"), "line 8\nline 9\n");
    }

    /// Nobody writes: connections fill half of the queue, acts the rest, and what is lost is counted.
    #[test]
    fn the_queue_is_bounded_and_connections_leave_room_for_acts() {
        let (queue, waiting) = sync_channel(AUDIT_QUEUE_MAX);
        let refusals = Mutex::new((Instant::now(), AUDIT_REFUSALS_PER_S, 0));
        let shared = Shared { queue, connects: Arc::default(), lost: Arc::default(), refusals };
        let count = AUDIT_QUEUE_MAX + 10;
        (0..count).for_each(|_| shared.put(Trail::Connects, String::new()));
        assert_eq!(shared.lost.load(Ordering::Relaxed), (count - AUDIT_QUEUE_MAX / 2) as u64);
        (0..count).for_each(|_| shared.put(Trail::Acts, String::new()));
        let queued = waiting.try_iter().count();
        assert_eq!(queued, AUDIT_QUEUE_MAX);
        assert_eq!(shared.lost.load(Ordering::Relaxed), (2 * count - queued) as u64);
    }

    /// A disk that takes nothing costs lines, not the server, and is complained of once in a while.
    #[test]
    fn a_disk_that_takes_nothing_is_complained_of_once() {
        let dir = Dir::new();
        let path = dir.path().join("audit.log");
        fs::write(&path, "").unwrap();
        let open = || {
            let file = File::open(&path).unwrap();
            Rotating { path: path.clone(), file, bytes: 0, bytes_max: 100, files_max: 2 }
        };
        let (queue, waiting) = sync_channel(8);
        let (lost, connects) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut writer = Writer {
            trails: [open(), open()],
            waiting,
            lost: Arc::clone(&lost),
            connects,
            complained: None,
        };
        let error = writer.write(Trail::Acts, "line", 0).unwrap_err();
        writer.complain(&error);
        let first = writer.complained;
        writer.complain(&error);
        assert_eq!(writer.complained, first, "within {:?}", crate::limits::AUDIT_COMPLAINT_EVERY);
        (0..3).for_each(|_| queue.send((Trail::Acts, "line".to_owned())).unwrap());
        drop(queue);
        writer.run();
        assert_eq!(lost.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn acts_and_connections_have_files_of_their_own() {
        let dir = Dir::new();
        let mut config = Config::default();
        config.server.data_dir = dir.path().to_owned();
        let audit = Audit::start(&config).unwrap();
        let act = Act {
            event: "rest",
            peer: Some(([192, 0, 2, 1], 5).into()),
            who: "operator:support",
            what: "DELETE /v1/devices/a\"\n",
            outcome: "204",
        };
        audit.act(&act);
        for _ in 0..AUDIT_REFUSALS_PER_S + 10 {
            audit.refused(&Act { event: "connect", outcome: "0x86", ..act.clone() });
        }
        let shared = audit.0.as_ref().unwrap();
        shared.refusals.lock().0 -= std::time::Duration::from_secs(1);
        audit.refused(&Act { event: "connect", outcome: "0x86", ..act.clone() });
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let wanted = AUDIT_REFUSALS_PER_S as usize + 1;
        // How often to look again, not how long to wait: the writer is a thread of its own.
        while read("audit-connects.log").lines().count() < wanted {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let acts = read("audit.log");
        assert_eq!(acts.lines().count(), 1);
        let written: Value = serde_json::from_str(&acts).unwrap();
        assert_eq!(written["who"], "operator:support");
        assert_eq!(written["address"], "192.0.2.1:5");
        assert_eq!(written["what"], "DELETE /v1/devices/a\"\n");
        let connects = read("audit-connects.log");
        let last: Value = serde_json::from_str(connects.lines().last().unwrap()).unwrap();
        assert_eq!(last["unsaid"], 10);
        Audit::OFF.act(&act);
    }
}
