//! `isolation`: whether one large group is felt by pairs that have nothing to do with it.
//!
//! In turns (silent, speaks, speaks, silent ...), so that drift of the machine falls on both.

use std::time::Duration;

use miette::{IntoDiagnostic as _, bail, miette};

use crate::args::{Devices, Isolation};
use crate::engine::Engine;
use crate::limits::WINDOW_MAX;
use crate::report::{Group, Report};
use crate::stamp::{Clock, nanos};
use crate::target::Target;
use crate::wire::mqtt::Presence;

use super::crowd::{Crowd, People, Stretch};
use super::drive::{Drive, connections_max};
use super::lanes::{Lanes, Pace, Window};
use super::pairs::{flow, sample, watch};

/// Load before anything is measured.
const WARMUP: Duration = Duration::from_secs(2);
/// How long the pairs' last messages are waited for.
const DRAIN: Duration = Duration::from_secs(10);

/// Half of a round.
#[derive(Debug, Clone, Copy)]
struct Half {
    speaks: bool,
    stretch: Stretch,
}

/// `isolation`.
pub(crate) fn isolation(args: &Isolation) -> miette::Result<Report> {
    let mut target = Target::new(args.peer.clone())?;
    target.must_be_godwit("isolation")?;
    let members = usize::try_from(args.members).into_diagnostic()?;
    target.prepare(args.pairs, 1)?;
    target.prepare(1, members - 1)?;
    let clock = Clock::start();
    let mut drive = pairs(args, &target, clock)?;
    let room = connections_max()?.saturating_sub(drive.engine.len() + 1);
    let receivers = room.min(members - 1);
    let crowd = gather(args, &target, clock, receivers)?;
    let all = drive.engine.len();
    let connects = drive.ramp(0..all, args.concurrency)?.report();
    if let Some(reason) = connects.first_failure {
        bail!("{} of the pairs' connections failed, the first: {reason}", connects.failed);
    }

    let start_ns = clock.now_ns() + nanos(WARMUP);
    let halves = halves(start_ns, args.rounds, nanos(args.seconds), nanos(args.gap));
    let end_ns = halves.last().map_or(start_ns, |half| half.stretch.to_ns);
    for half in &halves {
        drive.lanes.windows.push(Window::new(half.stretch.from_ns, half.stretch.to_ns)?);
    }
    crowd.schedule(halves.iter().filter(|half| half.speaks).map(|half| half.stretch).collect());
    drive.lanes.start(&drive.engine);
    drive.lanes.stop(end_ns);
    let length = Duration::from_nanos(end_ns - start_ns);
    let samples = sample(watch(&args.output), WARMUP, length);
    drive.run_until("measuring", end_ns)?;
    drive.settle(DRAIN)?;
    let machine = samples.recv().map_err(|_| miette!("the sampling thread ended"))??;
    let counts = drive.lanes.counts();
    let told = crowd.told()?;
    drive.finish();

    let windows = &drive.lanes.windows;
    let (calm, busy) = (merged(windows, &halves, false)?, merged(windows, &halves, true)?);
    let (peer, protocol) = target.describe();
    Ok(Report {
        command: "isolation",
        peer,
        protocol,
        setup: describe(args),
        sound: counts.is_sound() && told.counts.is_sound(),
        calm: Some(flow(&calm, calm.to_ns, None)),
        flow: Some(flow(&busy, busy.to_ns, None)),
        group: Some(Group {
            members,
            connected: receivers + 1,
            devices: said(args.devices).1,
            p50_ratio: ratio(&calm, &busy, 0.5),
            p99_ratio: ratio(&calm, &busy, 0.99),
            p99_ratios: by_round(windows),
            counts: told.counts,
            notices: told.notices,
            delivery: told.delivery,
        }),
        counts: Some(counts),
        machine: Some(machine),
        ..Report::default()
    })
}

fn describe(args: &Isolation) -> String {
    let Isolation { pairs, rate, members, group_rate, rounds, seconds, .. } = args;
    let seconds = seconds.as_secs_f64();
    format!(
        "{pairs} pairs at {rate}/s; a group of {members} at {group_rate}/s, {rounds} rounds of \
         twice {seconds} s"
    )
}

/// What a device says of itself, and its name in reports.
fn said(devices: Devices) -> (Presence, &'static str) {
    match devices {
        Devices::Foreground => (Presence::Foreground, "foreground"),
        Devices::Background => (Presence::Background, "background"),
    }
}

/// The pairs, not yet connected.
fn pairs(args: &Isolation, target: &Target, clock: Clock) -> miette::Result<Drive> {
    let mut engine = Engine::new(target.route()?, clock).into_diagnostic()?;
    for lane in 0..args.pairs {
        engine.add(target.app_receiver(lane, 0, None));
    }
    for lane in 0..args.pairs {
        engine.add(target.app_sender(lane));
    }
    let size = usize::try_from(args.size).into_diagnostic()?;
    Drive::new(engine, Lanes::new(args.pairs, 1, size, WINDOW_MAX, Pace::Open(args.rate)))
}

/// The group's devices, connected; its lane is the one behind the pairs'.
fn gather(
    args: &Isolation,
    target: &Target,
    clock: Clock,
    receivers: usize,
) -> miette::Result<Crowd> {
    let presence = Some(said(args.devices).0);
    let receiving = (0..receivers).map(|nth| target.app_receiver(args.pairs, nth, presence));
    let wires = receiving.chain([target.app_sender(args.pairs)]).collect();
    let size = usize::try_from(args.size).into_diagnostic()?;
    let lanes = Lanes::new(1, receivers, size, WINDOW_MAX, Pace::Open(args.group_rate));
    let people = People { route: target.route()?, clock, wires, lanes: lanes.numbered(args.pairs) };
    Crowd::gather(people, args.concurrency, args.devices == Devices::Foreground)
}

/// Silent, speaks; speaks, silent; and so on, with a gap after each half.
fn halves(start_ns: u64, rounds: u32, half_ns: u64, gap_ns: u64) -> Vec<Half> {
    let order = |round: u32| if round.is_multiple_of(2) { [false, true] } else { [true, false] };
    (0..rounds)
        .flat_map(order)
        .zip(0..)
        .map(|(speaks, nth): (bool, u64)| {
            let from_ns = start_ns + nth * (half_ns + gap_ns);
            Half { speaks, stretch: Stretch { from_ns, to_ns: from_ns + half_ns } }
        })
        .collect()
}

/// All windows of one kind of half as one, as long as they are together.
fn merged(windows: &[Window], halves: &[Half], speaks: bool) -> miette::Result<Window> {
    let mut sum = Window::new(0, 0)?;
    for (window, half) in windows.iter().zip(halves) {
        if half.speaks == speaks {
            sum.take(window)?;
        }
    }
    Ok(sum)
}

/// The p99 ratio of each round.
fn by_round(windows: &[Window]) -> Vec<f64> {
    let rounds = windows.chunks_exact(2).enumerate();
    let of = |(round, pair): (usize, &[Window])| {
        let (calm, busy) = if round.is_multiple_of(2) { (0, 1) } else { (1, 0) };
        ratio(&pair[calm], &pair[busy], 0.99)
    };
    rounds.map(of).collect()
}

fn ratio(calm: &Window, busy: &Window, quantile: f64) -> f64 {
    let at = |window: &Window| crate::report::seconds(window.delivery.value_at_quantile(quantile));
    if at(calm) > 0.0 { at(busy) / at(calm) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_alternate_so_that_drift_falls_on_both() {
        let halves = halves(100, 2, 10, 5);
        let speaks: Vec<_> = halves.iter().map(|half| half.speaks).collect();
        assert_eq!(speaks, [false, true, true, false]);
        let from: Vec<_> = halves.iter().map(|half| half.stretch.from_ns).collect();
        assert_eq!(from, [100, 115, 130, 145]);
        assert_eq!(halves[3].stretch.to_ns, 155);
    }

    #[test]
    fn windows_of_a_kind_are_one() {
        let halves = halves(0, 2, 1_000, 0);
        let mut windows: Vec<Window> = halves
            .iter()
            .map(|half| Window::new(half.stretch.from_ns, half.stretch.to_ns).unwrap())
            .collect();
        for (window, ms) in windows.iter_mut().zip([1, 4, 6, 3]) {
            window.delivery.saturating_record(ms * 1_000_000);
            window.received += 1;
        }
        let (calm, busy) =
            (merged(&windows, &halves, false).unwrap(), merged(&windows, &halves, true).unwrap());
        assert_eq!((calm.delivery.len(), calm.received, calm.to_ns), (2, 2, 2_000));
        let found = ratio(&calm, &busy, 0.99);
        assert!((found - 2.0).abs() < 0.01, "{found}");
    }
}
