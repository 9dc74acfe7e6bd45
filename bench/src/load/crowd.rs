//! The devices of one large group, in a thread of their own.
//!
//! Ten thousand deliveries at once would keep the pairs' thread from its own sockets, and what is
//! measured there would be this program. So the group has its own engine; and because its devices
//! are elsewhere in the real world, its thread has the lowest priority: it takes what the server and
//! the pairs leave.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use miette::{IntoDiagnostic as _, bail, miette};

use crate::engine::{Engine, Route};
use crate::report::{Counts, Latency};
use crate::stamp::{Clock, nanos};
use crate::wire::Wire;

use super::drive::Drive;
use super::lanes::{Lanes, Window};

/// How long the last deliveries are waited for.
const DRAIN: Duration = Duration::from_secs(30);
/// How long the last message's notices have: nobody says how many there will be.
const NOTICES: Duration = Duration::from_secs(2);
/// `nice`: the lowest.
const NICENESS: i32 = 19;

/// When the group speaks, on the run's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
}

/// The group's devices, not yet connected: an engine is bound to its thread.
pub(crate) struct People {
    pub(crate) route: Route,
    pub(crate) clock: Clock,
    pub(crate) wires: Vec<Wire>,
    pub(crate) lanes: Lanes,
}

/// What became of the group's messages.
pub(crate) struct Told {
    pub(crate) counts: Counts,
    pub(crate) notices: u64,
    pub(crate) delivery: Latency,
}

/// A large group whose devices are connected.
pub(crate) struct Crowd {
    schedule: mpsc::Sender<Vec<Stretch>>,
    thread: JoinHandle<miette::Result<Told>>,
}

impl Crowd {
    /// Connects the group's devices, `concurrency` at once. `entries`: they are sent the entries,
    /// not notices. Errors: one of them cannot connect.
    pub(crate) fn gather(
        people: People,
        concurrency: usize,
        entries: bool,
    ) -> miette::Result<Self> {
        let (schedule, stretches) = mpsc::channel::<Vec<Stretch>>();
        let (up, ready) = mpsc::channel();
        let thread = thread::spawn(move || {
            // Refused: then the figures are worse than they should be, not better.
            let _ = rustix::process::nice(NICENESS);
            // An error drops `up`, which is how `gather` hears of it.
            let up = up;
            let drive = connect(people, concurrency)?;
            // Nobody waits any more: then the run has failed, and says why elsewhere.
            let _ = up.send(());
            match stretches.recv() {
                Ok(stretches) => speak(drive, &stretches, entries),
                Err(_) => Err(miette!("the pairs ended before the group had spoken")),
            }
        });
        let crowd = Self { schedule, thread };
        match ready.recv() {
            Ok(()) => Ok(crowd),
            Err(_) => Err(crowd.told().err().unwrap_or_else(|| miette!("the group is gone"))),
        }
    }

    /// Lets the group speak at these times.
    pub(crate) fn schedule(&self, stretches: Vec<Stretch>) {
        // A thread that has ended tells why in `told`.
        let _ = self.schedule.send(stretches);
    }

    /// Waits for the end. Errors: those of the thread.
    pub(crate) fn told(self) -> miette::Result<Told> {
        drop(self.schedule);
        self.thread.join().map_err(|_| miette!("the group's thread panicked"))?
    }
}

fn connect(people: People, concurrency: usize) -> miette::Result<Drive> {
    let mut engine = Engine::new(people.route, people.clock).into_diagnostic()?;
    for wire in people.wires {
        engine.add(wire);
    }
    let all = engine.len();
    let mut drive = Drive::new(engine, people.lanes)?.quiet();
    let connects = drive.ramp(0..all, concurrency)?.report();
    if let Some(reason) = connects.first_failure {
        drive.finish();
        bail!("{} of the group's connections failed, the first: {reason}", connects.failed);
    }
    Ok(drive)
}

fn speak(mut drive: Drive, stretches: &[Stretch], entries: bool) -> miette::Result<Told> {
    drive.lanes.start(&drive.engine);
    drive.lanes.stop(0);
    drive.lanes.windows.push(Window::new(0, u64::MAX)?);
    for stretch in stretches {
        drive.run_until("group silent", stretch.from_ns)?;
        drive.lanes.resume(stretch.from_ns, stretch.to_ns);
        drive.run_until("group speaks", stretch.to_ns)?;
    }
    if entries {
        drive.settle(DRAIN)?;
    } else {
        let until = drive.engine.clock().now_ns().saturating_add(nanos(NOTICES));
        drive.run_until("group silent", until)?;
    }
    let mut counts = drive.lanes.counts();
    if !entries {
        counts.gaps = 0;
    }
    let delivery = Latency::of(&drive.lanes.windows[0].delivery);
    let told = Told { counts, notices: drive.lanes.passed_in_all(), delivery };
    drive.finish();
    Ok(told)
}
