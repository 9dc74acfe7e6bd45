//! `storm`: thousands connect at once, and others go on talking meanwhile.

use std::time::Duration;

use miette::{IntoDiagnostic as _, bail};

use crate::args::Storm;
use crate::engine::Engine;
use crate::limits::WINDOW_MAX;
use crate::report::Report;
use crate::stamp::{Clock, nanos};
use crate::target::Target;

use super::drive::Drive;
use super::lanes::{Lanes, Pace, Window};
use super::pairs::{add_lanes, flow, watch};

/// Bytes of a background message.
const BACKGROUND_BYTES: usize = 100;
/// How long the background's last messages are waited for.
const DRAIN: Duration = Duration::from_secs(10);
/// Background pairs that are opened at once, before anything is measured.
const BACKGROUND_CONCURRENCY: usize = 32;

/// Brings up the background, listens to it alone, then lets the storm loose.
pub(crate) fn storm(args: Storm) -> miette::Result<Report> {
    let pairs = args.background_pairs;
    let mut target = Target::new(args.peer)?;
    target.prepare(pairs, 1)?;
    let mut engine = Engine::new(target.route()?, Clock::start()).into_diagnostic()?;
    add_lanes(&mut engine, &target, pairs, 1);
    let first = engine.len();
    for nth in 0..args.connections {
        engine.add(target.idle(nth, pairs, false));
    }
    let all = engine.len();
    let pace = Pace::Open(args.background_rate);
    let lanes = Lanes::new(pairs, 1, BACKGROUND_BYTES, WINDOW_MAX, pace);
    let mut drive = Drive::new(engine, lanes)?;
    let clock = drive.engine.clock();
    if pairs > 0 {
        let background = drive.ramp(0..first, BACKGROUND_CONCURRENCY)?.report();
        if let Some(reason) = background.first_failure {
            bail!("a background connection failed: {reason}");
        }
        drive.lanes.start(&drive.engine);
        // The first second is warm-up and measured by nobody.
        let from_ns = clock.now_ns() + nanos(Duration::from_secs(1));
        let to_ns = from_ns + nanos(args.background_seconds);
        drive.lanes.windows.push(Window::new(from_ns, to_ns)?);
        drive.run_until("before", to_ns)?;
    }
    let watch = watch(&args.output);
    let before = watch.sample()?;
    drive.lanes.windows.push(Window::new(clock.now_ns(), u64::MAX)?);
    let connects = drive.ramp(first..all, args.concurrency)?.report();
    let machine = before.until(&watch.sample()?);
    let ended_ns = clock.now_ns();
    if let Some(window) = drive.lanes.windows.last_mut() {
        window.to_ns = ended_ns;
    }
    drive.lanes.stop(ended_ns);
    drive.settle(DRAIN)?;
    let counts = drive.lanes.counts();
    drive.finish();
    let (peer, protocol) = target.describe();
    let (calm, during) = match drive.lanes.windows.as_slice() {
        [calm, during] => (Some(flow(calm, calm.to_ns, None)), Some(flow(during, ended_ns, None))),
        _ => (None, None),
    };
    Ok(Report {
        command: "storm",
        peer,
        protocol,
        setup: format!(
            "{} connections, {} at once; {pairs} pairs at {}/s beside",
            args.connections, args.concurrency, args.background_rate
        ),
        sound: connects.failed == 0 && counts.is_sound(),
        counts: (pairs > 0).then_some(counts),
        connects: Some(connects),
        calm,
        flow: during,
        machine: Some(machine),
        ..Report::default()
    })
}
