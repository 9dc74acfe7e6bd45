//! Who sends at fixed times, whatever became of what was sent before.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use godwit_testkit::probe::Probe;
use godwit_testkit::wire::{Properties, Received};
use tokio::time::Instant;

/// Whether to go on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a sender has seen.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    /// When each send was due, and how long after that its PUBACK came.
    pub(crate) took: Vec<(Instant, Duration)>,
    /// PUBACKs with a code of 0x80 or more.
    pub(crate) refused: usize,
}

/// Sends `words` of this topic, one each `pace`, until told to stop and all are answered.
pub(crate) async fn talk(mut probe: Probe, topic: String, pace: Duration, stop: Stop) -> Talk {
    let (mut talk, mut waiting) = (Talk::default(), HashMap::new());
    let mut due = Instant::now();
    for n in 0_u64.. {
        while !stop.is_set() {
            // A wait for a packet may be given up: none is lost by that.
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due) => break,
                packet = probe.next(), if !waiting.is_empty() => {
                    take(&packet, &mut waiting, &mut talk);
                }
            }
        }
        if stop.is_set() {
            break;
        }
        let topic = format!("{topic}/w{n}");
        let id = probe.start_publish(&topic, b"a word", Properties::none()).await;
        waiting.insert(id, due);
        due += pace;
    }
    while !waiting.is_empty() {
        take(&probe.next().await, &mut waiting, &mut talk);
    }
    talk
}

fn take(packet: &Received, waiting: &mut HashMap<u16, Instant>, talk: &mut Talk) {
    match packet {
        Received::PubAck { packet_id, code, .. } => {
            let due = waiting.remove(packet_id).expect("a PUBACK of what was sent");
            talk.took.push((due, due.elapsed()));
            talk.refused += usize::from(*code >= 0x80);
        }
        Received::Closed => panic!("closed with {} sends unanswered", waiting.len()),
        _ => {}
    }
}

/// How long something took, sorted.
pub(crate) struct Figures(Vec<Duration>);

impl Figures {
    pub(crate) fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.collect();
        times.sort_unstable();
        Self(times)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = &self.0;
        let Some(longest) = times.last() else { return f.write_str("none") };
        let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let (p50, p99, longest) = (ms(at(50)), ms(at(99)), ms(*longest));
        write!(f, "{}: p50 {p50:.1} ms, p99 {p99:.1} ms, longest {longest:.1} ms", times.len())
    }
}
