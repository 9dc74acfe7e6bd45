//! Messages from senders to receivers: `pairs`, and `fanout` with many receivers of one sender.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use miette::{IntoDiagnostic as _, bail, miette};

use crate::args::{Fanout, Load, Output, Pairs};
use crate::engine::Engine;
use crate::procfs::{Machinery, Usage, Watch};
use crate::report::{self, Bytes, Efficiency, Flow, Latency, Report};
use crate::stamp::{Clock, nanos};
use crate::target::Target;

use super::drive::Drive;
use super::lanes::{Lanes, Pace, Window};

/// `pairs`.
pub(crate) fn pairs(args: Pairs) -> miette::Result<Report> {
    let Pairs { peer, output, load, pairs } = args;
    let xmpp_small = peer.xmpp && load.size < 32;
    if xmpp_small {
        bail!("a body of XMPP is text: --size must be 32 or more");
    }
    let setup = format!("{pairs} pairs, {}", describe(&load));
    measure("pairs", &mut Target::new(peer)?, &output, &load, (pairs, 1), setup)
}

/// `fanout`.
pub(crate) fn fanout(args: Fanout) -> miette::Result<Report> {
    let Fanout { peer, output, load, receivers } = args;
    if peer.xmpp {
        bail!("fanout speaks MQTT only");
    }
    let setup = format!("1 sender, {receivers} receivers, {}", describe(&load));
    measure("fanout", &mut Target::new(peer)?, &output, &load, (1, receivers), setup)
}

fn describe(load: &Load) -> String {
    match load.rate {
        Some(rate) => format!("{} bytes, open loop at {rate}/s", load.size),
        None => format!("{} bytes, closed loop, window {}", load.size, load.window),
    }
}

fn measure(
    command: &'static str,
    target: &mut Target,
    output: &Output,
    load: &Load,
    (lanes, receivers): (usize, usize),
    setup: String,
) -> miette::Result<Report> {
    target.prepare(lanes, receivers)?;
    let mut drive = assemble(target, load, lanes, receivers)?;
    let connects = drive.ramp(0..drive.engine.len(), load.concurrency)?.report();
    if connects.failed > 0 {
        drive.finish();
        let reason = connects.first_failure.unwrap_or_default();
        bail!("{} connections failed, the first: {reason}", connects.failed);
    }
    let clock = drive.engine.clock();
    drive.lanes.start(&drive.engine);
    let from_ns = clock.now_ns() + nanos(load.warmup);
    let to_ns = from_ns + nanos(load.seconds);
    drive.lanes.windows.push(Window::new(from_ns, to_ns)?);
    drive.lanes.stop(to_ns);
    let samples = sample(watch(output), load.warmup, load.seconds);
    drive.run_until("warming up", from_ns)?;
    drive.run_until("measuring", to_ns)?;
    drive.settle(load.drain)?;
    let machine = samples.recv().map_err(|_| miette!("the sampling thread ended"))??;
    let counts = drive.lanes.counts();
    let (senders, receivers) = drive.lanes.traffic(&drive.engine);
    drive.finish();
    let per = |bytes| report::rate(bytes, as_f64(counts.sent));
    let (peer, protocol) = target.describe();
    Ok(Report {
        command,
        peer,
        protocol,
        setup,
        sound: counts.is_sound(),
        flow: Some(flow(&drive.lanes.windows[0], to_ns, Some(&machine))),
        bytes_per_message: Some(Bytes {
            sender_out: per(senders.bytes_out),
            sender_in: per(senders.bytes_in),
            receiver_in: per(receivers.bytes_in),
            receiver_out: per(receivers.bytes_out),
        }),
        counts: Some(counts),
        machine: Some(machine),
        ..Report::default()
    })
}

#[expect(clippy::cast_precision_loss, reason = "a run has far fewer than 2^52 messages")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

fn assemble(target: &Target, load: &Load, lanes: usize, receivers: usize) -> miette::Result<Drive> {
    let mut engine = Engine::new(target.route()?, Clock::start()).into_diagnostic()?;
    add_lanes(&mut engine, target, lanes, receivers);
    let pace = load.rate.map_or(Pace::Closed, Pace::Open);
    // Open loop has no window of its own: the server's limit is the only one that is real.
    let window = if load.rate.is_some() { crate::limits::WINDOW_MAX } else { load.window };
    let size = usize::try_from(load.size).into_diagnostic()?;
    Drive::new(engine, Lanes::new(lanes, receivers, size, window, pace))
}

/// Adds connections in the order that [`Lanes`] counts on: receivers first, so that no message
/// is sent before its receiver listens.
pub(crate) fn add_lanes(engine: &mut Engine, target: &Target, lanes: usize, receivers: usize) {
    for lane in 0..lanes {
        for nth in 0..receivers {
            engine.add(target.receiver(lane, nth));
        }
    }
    for lane in 0..lanes {
        engine.add(target.sender(lane));
    }
}

/// What the arguments ask to watch.
pub(crate) fn watch(output: &Output) -> Watch {
    Watch { alone: output.pid.clone(), trees: output.pid_tree.clone() }
}

/// Reads /proc when the measurement begins and ends, in a thread of its own: reading hundreds of
/// files would hold up sends and would be charged to the server as latency.
pub(crate) fn sample(
    watch: Watch,
    warmup: Duration,
    seconds: Duration,
) -> mpsc::Receiver<miette::Result<Machinery>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        thread::sleep(warmup);
        let machinery = watch.sample().and_then(|before| {
            thread::sleep(seconds);
            Ok(before.until(&watch.sample()?))
        });
        // Nobody waits any more when the run has failed; then nobody needs the answer.
        let _ = sender.send(machinery);
    });
    receiver
}

/// A window as a report; it ended at `to_ns`.
pub(crate) fn flow(window: &Window, to_ns: u64, machine: Option<&Machinery>) -> Flow {
    let seconds = report::seconds(to_ns.saturating_sub(window.from_ns));
    let cpu_s: f64 =
        machine.map_or(0.0, |machine| machine.processes.iter().map(|usage| usage.cpu_s).sum());
    Flow {
        seconds,
        acked_per_s: report::rate(window.acked, seconds),
        received_per_s: report::rate(window.received, seconds),
        ack: Latency::of(&window.ack),
        delivery: Latency::of(&window.delivery),
        received_per_cpu_s: (cpu_s > 0.0).then(|| report::rate(window.received, cpu_s)),
        received_per_cpu_s_of: machine.map_or_else(Vec::new, |machine| {
            let of = |usage: &Usage| Efficiency {
                name: usage.name.clone(),
                received_per_cpu_s: report::rate(window.received, usage.cpu_s),
            };
            machine.processes.iter().map(of).collect()
        }),
    }
}
