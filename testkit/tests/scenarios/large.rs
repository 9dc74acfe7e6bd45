//! Large groups: out of the way of everybody else, and complete all the same.

use godwit_proto::conversation::v1::{EntryType, Role};
use godwit_proto::presence::v1::{presence, typing};
use godwit_proto::sync::v1::SyncRequest;
use godwit_testkit::chat::{Chat, add, cid_bytes, remove};
use godwit_testkit::server::Options;

use super::groups::member;
use super::side::Side;

in_both_versions!(sqlite with small:
    a_device_in_the_background_is_noticed_and_pulls,
    typing_and_receipts_stay_out,
    a_group_grows_large_and_small_again,
);
in_both_versions!(with small: everybody_gets_all_of_it_in_order);

fn small() -> Options {
    Options::default()
        .with("GODWIT__LIMITS__LARGE_GROUP_MEMBERS", "8")
        .with("GODWIT__LIMITS__LARGE_GROUP_SENDS_PER_S", "10000")
}

/// A group of twelve; the names of all.
async fn crowd(side: &Side<'_>) -> (String, Vec<String>) {
    let names: Vec<String> = (0..12).map(|n| format!("p{n}-")).collect();
    let cid = side.group(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    (cid, names)
}

async fn everybody_gets_all_of_it_in_order(side: Side<'_>) {
    const COUNT: usize = 60;
    let (cid, names) = crowd(&side).await;
    let mut chats = Vec::new();
    for name in &names {
        chats.push(side.chat(name, "phone").await);
    }
    let (mut away, _) = side.kept(&names[5], "tablet").await;
    away.disconnect().await;
    // Three of them speak at once.
    let (speakers, listeners) = chats.split_at_mut(3);
    let [one, two, three] = speakers else { unreachable!("three") };
    tokio::join!(
        one.say_many(&cid, "a", COUNT),
        two.say_many(&cid, "b", COUNT),
        three.say_many(&cid, "c", COUNT),
    );
    let mut log = Vec::new();
    for chat in listeners {
        let mut heard = Vec::new();
        for _ in 0..3 * COUNT {
            let entry = chat.entry(&cid).await;
            heard.push((entry.seq, entry.message_id, entry.body));
        }
        let places: Vec<u64> = heard.iter().map(|(seq, ..)| *seq).collect();
        assert_eq!(places, (2..=3 * COUNT as u64 + 1).collect::<Vec<_>>(), "{}", chat.user);
        if log.is_empty() {
            log = heard;
        } else {
            assert_eq!(log, heard, "{} has another log", chat.user);
        }
    }
    // The speakers get what the others said.
    for chat in [one, two, three] {
        for _ in 0..2 * COUNT {
            chat.entry(&cid).await;
        }
    }
    away = side.kept(&names[5], "tablet").await.0;
    for place in &log {
        let entry = away.entry(&cid).await;
        assert_eq!(&(entry.seq, entry.message_id, entry.body), place);
    }
}

async fn a_device_in_the_background_is_noticed_and_pulls(side: Side<'_>) {
    let (cid, names) = crowd(&side).await;
    let pair = side.direct(&names[0], &names[1]).await;
    let mut author = side.chat(&names[0], "phone").await;
    let mut screen = side.chat(&names[1], "screen").await;
    let mut pocket = side.chat(&names[1], "pocket").await;
    let mut simple = side.chat_for(&names[2], "simple", &["m/#"]).await;
    pocket.is(presence::State::Background, &[]).await;
    author.say_many(&cid, "n", 40).await;
    let last = 41;
    // The screen gets each message; the pocket only hears how far the log has come, and not once
    // for each.
    for n in 0..40 {
        screen.hears(&cid, &format!("n-{n}")).await;
        // A device that knows nothing of notices gets what it always got.
        simple.hears(&cid, &format!("n-{n}")).await;
    }
    let mut notices = 0;
    while pocket.notice(&cid).await < last {
        notices += 1;
    }
    assert!(notices < 40, "{notices} notices for 40 messages");
    // A message between two is no large group's.
    author.say(&pair, "psst").await;
    pocket.hears(&pair, "psst").await;
    assert_eq!(pocket.left("m/"), Vec::<String>::new());
    // It pulls when it likes.
    let asked = SyncRequest { conversation_id: cid_bytes(&cid).into(), ..SyncRequest::default() };
    let page = pocket.ask(asked).await;
    assert_eq!((page.entries.len(), page.head_seq), (41, 41));
    // Back on screen, it is sent what it has not been sent yet, in order, and then goes on.
    pocket.is(presence::State::Foreground, &[]).await;
    author.say(&cid, "n-40").await;
    for n in 0..41 {
        pocket.hears(&cid, &format!("n-{n}")).await;
    }
}

async fn typing_and_receipts_stay_out(side: Side<'_>) {
    let (cid, names) = crowd(&side).await;
    let pair = side.direct(&names[0], &names[1]).await;
    let mut author = side.chat(&names[0], "phone").await;
    let mut other = side.chat(&names[1], "phone").await;
    let seq = author.say(&cid, "to all").await;
    other.hears(&cid, "to all").await;
    other.read(&cid, seq).await;
    other.types(&cid, typing::State::Start).await;
    // The same between two is told; what came before it would have come before it.
    let seq = author.say(&pair, "to you").await;
    other.hears(&pair, "to you").await;
    other.read(&pair, seq).await;
    other.types(&pair, typing::State::Start).await;
    author.typing(&pair).await;
    author.receipt(&pair, &side.id(&names[1]), |r| r.read == seq).await;
    for topic in [format!("t/{cid}"), format!("r/{cid}")] {
        assert_eq!(author.left(&topic), Vec::<String>::new());
    }
    // They are kept, and told whoever asks. What has only arrived is not even noted: a message to
    // thousands would be thousands of rows.
    let id = side.id(&names[1]);
    let seen = author.look(&cid).await;
    assert_eq!((member(&seen, &id).delivered, member(&seen, &id).read), (2, 2));
    assert_eq!(other.item(&cid).await.unread, 0);
}

async fn a_group_grows_large_and_small_again(side: Side<'_>) {
    let names: Vec<String> = (0..8).map(|n| format!("q{n}-")).collect();
    let cid = side.group(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut owner = side.chat(&names[0], "phone").await;
    let mut listener: Chat = side.chat(&names[1], "phone").await;
    let mut pocket = side.chat(&names[2], "pocket").await;
    pocket.is(presence::State::Background, &[]).await;
    let ninth = side.id("ninth");
    let mut expected = 1;
    for round in 0..3 {
        owner.say_many(&cid, &format!("small{round}"), 5).await;
        owner.changed(&cid, add(&[&ninth], Role::Member)).await;
        owner.say_many(&cid, &format!("large{round}"), 5).await;
        owner.changed(&cid, remove(&[&ninth])).await;
        for n in 0..12 {
            let entry = listener.entry(&cid).await;
            expected += 1;
            assert_eq!(entry.seq, expected);
            let change = matches!(n, 5 | 11);
            assert_eq!(entry.r#type() == EntryType::Membership, change, "{entry:?}");
        }
    }
    // Small again, it is pushed to everybody: what was held back first.
    owner.say(&cid, "the end").await;
    for seq in 2..=38 {
        assert_eq!(pocket.entry(&cid).await.seq, seq);
    }
}
