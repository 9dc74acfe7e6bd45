//! Twenty pairs that talk, and how long their words take.

use std::fmt;
use std::time::Duration;

use godwit_testkit::probe::Probe;
use godwit_testkit::wire::{Properties, Version};
use godwit_testkit::within;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::scenarios::payload;
use crate::scenarios::world::{BOTH, World};

const PAIRS: u32 = 20;

/// Between two words of one pair.
const PACE: Duration = Duration::from_millis(100);

/// How long words took, from when they were due until they had arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    count: usize,
    p50: Duration,
    pub(super) p99: Duration,
    max: Duration,
}

impl Figures {
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
        Self { count: times.len(), p50: at(50), p99: at(99), max: at(100) }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, p50, p99, max } = self;
        write!(f, "{count} words, p50 {p50:?}, p99 {p99:?}, at most {max:?}")
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
    async fn connect(world: &World, n: u32) -> Self {
        let (one, other) = (format!("honest{n}"), format!("friend{n}"));
        let cid = world.server.create("direct", &[&one, &other]).await;
        // Both versions, and both kinds of listeners.
        let version = |n: u32| BOTH[usize::from(!n.is_multiple_of(2))];
        let speaker = world.probe(version(n), &one, "phone").await;
        let mut listener = world.kept(version(n / 2), &other, "phone").await.0;
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
        let mut pairs = Vec::new();
        for n in 0..PAIRS {
            pairs.push(Pair::connect(world, n).await);
        }
        assert!(pairs.iter().any(|pair| pair.speaker.version() == Version::V3));
        Self { pairs }
    }

    /// Lets all talk for so long.
    pub(super) async fn talk(&mut self, span: Duration) -> Figures {
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
        Figures::of(all)
    }
}
