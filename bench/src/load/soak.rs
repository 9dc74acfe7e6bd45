//! `soak`: a crowd comes and goes, and what the server has left of it.

use std::ops::Range;

use miette::{IntoDiagnostic as _, bail};

use crate::args::Soak;
use crate::engine::Engine;
use crate::report::{Memory, Report};
use crate::stamp::{Clock, nanos};
use crate::target::Target;

use super::drive::Drive;
use super::idle::memory;
use super::lanes::{Lanes, Pace};
use super::pairs::watch;

/// Lets users connect, each once and as somebody new, a share of them at a time, and reads memory
/// before the first and after the last has gone.
pub(crate) fn soak(args: Soak) -> miette::Result<Report> {
    let Soak { peer, output, users, at_once, concurrency, settle, growth_max } = args;
    if output.pid.is_empty() {
        bail!("soak judges the server's memory: name it by --pid server=PID");
    }
    let target = Target::new(peer)?;
    let watch = watch(&output);
    let before = watch.sample()?;
    let mut came = 0;
    for share in shares(users, at_once) {
        came += pass(&target, share, concurrency)?;
    }
    let mut drive = quiet(&target)?;
    let until = drive.engine.clock().now_ns() + nanos(settle);
    drive.run_until("settling", until)?;
    drive.finish();
    let machine = before.until(&watch.sample()?);
    let memory = memory(&machine, came);
    let (peer, protocol) = target.describe();
    Ok(Report {
        command: "soak",
        peer,
        protocol,
        setup: format!(
            "{users} users, {at_once} at once, each subscribes and leaves; \
             at most {growth_max} times the memory of before"
        ),
        sound: came == users && memory.iter().all(|m| stays_within(m, growth_max)),
        memory,
        machine: Some(machine),
        ..Report::default()
    })
}

/// Numbers of users, so many at a time.
fn shares(users: usize, at_once: usize) -> impl Iterator<Item = Range<usize>> {
    (0..users).step_by(at_once.max(1)).map(move |from| from..users.min(from + at_once.max(1)))
}

/// These users come, subscribe and go; how many came.
fn pass(target: &Target, share: Range<usize>, concurrency: usize) -> miette::Result<usize> {
    let mut drive = quiet(target)?;
    let count = share.len();
    for nth in share {
        drive.engine.add(target.idle(nth, 0, true));
    }
    let connects = drive.ramp(0..count, concurrency)?.report();
    drive.finish();
    if let Some(reason) = connects.first_failure {
        bail!("{} of {count} could not connect: {reason}", connects.failed);
    }
    Ok(connects.connected)
}

/// An engine without a message to send.
fn quiet(target: &Target) -> miette::Result<Drive> {
    let engine = Engine::new(target.route()?, Clock::start()).into_diagnostic()?;
    Drive::new(engine, Lanes::new(0, 0, 0, 0, Pace::Closed))
}

fn stays_within(memory: &Memory, growth_max: f64) -> bool {
    // Bytes of memory are far below what a double counts exactly.
    #[allow(clippy::cast_precision_loss)]
    let (before, after) = (memory.rss_bytes_before as f64, memory.rss_bytes as f64);
    after <= before * growth_max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_comes_once() {
        let all: Vec<_> = shares(10, 4).collect();
        assert_eq!(all, [0..4, 4..8, 8..10]);
        assert_eq!(shares(0, 4).count(), 0);
        assert_eq!(shares(3, 0).count(), 3);
    }

    #[test]
    fn growth_is_judged_against_the_begin() {
        let grown = |rss_bytes| Memory {
            name: "server".to_owned(),
            rss_bytes_before: 1000,
            rss_bytes,
            bytes_per_connection: 0.0,
        };
        assert!(stays_within(&grown(1200), 1.2) && stays_within(&grown(900), 1.2));
        assert!(!stays_within(&grown(1201), 1.2));
    }
}
