//! `idle`: what a connection costs that does nothing.

use miette::IntoDiagnostic as _;

use crate::args::Idle;
use crate::engine::Engine;
use crate::procfs::Machinery;
use crate::report::{self, Memory, Report};
use crate::stamp::{Clock, nanos};
use crate::target::Target;

use super::drive::Drive;
use super::lanes::{Lanes, Pace};
use super::pairs::watch;

/// Opens the connections, holds them, and reads memory before and after.
pub(crate) fn idle(args: Idle) -> miette::Result<Report> {
    let Idle { peer, output, connections, concurrency, subscribe, settle } = args;
    let target = Target::new(peer)?;
    let mut engine = Engine::new(target.route()?, Clock::start()).into_diagnostic()?;
    for nth in 0..connections {
        engine.add(target.idle(nth, 0, subscribe));
    }
    let mut drive = Drive::new(engine, Lanes::new(0, 0, 0, 0, Pace::Closed))?;
    let watch = watch(&output);
    let before = watch.sample()?;
    let connects = drive.ramp(0..connections, concurrency)?.report();
    let until = drive.engine.clock().now_ns() + nanos(settle);
    drive.run_until("holding", until)?;
    let machine = before.until(&watch.sample()?);
    drive.finish();
    let (peer, protocol) = target.describe();
    let subscribed = if subscribe { ", each with a subscription" } else { "" };
    Ok(Report {
        command: "idle",
        peer,
        protocol,
        setup: format!("{connections} connections{subscribed}"),
        sound: connects.failed == 0,
        memory: memory(&machine, connects.connected),
        connects: Some(connects),
        machine: Some(machine),
        ..Report::default()
    })
}

/// What the watched processes had before and have now, and how much of the growth falls on each of so
/// many connections.
pub(super) fn memory(machine: &Machinery, connected: usize) -> Vec<Memory> {
    machine
        .processes
        .iter()
        .map(|usage| {
            let grown = usage.rss_bytes.saturating_sub(usage.rss_bytes_before);
            let connected = u32::try_from(connected).unwrap_or(u32::MAX);
            Memory {
                name: usage.name.clone(),
                rss_bytes_before: usage.rss_bytes_before,
                rss_bytes: usage.rss_bytes,
                bytes_per_connection: report::rate(grown, f64::from(connected)),
            }
        })
        .collect()
}
