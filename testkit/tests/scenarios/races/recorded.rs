//! Devices that write down what they ask for, are told and get, and the end of a round.

use std::collections::VecDeque;

use godwit_proto::conversation::v1::{EntryType, Send};
use godwit_proto::group::v1::group_request::Ask;
use godwit_proto::group::v1::{GroupReply, GroupRequest};
use godwit_testkit::chat::{Chat, cid_bytes, fresh_key};
use godwit_testkit::history::{Attempt, Entry, History, Outcome, Shown};
use godwit_testkit::within;

use crate::scenarios::side::Side;

/// Sends of one device that wait for their fate at a time.
const WINDOW: usize = 6;

/// A device in one conversation after another.
pub(super) struct Recorded {
    pub(super) chat: Chat,
    attempts: Vec<Attempt>,
    arrived: Vec<Entry>,
}

impl Recorded {
    pub(super) async fn new(side: Side<'_>, name: &str, device: &str) -> Self {
        let chat = side.chat(name, device).await;
        Self { chat, attempts: Vec::new(), arrived: Vec::new() }
    }

    /// A device that reads logs alone, and confirms only what the test has taken.
    pub(super) async fn slow(side: Side<'_>, name: &str, device: &str) -> Self {
        let mut chat = side.chat_for(name, device, &["m/#", "q/#"]).await;
        chat.probe.eager = false;
        Self { chat, attempts: Vec::new(), arrived: Vec::new() }
    }

    /// `user:device`.
    pub(super) fn who(&self) -> String {
        format!("{}:{}", self.chat.user, self.chat.device)
    }

    /// Sends these, a window at a time, and afterwards each fifth once more, as if its answer had
    /// been lost. How many were accepted, and how many not.
    pub(super) async fn burst(&mut self, cid: &str, sends: Vec<Send>) -> (usize, usize) {
        let before = self.attempts.len();
        let keyed = |send: &Send| Send { cmid: fresh_key(), ..send.clone() };
        let sends: Vec<Send> = sends.iter().map(keyed).collect();
        let mut open = VecDeque::new();
        for send in &sends {
            if open.len() == WINDOW {
                self.finish(&mut open).await;
            }
            open.push_back((send.clone(), self.chat.start(cid, send.clone()).await));
        }
        while !open.is_empty() {
            self.finish(&mut open).await;
        }
        let places = self.attempts[before..].iter().map(Attempt::place);
        let accepted: Vec<Send> =
            places.zip(&sends).filter_map(|(place, send)| place.map(|_| send.clone())).collect();
        let counts = (accepted.len(), sends.len() - accepted.len());
        for send in accepted.into_iter().step_by(5) {
            let again = self.send(cid, send).await;
            assert!(again.is_ok(), "what was accepted is told so: {again:?}");
        }
        counts
    }

    async fn finish(&mut self, open: &mut VecDeque<(Send, godwit_testkit::chat::Sent)>) {
        let Some((send, sent)) = open.pop_front() else { return };
        let fate = self.chat.fate(sent).await;
        self.attempts.push(Attempt::sent(&self.who(), &send, Some(&fate)));
    }

    /// Sends, with a fresh key if it has none; the place, or the code and the version now.
    pub(super) async fn send(&mut self, cid: &str, mut send: Send) -> Result<u64, (u32, u64)> {
        if send.cmid.is_empty() {
            send.cmid = fresh_key();
        }
        let fate = self.chat.send(cid, send.clone()).await;
        self.attempts.push(Attempt::sent(&self.who(), &send, Some(&fate)));
        if fate.code == 0 { Ok(fate.seq) } else { Err((fate.code, fate.group_version)) }
    }

    /// Asks for a change on `q/groups`, and once more with the same key, as if the answer had been
    /// lost: it is told the same. `based_on` is for a title.
    pub(super) async fn change(
        &mut self,
        cid: &str,
        ask: Ask,
        based_on: Option<u64>,
    ) -> GroupReply {
        let kind = match ask {
            Ask::SetDetails(_) => EntryType::Details,
            _ => EntryType::Membership,
        };
        let cmid = fresh_key();
        let request = GroupRequest {
            cmid: cmid.clone(),
            conversation_id: cid_bytes(cid).into(),
            ask: Some(ask),
            ..GroupRequest::default()
        };
        let reply = self.chat.ask(request.clone()).await;
        let tries = if reply.code == 0 {
            vec![reply.clone(), self.chat.ask(request).await]
        } else {
            vec![reply.clone()]
        };
        for (number, reply) in tries.iter().enumerate() {
            let outcome = match reply.code {
                0 => Outcome::Accepted(reply.seq, None, number > 0),
                code => Outcome::Refused(code),
            };
            let attempt = Attempt::message(&self.who(), &cmid, outcome);
            self.attempts.push(Attempt { kind, based_on, body: Vec::new(), ..attempt });
        }
        reply
    }

    /// The next entry of a conversation.
    pub(super) async fn entry(&mut self, cid: &str) -> Entry {
        let entry = Entry::from(&self.chat.entry(cid).await);
        self.arrived.push(entry.clone());
        entry
    }

    /// Takes entries until these places are there, but for its own.
    async fn until(&mut self, cid: &str, places: &[(String, u64)]) {
        let who = self.who();
        for (_, place) in places.iter().filter(|(by, _)| *by != who) {
            while self.arrived.last().is_none_or(|last| last.seq < *place) {
                self.entry(cid).await;
            }
        }
    }

    /// Takes what has arrived, after a word with the server.
    pub(super) async fn rest(&mut self, cid: &str) {
        self.chat.probe.fence().await;
        let topic = format!("m/{cid}");
        while self.chat.left(&topic).contains(&topic) {
            self.entry(cid).await;
        }
    }

    /// Gives what was written down.
    fn hand_over(&mut self, history: &mut History) {
        let who = self.who();
        self.attempts.drain(..).for_each(|attempt| history.attempt(attempt));
        history.connected(&who);
        self.arrived.drain(..).for_each(|entry| history.arrived(&who, entry));
    }
}

/// A race: its rounds, so that what comes late can be judged as well.
pub(super) struct Race<'a> {
    side: Side<'a>,
    rounds: Vec<(String, History)>,
}

impl<'a> Race<'a> {
    pub(super) fn new(side: Side<'a>) -> Self {
        Self { side, rounds: Vec::new() }
    }

    /// The end of a round: two members say a last word, everybody gets what is due, inboxes are
    /// read, and the history is judged against the log. Gives the log.
    ///
    /// All of `devices` have been subscribed since the begin; the first two are present members.
    pub(super) async fn judge(
        &mut self,
        cid: &str,
        history: History,
        devices: &mut [&mut Recorded],
    ) -> Vec<Entry> {
        let history = end(cid, history, devices).await;
        let log = history.verdict(&self.side.world.server, cid).await;
        self.rounds.push((cid.to_owned(), history));
        log
    }

    /// The end of the race: whatever came since its round was over must have been due in it.
    pub(super) async fn over(self, devices: &mut [&mut Recorded]) {
        for (cid, mut history) in self.rounds {
            for device in devices.iter_mut() {
                device.rest(&cid).await;
                let who = device.who();
                // On the same connection as what came before.
                device.arrived.drain(..).for_each(|entry| history.arrived(&who, entry));
            }
            history.verdict(&self.side.world.server, &cid).await;
        }
        for device in devices {
            assert_eq!(device.chat.left("m/"), Vec::<String>::new(), "{}", device.who());
        }
    }
}

async fn end(cid: &str, mut history: History, devices: &mut [&mut Recorded]) -> History {
    let mut places: Vec<(String, u64)> = Vec::new();
    for device in devices.iter_mut().take(2) {
        let last = godwit_testkit::chat::message(&format!("the last word of {}", device.who()));
        let place = device.send(cid, last).await.expect("a member may speak");
        places.push((device.who(), place));
    }
    places.sort_by_key(|(_, place)| *place);
    let members = devices[0].chat.look(cid).await.members;
    let mut shown = Vec::new();
    for device in devices.iter_mut() {
        let who = device.who();
        history.watches(&who, 0);
        if members.iter().any(|member| member.user == device.chat.user) {
            within(&format!("the last word at {who}"), device.until(cid, &places)).await;
            let item = device.chat.item(cid).await;
            shown.push(Shown::of(&device.chat.user, &item));
        }
        // What comes later, to one who has left, is judged when the race is over.
        device.rest(cid).await;
        device.hand_over(&mut history);
    }
    shown.into_iter().for_each(|shown| history.shown(shown));
    history
}
