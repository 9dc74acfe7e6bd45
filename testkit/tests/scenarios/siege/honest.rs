//! Twenty pairs that talk, and how long their words take.

use std::fmt;
use std::time::Duration;

use godwit_testkit::probe::Probe;
use godwit_testkit::wire::{Properties, Version};
use godwit_testkit::within;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::mint::Mint;
use crate::scenarios::payload;
use crate::scenarios::world::{BOTH, World};

const PAIRS: u32 = 20;

/// Between two words of one pair.
pub(super) const PACE: Duration = Duration::from_millis(100);

/// How long something took each time, as a word from when it was due until it had arrived: in one
/// stretch of time after the other.
#[derive(Debug, Default)]
pub(super) struct Times(Vec<Vec<Duration>>);

impl Times {
    pub(super) fn add(&mut self, mut stretch: Vec<Duration>) {
        stretch.sort_unstable();
        self.0.push(stretch);
    }

    /// How many stretches there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The slowest of a hundred in a usual stretch: the median of theirs, so that what the machine does in
    /// one of them does not count.
    pub(super) fn p99(&self) -> Duration {
        let mut all: Vec<_> = self.0.iter().map(|stretch| at(stretch, 99)).collect();
        all.sort_unstable();
        at(&all, 50)
    }
}

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
        let mut all: Vec<_> = self.0.iter().flatten().copied().collect();
        all.sort_unstable();
        let each: Vec<_> = self.0.iter().map(|stretch| ms(at(stretch, 99))).collect();
        let (p50, p99) = (ms(at(&all, 50)), ms(self.p99()));
        write!(f, "{} times, p50 {p50}, p99 {p99} ({}) ms", all.len(), each.join(", "))
    }
}

/// One who speaks and one who listens, in a conversation of their own.
struct Pair {
    speaker: Probe,
    listener: Probe,
    cid: String,
    said: u64,
}

impl Pair {
    async fn connect(world: &World, mint: &Mint, n: u32) -> Self {
        let (one, other) = (format!("honest{n}"), format!("friend{n}"));
        let cid = world.server.create("direct", &[&one, &other]).await;
        // Both versions, and both kinds of listeners.
        let version = |n: u32| BOTH[usize::from(!n.is_multiple_of(2))];
        let hello = mint.hello(version(n), &one, "phone");
        let (speaker, _) = Probe::connect(&world.mqtt(), &hello).await;
        let hello = mint.hello(version(n / 2), &other, "phone").kept();
        let (mut listener, _) = Probe::connect(&world.mqtt(), &hello).await;
        listener.subscribe(if n.is_multiple_of(3) { "c/#" } else { "m/#" }).await;
        Self { speaker, listener, cid, said: 0 }
    }

    /// Says one word and hears it.
    async fn say(&mut self) {
        self.said += 1;
        let body = format!("word {}", self.said);
        let topic = format!("c/{}/w{}", self.cid, self.said);
        let id = self.speaker.start_publish(&topic, body.as_bytes(), Properties::none()).await;
        let answer = self.speaker.answer(id).await;
        assert_eq!(answer.code, 0, "{}: {answer:?}", self.cid);
        let heard = self.listener.recv().await;
        let plain = heard.topic.starts_with("c/");
        let said = if plain { heard.payload } else { payload::entry(&heard.payload).body.to_vec() };
        assert_eq!(String::from_utf8_lossy(&said), body, "{}", self.cid);
    }

    /// Says a word each [`PACE`] until `end`. One that was due while another took its time counts from
    /// when it was due.
    async fn talk(mut self, begin: Instant, end: Instant) -> (Self, Vec<Duration>) {
        let mut times = Vec::new();
        let mut due = begin;
        while due < end {
            tokio::time::sleep_until(due).await;
            self.say().await;
            times.push(due.elapsed());
            due += PACE;
        }
        (self, times)
    }
}

/// All of them.
pub(super) struct Pairs {
    pairs: Vec<Pair>,
}

impl Pairs {
    pub(super) async fn connect(world: &World) -> Self {
        let (mint, mut pairs) = (Mint::of(world), Vec::new());
        for n in 0..PAIRS {
            pairs.push(Pair::connect(world, &mint, n).await);
        }
        assert!(pairs.iter().any(|pair| pair.speaker.version() == Version::V3));
        Self { pairs }
    }

    /// Lets all talk for so long; how long each word took.
    pub(super) async fn talk(&mut self, span: Duration) -> Vec<Duration> {
        let begin = Instant::now();
        let mut talks = JoinSet::new();
        for (n, pair) in (0..).zip(self.pairs.drain(..)) {
            // Not all at once.
            let first = begin + PACE * n / PAIRS;
            talks.spawn(pair.talk(first, begin + span));
        }
        let mut all = Vec::new();
        while let Some(done) = within("a pair's talk", talks.join_next()).await {
            let (pair, times) = done.expect("the pair talks");
            self.pairs.push(pair);
            all.extend(times);
        }
        all
    }
}
