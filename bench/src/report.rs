//! What a run found: one JSON object, or text for people.

use std::io::Write;

use hdrhistogram::Histogram;
use miette::IntoDiagnostic as _;
use serde::Serialize;

use crate::limits::LATENCY_NS_MAX;
use crate::procfs::Machinery;

/// A histogram of nanoseconds with three significant digits, up to [`LATENCY_NS_MAX`]. Errors:
/// none with these bounds; the library checks them all the same.
pub(crate) fn histogram() -> miette::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1_000, LATENCY_NS_MAX, 3).into_diagnostic()
}

/// Nanoseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "a run is far shorter than 2^52 ns")]
pub(crate) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Things a second; 0 when no time passed.
#[expect(clippy::cast_precision_loss, reason = "a run has far fewer than 2^52 messages")]
pub(crate) fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Latency {
    /// Reads a histogram of nanoseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| seconds(histogram.value_at_quantile(quantile)) * 1e3;
        Self {
            count: histogram.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: seconds(histogram.max()) * 1e3,
        }
    }
}

/// Messages of the whole run, warm-up and drain included.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) acked: u64,
    /// Answered with a reason code of 0x80 or more.
    pub(crate) refused: u64,
    pub(crate) first_refusal: Option<String>,
    /// Not answered by the end.
    pub(crate) unanswered: u64,
    /// Due, but never sent: the window stayed full.
    pub(crate) unsent: u64,
    /// Distinct deliveries.
    pub(crate) received: u64,
    /// Sent, and never delivered.
    pub(crate) gaps: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    /// Delivered to a receiver of another lane.
    pub(crate) astray: u64,
    pub(crate) acks_out_of_order: u64,
    pub(crate) acks_unasked: u64,
    pub(crate) disconnects: u64,
    pub(crate) first_disconnect: Option<String>,
}

impl Counts {
    /// Everything sent was accepted and came exactly once, in order.
    pub(crate) fn is_sound(&self) -> bool {
        let harm = self.refused
            + self.unanswered
            + self.unsent
            + self.gaps
            + self.duplicates
            + self.out_of_order
            + self.astray
            + self.acks_out_of_order
            + self.acks_unasked
            + self.disconnects;
        harm == 0
    }
}

/// Connections coming up.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Connects {
    pub(crate) connected: usize,
    pub(crate) failed: usize,
    pub(crate) first_failure: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) per_s: f64,
    /// From the first SYN to the session being up.
    pub(crate) connack: Latency,
}

/// Messages within a measured stretch.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Flow {
    pub(crate) seconds: f64,
    pub(crate) acked_per_s: f64,
    pub(crate) received_per_s: f64,
    /// Due in the stretch: from due time to PUBACK (XMPP: to `<a/>`).
    pub(crate) ack: Latency,
    /// Due in the stretch: from due time to the receiver.
    pub(crate) delivery: Latency,
    /// Deliveries for each CPU-second of all watched processes; absent when none is watched.
    pub(crate) received_per_cpu_s: Option<f64>,
    /// The same for each watched process apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) received_per_cpu_s_of: Vec<Efficiency>,
}

/// Deliveries for each CPU-second of one process, or tree of processes.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Efficiency {
    pub(crate) name: String,
    /// 0: it used less than /proc counts.
    pub(crate) received_per_cpu_s: f64,
}

/// Application bytes for each message of the whole run, bodies included.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Bytes {
    pub(crate) sender_out: f64,
    pub(crate) sender_in: f64,
    pub(crate) receiver_in: f64,
    pub(crate) receiver_out: f64,
}

/// Memory of idle connections, for each watched process.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Memory {
    pub(crate) name: String,
    pub(crate) rss_bytes_before: u64,
    pub(crate) rss_bytes: u64,
    pub(crate) bytes_per_connection: f64,
}

/// A large group beside pairs, and what it did to them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Group {
    /// Members by REST, and how many of them are connected.
    pub(crate) members: usize,
    pub(crate) connected: usize,
    /// `foreground` or `background`.
    pub(crate) devices: &'static str,
    pub(crate) counts: Counts,
    /// Head notices.
    pub(crate) notices: u64,
    /// From due time to the devices; only those in the foreground get entries.
    pub(crate) delivery: Latency,
    /// The pairs' delivery while the group speaks, over that while it is silent.
    pub(crate) p50_ratio: f64,
    pub(crate) p99_ratio: f64,
    /// The same p99 ratio for each round.
    pub(crate) p99_ratios: Vec<f64>,
}

/// Bytes of typing packets, MQTT's own included.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Typing {
    /// With the topic spelt out, which happens once for each conversation.
    pub(crate) first_down: u64,
    /// The largest by alias.
    pub(crate) most_down: u64,
    pub(crate) first_up: u64,
    pub(crate) most_up: u64,
    pub(crate) events: usize,
}

/// All that a run found.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) command: &'static str,
    pub(crate) peer: String,
    pub(crate) protocol: &'static str,
    /// What was asked for, in words.
    pub(crate) setup: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) counts: Option<Counts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connects: Option<Connects>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flow: Option<Flow>,
    /// Pairs while nothing else happens: before the storm, or while the large group is silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) calm: Option<Flow>,
    /// The large group beside the pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<Group>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) typing: Option<Typing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bytes_per_message: Option<Bytes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) memory: Vec<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<Machinery>,
    /// Nothing was lost, doubled, reordered, refused or cut.
    pub(crate) sound: bool,
}

impl Report {
    /// Writes it for people, or as one line of JSON. Errors: the output is closed.
    pub(crate) fn write(&self, json: bool, out: &mut impl Write) -> std::io::Result<()> {
        if json {
            serde_json::to_writer(&mut *out, self)?;
            return writeln!(out);
        }
        writeln!(out, "{} on {} ({}): {}", self.command, self.peer, self.protocol, self.setup)?;
        if let Some(connects) = &self.connects {
            write_connects(connects, out)?;
        }
        if let Some(counts) = &self.counts {
            write_counts(counts, out)?;
        }
        if let Some(calm) = &self.calm {
            write_flow("before", calm, out)?;
        }
        if let Some(flow) = &self.flow {
            write_flow(if self.calm.is_some() { "during" } else { "measured" }, flow, out)?;
        }
        if let Some(group) = &self.group {
            write_group(group, out)?;
        }
        if let Some(typing) = &self.typing {
            write_typing(typing, out)?;
        }
        if let Some(bytes) = &self.bytes_per_message {
            writeln!(
                out,
                "  bytes/message sender {:.1} out {:.1} in, receiver {:.1} in {:.1} out",
                bytes.sender_out, bytes.sender_in, bytes.receiver_in, bytes.receiver_out
            )?;
        }
        for memory in &self.memory {
            writeln!(
                out,
                "  memory       {}: {:.0} bytes a connection",
                memory.name, memory.bytes_per_connection
            )?;
        }
        if let Some(machine) = &self.machine {
            write_machine(machine, out)?;
        }
        writeln!(out, "  verdict      {}", if self.sound { "sound" } else { "NOT SOUND" })
    }
}

fn write_connects(connects: &Connects, out: &mut impl Write) -> std::io::Result<()> {
    let Connects { connected, failed, seconds, per_s, connack, .. } = connects;
    writeln!(
        out,
        "  connects     {connected} in {seconds:.2} s: {per_s:.0}/s, p50 {:.2} ms, p99 {:.2} ms",
        connack.p50_ms, connack.p99_ms
    )?;
    match &connects.first_failure {
        Some(reason) => writeln!(out, "  failed       {failed}, the first: {reason}"),
        None => Ok(()),
    }
}

fn write_counts(counts: &Counts, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "  counts       sent {} acknowledged {} refused {} unanswered {} unsent {}",
        counts.sent, counts.acked, counts.refused, counts.unanswered, counts.unsent
    )?;
    writeln!(
        out,
        "               received {} gaps {} duplicates {} out of order {} astray {}",
        counts.received, counts.gaps, counts.duplicates, counts.out_of_order, counts.astray
    )?;
    let first = [&counts.first_refusal, &counts.first_disconnect];
    for reason in first.into_iter().flatten() {
        writeln!(out, "  first harm   {reason}")?;
    }
    Ok(())
}

fn write_flow(name: &str, flow: &Flow, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "  {name:<12} {:.1} s: acknowledged {:.0}/s, received {:.0}/s",
        flow.seconds, flow.acked_per_s, flow.received_per_s
    )?;
    if let Some(per_cpu_s) = flow.received_per_cpu_s {
        writeln!(out, "  efficiency   {per_cpu_s:.0} received for a CPU-second of the server's")?;
    }
    for Efficiency { name, received_per_cpu_s } in &flow.received_per_cpu_s_of {
        writeln!(out, "               {received_per_cpu_s:.0} for one of {name}'s alone")?;
    }
    for (name, latency) in [("ack", &flow.ack), ("delivery", &flow.delivery)] {
        writeln!(
            out,
            "  {name:<12} p50 {:.3} p90 {:.3} p99 {:.3} p99.9 {:.3} max {:.3} ms",
            latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms, latency.max_ms
        )?;
    }
    Ok(())
}

fn write_group(group: &Group, out: &mut impl Write) -> std::io::Result<()> {
    let Group { members, connected, devices, counts, notices, delivery, .. } = group;
    writeln!(
        out,
        "  group        {connected} of {members} members connected, in the {devices}: sent {} \
         received {} notices {notices}",
        counts.sent, counts.received
    )?;
    if delivery.count > 0 {
        writeln!(
            out,
            "               delivery p50 {:.0} p99 {:.0} ms",
            delivery.p50_ms, delivery.p99_ms
        )?;
    }
    for reason in [&counts.first_refusal, &counts.first_disconnect].into_iter().flatten() {
        writeln!(out, "  first harm   {reason}")?;
    }
    let rounds: Vec<String> = group.p99_ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    writeln!(
        out,
        "  during/before p50 {:.2}x, p99 {:.2}x; p99 by rounds: {}",
        group.p50_ratio,
        group.p99_ratio,
        rounds.join(", ")
    )
}

fn write_typing(typing: &Typing, out: &mut impl Write) -> std::io::Result<()> {
    let Typing { first_down, most_down, first_up, most_up, events } = typing;
    writeln!(
        out,
        "  typing       {events} events: {most_down} bytes down ({first_down} the first), \
         {most_up} up ({first_up} the first)"
    )
}

fn write_machine(machine: &Machinery, out: &mut impl Write) -> std::io::Result<()> {
    for usage in &machine.processes {
        writeln!(
            out,
            "  process      {}: {:.2} CPU s, {} KiB resident",
            usage.name,
            usage.cpu_s,
            usage.rss_bytes / 1024
        )?;
    }
    writeln!(
        out,
        "  machine      {:.1} s on {} cores: generator {:.2} CPU s, interrupts {:.2}, foreign {:.1}%{}",
        machine.seconds,
        machine.cores,
        machine.generator_cpu_s,
        machine.interrupt_cpu_s,
        machine.foreign_share * 100.0,
        if machine.void { " - VOID" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_harm_is_not_sound() {
        assert!(Counts::default().is_sound());
        let harms: [fn(&mut Counts); 4] =
            [|c| c.gaps = 1, |c| c.duplicates = 1, |c| c.refused = 1, |c| c.disconnects = 1];
        for harm in harms {
            let mut counts = Counts::default();
            harm(&mut counts);
            assert!(!counts.is_sound(), "{counts:?}");
        }
    }

    #[test]
    fn percentiles_are_milliseconds() {
        let mut latencies = histogram().unwrap();
        for ms in 1..=1_000_u64 {
            latencies.saturating_record(ms * 1_000_000);
        }
        let latency = Latency::of(&latencies);
        assert!((latency.p50_ms - 500.0).abs() < 1.0, "{latency:?}");
        assert!((latency.p99_ms - 990.0).abs() < 1.0, "{latency:?}");
        assert_eq!(latency.count, 1_000);
    }

    #[test]
    fn both_forms_say_the_verdict() {
        let report = Report { command: "pairs", sound: true, ..Report::default() };
        let mut text = Vec::new();
        report.write(false, &mut text).unwrap();
        assert!(String::from_utf8(text).unwrap().contains("verdict      sound"));
        let mut json = Vec::new();
        report.write(true, &mut json).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value["sound"], true);
    }
}
