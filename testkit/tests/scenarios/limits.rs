//! Too much, too fast: a code and a wait, for users, conversations, devices and addresses.

use std::time::{Duration, Instant};

use godwit_proto::conversation::v1::Fate;
use godwit_testkit::chat::{Chat, message};
use godwit_testkit::probe::Probe;
use godwit_testkit::server::Options;
use godwit_testkit::wire::Version;

use super::side::Side;
use super::world::{BOTH, World};

in_both_versions!(sqlite with slow_users: a_user_has_one_rate_over_all_devices);
in_both_versions!(sqlite with slow_conversations: a_conversation_has_a_rate_of_its_own);
in_both_versions!(sqlite with slow_groups: a_large_group_has_a_rate_of_its_own);
in_both_versions!(sqlite with slow_devices: a_device_has_a_rate_of_its_own);

fn slow_users() -> Options {
    Options::default().with("GODWIT__LIMITS__USER_SENDS_PER_S", "5")
}

fn slow_conversations() -> Options {
    Options::default()
        .with("GODWIT__LIMITS__CONVERSATION_SENDS_PER_S", "5")
        .with("GODWIT__LIMITS__LARGE_GROUP_SENDS_PER_S", "5")
}

fn slow_groups() -> Options {
    Options::default()
        .with("GODWIT__LIMITS__LARGE_GROUP_MEMBERS", "3")
        .with("GODWIT__LIMITS__LARGE_GROUP_SENDS_PER_S", "5")
}

fn slow_devices() -> Options {
    Options::default().with("GODWIT__LIMITS__PUBLISHES_PER_S", "20")
}

/// Sends at once; the fates.
async fn burst(chat: &mut Chat, cid: &str, count: usize) -> Vec<Fate> {
    let mut window = Vec::new();
    for _ in 0..count {
        window.push(chat.start(cid, message("x")).await);
    }
    let mut fates = Vec::new();
    for sent in window {
        fates.push(chat.fate(sent).await);
    }
    fates
}

/// What was let in where a second's worth is five, with a burst of as many. However slow the machine is,
/// more than that since the begin is too much.
struct Let {
    begin: Instant,
    accepted: usize,
}

impl Let {
    fn begin() -> Self {
        Self { begin: Instant::now(), accepted: 0 }
    }

    fn add(&mut self, fates: &[Fate]) {
        self.accepted += count(fates);
        let most = 6.0 + 5.0 * self.begin.elapsed().as_secs_f64();
        assert!(self.accepted as f64 <= most, "{} were accepted, {most} at most", self.accepted);
    }
}

/// Sends thirty at once: more than what is allowed is refused with 0x97 and a wait that is enough.
async fn is_held(chat: &mut Chat, cid: &str) -> Let {
    let mut all = Let::begin();
    let wait_ms = loop {
        let fates = burst(chat, cid, 30).await;
        all.add(&fates);
        assert!(all.accepted >= 1, "{fates:?}");
        let refused: Vec<_> = fates.iter().filter(|fate| fate.code != 0).collect();
        assert!(refused.iter().all(|fate| fate.code == 0x97 && fate.seq == 0), "{refused:?}");
        // One that was accepted behind the last refusal has taken what that was to wait for.
        if let Some(last) = fates.last().filter(|last| last.code != 0) {
            break last.retry_after_ms;
        }
    };
    assert!((1..=5000).contains(&wait_ms), "{wait_ms} ms");
    tokio::time::sleep(Duration::from_millis(wait_ms.into())).await;
    let fate = chat.send(cid, message("after the wait")).await;
    assert_eq!(fate.code, 0, "{fate:?}");
    all.add(&[fate]);
    all
}

fn count(fates: &[Fate]) -> usize {
    fates.iter().filter(|fate| fate.code == 0).count()
}

/// 3.1.1 cannot be told to wait, so it is made to: its sends wait in line, unacknowledged. Checks that
/// it took its time, and that all are there in order, and once.
async fn insist(side: &Side<'_>, cid: &str, count: usize, per_s: usize) {
    let begin = Instant::now();
    let mut alice = side.chat_for("alice", "phone", &["a"]).await;
    let fates = burst(&mut alice, cid, count).await;
    let places: Vec<u64> = fates.iter().map(|fate| fate.seq).collect();
    assert_eq!(places, (2..=count as u64 + 1).collect::<Vec<_>>(), "{fates:?}");
    // A second's worth may go at once.
    let least = Duration::from_secs_f64((count - per_s) as f64 / per_s as f64 * 0.8);
    assert!(begin.elapsed() >= least, "{:?}", begin.elapsed());
    let log = side.operator().get(&format!("/v1/conversations/{cid}/messages")).await.expect(200);
    assert_eq!(
        log["messages"].as_array().map(Vec::len),
        Some(count + 1),
        "each once, behind the creation"
    );
}

async fn a_user_has_one_rate_over_all_devices(side: Side<'_>) {
    let (one, other) = (side.direct("alice", "bob").await, side.group(&["alice", "bob"]).await);
    if side.version == Version::V3 {
        return insist(&side, &one, 12, 5).await;
    }
    let mut phone = side.chat("alice", "phone").await;
    let mut laptop = side.chat("alice", "laptop").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut all = is_held(&mut phone, &one).await;
    // Neither another conversation nor another device is a way around.
    let (here, there) = tokio::join!(burst(&mut phone, &one, 10), burst(&mut laptop, &other, 10));
    all.add(&here);
    all.add(&there);
    // Somebody else's rate is somebody else's.
    bob.say(&one, "unharmed").await;
    // Only what was accepted stands in the log.
    assert_eq!(bob.item(&other).await.head_seq, 1 + count(&there) as u64);
}

async fn a_conversation_has_a_rate_of_its_own(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    if side.version == Version::V3 {
        return insist(&side, &cid, 12, 5).await;
    }
    let other = side.group(&["alice", "bob"]).await;
    let mut alice = side.chat("alice", "phone").await;
    let mut bob = side.chat("bob", "phone").await;
    let mut all = is_held(&mut alice, &cid).await;
    // Whoever speaks: it is the conversation that is full.
    let (hers, his) = tokio::join!(burst(&mut alice, &cid, 10), burst(&mut bob, &cid, 10));
    all.add(&hers);
    all.add(&his);
    bob.say(&other, "elsewhere all is well").await;
}

async fn a_large_group_has_a_rate_of_its_own(side: Side<'_>) {
    let cid = side.group(&["alice", "bob", "carol", "dave"]).await;
    let small = side.group(&["alice", "bob"]).await;
    // The first word makes it known as large.
    let mut bob = side.chat("bob", "phone").await;
    bob.say(&cid, "who is here?").await;
    let mut carol = side.chat("carol", "phone").await;
    bob.say(&cid, "now?").await;
    carol.hears(&cid, "now?").await;
    if side.version == Version::V3 {
        return;
    }
    let mut alice = side.chat("alice", "phone").await;
    is_held(&mut alice, &cid).await;
    let fates = burst(&mut alice, &small, 30).await;
    assert_eq!(count(&fates), 30, "a small one has not: {fates:?}");
}

async fn a_device_has_a_rate_of_its_own(side: Side<'_>) {
    let cid = side.group(&["alice", "bob"]).await;
    // This bound is the broker's, which knows no fates: MQTT 5 is told by the PUBACK alone.
    let filters = if side.version == Version::V5 { &["m/#"][..] } else { &["m/#", "a"] };
    let mut alice = side.chat_for("alice", "phone", filters).await;
    let mut laptop = side.chat("alice", "laptop").await;
    let begin = Instant::now();
    let fates = burst(&mut alice, &cid, 60).await;
    match side.version {
        // It is read from more slowly, and everything comes to pass.
        Version::V3 => {
            assert_eq!(count(&fates), 60);
            let took = begin.elapsed();
            assert!(took > Duration::from_millis(1000), "{took:?} for 60 at 20 in a second");
        }
        Version::V5 => {
            let refused: Vec<_> = fates.iter().filter(|fate| fate.code != 0).collect();
            let most = 21.0 + 20.0 * begin.elapsed().as_secs_f64();
            assert!((60 - refused.len()) as f64 <= most, "{} of 60 refused", refused.len());
            assert!(refused.iter().all(|f| f.code == 0x97 && f.retry_after_ms > 0), "{refused:?}");
        }
    }
    laptop.say(&cid, "unharmed").await;
}

#[tokio::test]
async fn an_address_connects_only_so_fast() {
    let options = Options::default().with("GODWIT__LIMITS__CONNECTS_PER_S_PER_ADDRESS", "2");
    let world = World::with(options).await;
    for version in BOTH {
        let hello = world.hello(version, "alice", "phone").await;
        let mut refused = None;
        for _ in 0..60 {
            let (_, welcome) = Probe::try_connect(&world.mqtt(), &hello).await;
            if welcome.code != 0 {
                refused = Some(welcome);
                break;
            }
        }
        let refused = refused.expect("sixty at once are too many");
        let wait_ms = match version {
            Version::V3 => {
                assert_eq!(refused.code, 3, "{refused:?}");
                1000
            }
            Version::V5 => {
                assert_eq!(refused.code, 0x9F, "{refused:?}");
                let wait = refused.properties.user("retry_after_ms").map(str::parse::<u64>);
                wait.expect("a wait").expect("a number")
            }
        };
        assert!((1..=5000).contains(&wait_ms), "{wait_ms}");
        tokio::time::sleep(Duration::from_millis(wait_ms + 50)).await;
        Probe::connect(&world.mqtt(), &hello).await;
    }
}

#[tokio::test]
async fn rest_is_asked_only_so_often() {
    let options = Options::default().with("GODWIT__LIMITS__REQUESTS_PER_S", "2");
    let world = World::with(options).await;
    let alice = world.server.caller(&world.token("alice", "phone").await);
    let mut refused = None;
    for _ in 0..60 {
        let reply = alice.get("/v1/inbox").await;
        if reply.status != 200 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("sixty at once are too many");
    assert_eq!(refused.problem(429), "throttled");
    let wait_s = refused.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
    let wait_s = wait_s.expect("a wait");
    assert!((1..=5).contains(&wait_s), "{wait_s}");
    tokio::time::sleep(Duration::from_secs(wait_s)).await;
    assert_eq!(alice.get("/v1/inbox").await.status, 200);
}
