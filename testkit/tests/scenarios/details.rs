//! Title and description: two admins at once, and the one who lost is told.

use godwit_proto::conversation::v1::{Details, EntryType, Role};
use godwit_proto::group::v1::{GroupReply, GroupRequest, SetDetails, group_request};
use godwit_testkit::chat::{self, Chat, cid_bytes, roles};

use super::side::Side;

in_both_versions!(
    the_last_writer_wins_and_the_other_is_told,
    title_and_description_do_not_meet,
    details_keep_to_their_bounds,
);

fn title(text: &str) -> Details {
    Details { title: Some(text.to_owned()), ..Details::default() }
}

fn description(text: &str) -> Details {
    Details { description: Some(text.to_owned()), ..Details::default() }
}

/// A group of olga, the owner, and the admins named.
async fn led_by(side: &Side<'_>, admins: &[&str]) -> (String, Chat) {
    let names: Vec<&str> = ["olga"].iter().chain(admins).copied().collect();
    let cid = side.group(&names).await;
    let mut owner = side.chat("olga", "phone").await;
    let ids = side.ids(admins);
    let named: Vec<_> = ids.iter().map(|id| (id.as_str(), Role::Admin)).collect();
    owner.changed(&cid, roles(&named)).await;
    (cid, owner)
}

async fn write(chat: &mut Chat, cid: &str, set: Details, known: u64) -> GroupReply {
    let reply = chat.groups(cid, chat::details(set, Some(known))).await;
    assert_eq!(reply.code, 0, "{reply:?}");
    reply
}

async fn the_last_writer_wins_and_the_other_is_told(side: Side<'_>) {
    let (cid, mut owner) = led_by(&side, &["adam", "anna"]).await;
    let mut adam = side.chat("adam", "phone").await;
    let mut adams_laptop = side.chat("adam", "laptop").await;
    let mut anna = side.chat("anna", "phone").await;
    let mut annas_laptop = side.chat("anna", "laptop").await;
    for round in 0..5 {
        let known = owner.look(&cid).await.head_seq;
        let (rome, paris) = (format!("Rome {round}"), format!("Paris {round}"));
        let (one, other) = tokio::join!(
            write(&mut adam, &cid, title(&rome), known),
            write(&mut anna, &cid, title(&paris), known),
        );
        let mut places = [one.seq, other.seq];
        places.sort_unstable();
        assert_eq!(places, [known + 1, known + 2]);
        let anna_won = other.seq > one.seq;
        let (winner, loser) = if anna_won { (&paris, &rome) } else { (&rome, &paris) };
        assert_eq!(&owner.look(&cid).await.title, winner);
        // Everybody reads the same, on every device; the loser's laptop, too.
        for hearer in [&mut owner, &mut adams_laptop, &mut annas_laptop] {
            let first = hearer.entry_of(&cid, EntryType::Details).await;
            let details = first.details.expect("the details");
            assert_eq!((first.seq, details.title.as_ref()), (known + 1, Some(loser)));
            assert!(!details.concurrent, "the first knew everything: {details:?}");
            let last = hearer.entry_of(&cid, EntryType::Details).await;
            let details = last.details.expect("the details");
            assert_eq!((last.seq, details.title.as_ref()), (known + 2, Some(winner)));
            assert!(details.concurrent, "{details:?}");
            assert_eq!(details.replaces, [known + 1], "names whom it overwrote");
        }
        let (told, silent) = if anna_won { (&mut adam, &mut anna) } else { (&mut anna, &mut adam) };
        let entry = told.entry_of(&cid, EntryType::Details).await;
        assert!(entry.details.is_some_and(|d| d.concurrent), "the loser's own device is told");
        // The winner's device hears of the other's write, which was before its own.
        let entry = silent.entry_of(&cid, EntryType::Details).await;
        assert_eq!(entry.seq, known + 1);
    }
    // Whoever has seen it overwrites knowingly: nobody has lost.
    let known = owner.look(&cid).await.head_seq;
    write(&mut adam, &cid, title("Oslo"), known).await;
    let entry = owner.entry_of(&cid, EntryType::Details).await;
    let details = entry.details.expect("the details");
    assert!(!details.concurrent && details.replaces == [known], "{details:?}");
}

async fn title_and_description_do_not_meet(side: Side<'_>) {
    let (cid, mut owner) = led_by(&side, &["adam"]).await;
    let mut adam = side.chat("adam", "phone").await;
    let known = owner.look(&cid).await.head_seq;
    tokio::join!(
        write(&mut adam, &cid, title("Trip"), known),
        write(&mut owner, &cid, description("to the sea\r\n\tand back"), known),
    );
    let group = owner.look(&cid).await;
    assert_eq!(
        (group.title.as_str(), group.description.as_str()),
        ("Trip", "to the sea\r\n\tand back")
    );
    let mut laptop = side.chat("olga", "laptop").await;
    write(&mut adam, &cid, title("Long trip"), group.head_seq).await;
    let entry = laptop.entry_of(&cid, EntryType::Details).await;
    let details = entry.details.expect("the details");
    assert!(!details.concurrent && details.description.is_none(), "{details:?}");
    // A repeated request (its answer was lost) is told what the first one did.
    let ask = SetDetails { details: Some(title("Short trip")), based_on: None };
    let request = GroupRequest {
        cmid: "once".to_owned(),
        conversation_id: cid_bytes(&cid).into(),
        ask: Some(group_request::Ask::SetDetails(ask)),
        ..GroupRequest::default()
    };
    let first = adam.ask(request.clone()).await;
    write(&mut owner, &cid, title("Another"), first.seq).await;
    let again = adam.ask(request).await;
    assert_eq!((first.code, again.code, again.seq), (0, 0, first.seq), "{again:?}");
    assert_eq!(again.group.expect("as it is now").title, "Another");
}

async fn details_keep_to_their_bounds(side: Side<'_>) {
    let (cid, mut owner) = led_by(&side, &["adam"]).await;
    let before = owner.look(&cid).await;
    let long = "\u{e9}".repeat(128);
    let table = [
        ("129 characters", title(&"x".repeat(129)), None),
        ("a line's end in a title", title("a\nb"), None),
        ("a control character", title("a\u{7}b"), None),
        ("1,025 characters", description(&"x".repeat(1025)), None),
        (
            "an expiry of two years",
            Details { expiry_s: Some(2 * 366 * 86_400), ..Details::default() },
            None,
        ),
        ("nothing", Details::default(), None),
        ("an unknown setting", Details { history: 9, ..Details::default() }, None),
        ("a place beyond the head", title("x"), Some(99)),
    ];
    for (what, set, based_on) in table {
        let reply = owner.groups(&cid, chat::details(set, based_on)).await;
        assert_eq!((reply.code, reply.seq), (0x99, 0), "{what}: {reply:?}");
        assert!(!reply.reason.is_empty(), "{what}");
    }
    assert_eq!(owner.look(&cid).await.head_seq, before.head_seq, "nothing was done");
    // Characters are counted, not bytes.
    write(&mut owner, &cid, title(&long), before.head_seq).await;
    let same = owner.groups(&cid, chat::details(title(&long), None)).await;
    assert_eq!(same.code, 0x99, "the same again changes nothing: {same:?}");
    // A direct conversation has no title, but messages may disappear there, too: both may say so.
    let pair = side.direct("olga", "adam").await;
    assert_eq!(owner.groups(&pair, chat::details(title("x"), None)).await.code, 0x99);
    let mut adam = side.chat("adam", "phone").await;
    let hour = Details { expiry_s: Some(3600), ..Details::default() };
    let (group, seq) = adam.changed(&pair, chat::details(hour, None)).await;
    assert_eq!((group.expiry_s, seq), (3600, 2));
}
