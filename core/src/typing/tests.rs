use super::*;
use proptest::prelude::*;

const HERE: ConversationId = ConversationId([1; 16]);
const THERE: ConversationId = ConversationId([2; 16]);
const MS: Duration = Duration::from_millis(1);

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn told(active: bool) -> Option<Forward> {
    Some(Forward { conversation: HERE, user: user("alice"), tag: 7, active })
}

fn typist(conversation: ConversationId, user: &UserId) -> Typist<'_> {
    Typist { conversation, user, tag: 7, peer: None, source: Epoch(1) }
}

/// A board with one sender, and the moment at which its time begins.
struct Bench {
    board: Board,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { board: Board::new(8), start: Instant::now() }
    }

    fn says(&mut self, at_ms: u32, input: Input) -> Option<Forward> {
        let now = self.start + at_ms * MS;
        self.board.handle(typist(HERE, &user("alice")), input, now)
    }

    fn due(&mut self, at_ms: u32) -> Option<Forward> {
        self.board.poll(self.start + at_ms * MS)
    }

    fn deadline_ms(&self) -> Option<u128> {
        Some(self.board.next_deadline()?.duration_since(self.start).as_millis())
    }
}

#[test]
fn a_word_and_a_pause() {
    let mut bench = Bench::new();
    assert_eq!(bench.says(0, Input::Active), told(true));
    assert_eq!(bench.says(3000, Input::Active), told(true));
    assert_eq!(bench.deadline_ms(), Some(9000));
    assert_eq!(bench.due(8999), None);
    assert_eq!(bench.says(4500, Input::Stop), told(false));
    assert_eq!(bench.due(5499), None);
    assert!(!bench.board.is_empty());
    assert_eq!(bench.due(5500), None);
    assert!(bench.board.is_empty() && bench.deadline_ms().is_none());
}

#[test]
fn silence_is_a_stop() {
    let mut bench = Bench::new();
    assert_eq!(bench.says(0, Input::Active), told(true));
    assert_eq!(bench.due(5999), None);
    assert_eq!(bench.due(6000), told(false));
    assert_eq!(bench.due(6000), None);
    assert_eq!(bench.due(7000), None);
    assert!(bench.board.is_empty());
}

#[test]
fn within_a_second_the_latest_wins() {
    let mut bench = Bench::new();
    assert_eq!(bench.says(0, Input::Active), told(true));
    // Too early: told when the second is over.
    assert_eq!(bench.says(300, Input::Stop), None);
    assert_eq!(bench.deadline_ms(), Some(1000));
    assert_eq!(bench.due(1000), told(false));
    // Thought better of it: others are not told what they believe already.
    assert_eq!(bench.says(1200, Input::Active), None);
    assert_eq!(bench.says(1400, Input::Stop), None);
    assert_eq!(bench.due(2000), None);
    assert!(bench.board.is_empty());
    assert_eq!(bench.says(3000, Input::Active), told(true));
    assert_eq!(bench.says(3400, Input::Stop), None);
    assert_eq!(bench.says(3800, Input::Active), None);
    assert_eq!(bench.due(4000), None);
    assert_eq!(bench.due(9800), told(false));
}

#[test]
fn a_message_says_it_all() {
    let mut bench = Bench::new();
    assert_eq!(bench.says(0, Input::Active), told(true));
    bench.board.clear(HERE, &user("alice"));
    assert_eq!(bench.says(100, Input::Stop), None);
    assert_eq!(bench.due(900), None);
    // The next word, still within the second.
    assert_eq!(bench.says(500, Input::Active), None);
    assert_eq!(bench.due(1000), told(true));
    bench.board.clear(HERE, &user("alice"));
    bench.board.clear(THERE, &user("alice"));
    assert_eq!(bench.due(60_000), None);
    assert!(bench.board.is_empty());
}

#[test]
fn conversations_and_senders_are_apart_and_bounded() {
    let (mut board, now) = (Board::new(2), Instant::now());
    assert!(board.handle(typist(HERE, &user("alice")), Input::Active, now).is_some());
    assert!(board.handle(typist(THERE, &user("alice")), Input::Active, now).is_some());
    assert_eq!(board.handle(typist(HERE, &user("bob")), Input::Active, now), None);
    assert_eq!(board.handle(typist(HERE, &user("bob")), Input::Stop, now), None);
    let mut stopped = 0;
    while board.poll(now + SILENCE).is_some() {
        stopped += 1;
    }
    assert_eq!(stopped, 2);
    assert_eq!(board.poll(now + SILENCE + PAUSE), None);
    assert!(
        board.handle(typist(HERE, &user("bob")), Input::Active, now + SILENCE + PAUSE).is_some()
    );
}

#[test]
fn every_end_is_told_within_the_second() {
    let (alice, bob) = (user("alice"), user("bob"));
    type End = fn(&mut Board);
    let ends: [(&str, End); 5] = [
        ("may no more", |board| board.end(HERE, &user("alice"))),
        ("is gone", |board| board.left(Epoch(1))),
        ("is blocked", |board| board.parted(&user("bob"))),
        ("blocks", |board| board.parted(&user("alice"))),
        ("twice", |board| {
            board.left(Epoch(1));
            board.end(HERE, &user("alice"));
        }),
    ];
    for (name, end) in ends {
        let (mut board, start) = (Board::new(8), Instant::now());
        let from = Typist { peer: Some(&bob), ..typist(HERE, &alice) };
        assert_eq!(board.handle(from, Input::Active, start), told(true));
        // Others have nothing to do with it.
        board.end(HERE, &bob);
        board.left(Epoch(2));
        board.parted(&user("carol"));
        end(&mut board);
        assert_eq!(board.next_deadline(), Some(start + PAUSE), "{name}");
        assert_eq!(board.poll(start + PAUSE), told(false), "{name}");
        assert_eq!(board.poll(start + 2 * PAUSE), None, "{name}");
        assert!(board.is_empty() && board.by_source.is_empty() && board.by_pair.is_empty());
        // What nobody was told of ends without a word.
        board.handle(from, Input::Active, start + 3 * PAUSE);
        board.clear(HERE, &alice);
        end(&mut board);
        assert_eq!(board.poll(start + 9 * PAUSE), None, "{name}");
    }
}

#[test]
fn who_types_on_at_another_device_does_not_end() {
    let (mut board, start, alice) = (Board::new(8), Instant::now(), user("alice"));
    let phone = typist(HERE, &alice);
    let laptop = Typist { source: Epoch(2), ..phone };
    board.handle(phone, Input::Active, start);
    board.handle(Typist { conversation: THERE, ..phone }, Input::Active, start);
    board.handle(laptop, Input::Active, start + 1500 * MS);
    board.left(Epoch(1));
    let forward = board.poll(start + 1500 * MS).unwrap();
    assert_eq!((forward.conversation, forward.active), (THERE, false));
    assert_eq!(board.poll(start + 7000 * MS), None);
    board.left(Epoch(2));
    assert_eq!(board.poll(start + 7000 * MS), told(false));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Says(Input),
    Message,
    /// Removed, gone, or parted.
    Ends(u8),
}

fn step() -> impl Strategy<Value = (u32, usize, Step)> {
    let what = prop_oneof![
        4 => Just(Step::Says(Input::Active)),
        2 => Just(Step::Says(Input::Stop)),
        1 => Just(Step::Message),
        1 => (0u8..3).prop_map(Step::Ends),
    ];
    // Mostly quick keys, sometimes a long silence.
    (prop_oneof![5 => 0u32..1500, 1 => 1500u32..9000], 0usize..2, what)
}

proptest! {
    /// Two senders, any steps, every deadline kept: never two packets within a second about one of
    /// them; others are told what differs from what they believe (or that it goes on), believe in
    /// the end what is true, and never believe for more than seven seconds without news.
    #[test]
    fn any_fingers(steps in proptest::collection::vec(step(), 1..120)) {
        let (mut board, start) = (Board::new(8), Instant::now());
        let senders = [user("alice"), user("bob")];
        let peers = [user("carol"), user("dan")];
        let from = |who: usize| {
            let source = Epoch(who as u64);
            Typist { source, peer: Some(&peers[who]), ..typist(HERE, &senders[who]) }
        };
        // Per sender: what others believe, since when they were told last, when it last was active.
        let mut believed = [false; 2];
        let mut last_told: [Option<Instant>; 2] = [None; 2];
        let mut last_active: [Option<Instant>; 2] = [None; 2];
        let mut now = start;
        let end = (30_000, 0, Step::Says(Input::Stop));
        for (gap_ms, who, step) in steps.into_iter().chain([end]) {
            let next = now + gap_ms * MS;
            let mut told = Vec::new();
            while let Some(deadline) = board.next_deadline().filter(|at| *at <= next) {
                let at = deadline.max(now);
                while let Some(forward) = board.poll(at) {
                    told.push((at, forward));
                }
            }
            now = next;
            match step {
                Step::Says(input) => {
                    let forward = board.handle(from(who), input, now);
                    told.extend(forward.map(|forward| (now, forward)));
                }
                Step::Message => board.clear(HERE, &senders[who]),
                Step::Ends(0) => board.end(HERE, &senders[who]),
                Step::Ends(1) => board.left(Epoch(who as u64)),
                Step::Ends(_) => board.parted(&senders[who]),
            }
            for (at, forward) in told {
                let i = senders.iter().position(|s| *s == forward.user).unwrap();
                prop_assert!(last_told[i].is_none_or(|last| at >= last + PAUSE));
                prop_assert!(forward.active || believed[i], "a STOP that is no news");
                (believed[i], last_told[i]) = (forward.active, Some(at));
            }
            match step {
                Step::Says(Input::Active) => last_active[who] = Some(now),
                Step::Says(Input::Stop) => {}
                // Told by the time a second is over.
                Step::Ends(_) => last_active[who] = Some(now).filter(|_| believed[who]).map(|at| at - SILENCE),
                // The message itself tells others.
                Step::Message => believed[who] = false,
            }
            for i in 0..2 {
                if believed[i] {
                    prop_assert!(last_active[i].is_some_and(|at| now < at + SILENCE + PAUSE));
                }
            }
        }
        prop_assert_eq!(believed, [false; 2]);
        prop_assert!(board.is_empty() && board.by_source.is_empty() && board.by_pair.is_empty());
    }

    /// Whoever keeps renewing every three seconds is shown as typing all the time, with a timer of
    /// six seconds at the receiver.
    #[test]
    fn a_steady_typist_never_flickers(offsets_ms in proptest::collection::vec(0u32..3000, 2..40)) {
        let (mut board, start) = (Board::new(8), Instant::now());
        let (mut now, mut last) = (start, None);
        for offset in offsets_ms {
            now += offset * MS;
            let told = board.handle(typist(HERE, &user("alice")), Input::Active, now);
            if let Some(forward) = told {
                prop_assert!(forward.active);
                last = Some(now);
            }
            prop_assert_eq!(board.poll(now), None);
            prop_assert!(last.is_some_and(|last: Instant| now < last + SILENCE));
        }
    }
}
