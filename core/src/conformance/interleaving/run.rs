//! Carrying commands out: one after another, or all at once.

use super::{
    ChangeRequest, Command, Done, Entry, Fate, Identity, PEOPLE, POLICY, Place, Prune, Report,
    Request, Send, Seq, Store, UserId, What, World, accepted,
};
use crate::conformance::support::{Task, join_all};
use crate::ids::ConversationId;

/// The keys of sends and changes share one name space.
fn key_of(
    id: ConversationId,
    from: &Identity,
    key: &crate::commit::SendKey,
) -> (ConversationId, Identity, String) {
    (id, from.clone(), key.to_stored())
}

impl World {
    /// Carries out `order` (numbers of commands, some of them repeated), one after another; sends
    /// that follow each other share a batch where `batched` says so. Every few steps all is
    /// compared.
    pub async fn in_order(
        &mut self,
        store: &dyn Store,
        commands: &[Command],
        order: &[usize],
        batched: &[bool],
    ) {
        let mut batch: Vec<Send> = Vec::new();
        for (step, number) in order.iter().enumerate() {
            self.now_ms += 1000;
            match self.request(*number, &commands[*number]) {
                Request::Send(send) => {
                    batch.push(send);
                    if batched.get(step).is_some_and(|on| *on) {
                        continue;
                    }
                    self.commit(store, &std::mem::take(&mut batch)).await;
                }
                other => {
                    // What stands in a batch was asked before.
                    self.commit(store, &std::mem::take(&mut batch)).await;
                    self.carry_out(store, other).await;
                }
            }
            if step % 8 == 7 {
                self.matches(store).await;
            }
        }
        self.commit(store, &batch).await;
        self.matches(store).await;
    }

    async fn commit(&mut self, store: &dyn Store, batch: &[Send]) {
        let committed = store.commit(batch, &POLICY).await.unwrap();
        let mut fresh = committed.entries.into_iter();
        for (send, fate) in batch.iter().zip(committed.fates) {
            let Fate::Accepted { message_id, seq, duplicate } = fate else { continue };
            let key = key_of(send.conversation, &send.from, &send.key);
            if duplicate {
                assert_eq!(self.told.get(&key), Some(&(message_id, seq)), "one key, one message");
                continue;
            }
            let (entry, version) = fresh.next().expect("an entry for each new send");
            assert_eq!((entry.message_id, entry.seq), (send.message_id, seq));
            assert_eq!(message_id, send.message_id);
            let model = self.model(send.conversation);
            let now = model.conversation().group_version;
            assert!(version == now && send.group_version.is_none_or(|named| named == now), "stale");
            model.take(&entry);
            model.sent(send);
            assert_eq!(self.told.insert(key, (message_id, seq)), None, "one key, one message");
            self.done.push(Done::Sent(send.clone(), seq));
        }
        assert!(fresh.next().is_none(), "an entry that nobody was told of");
    }

    async fn carry_out(&mut self, store: &dyn Store, request: Request) {
        match request {
            Request::Send(send) => self.commit(store, &[send]).await,
            Request::Change(request) => {
                if let Ok((entry, after)) = store.change(&request).await.unwrap() {
                    self.changed(request, entry);
                    let model = &self.models[&after.id];
                    assert_eq!(after, *model.conversation());
                }
            }
            Request::Report(user, place) => {
                let report = Report { user: user.clone(), places: vec![place], lenient: false };
                let verdict = store.report(&[report]).await.unwrap().remove(0);
                let expected = self.model(place.conversation).report(&user, &place);
                let now = verdict.ok().map(|moved| moved.first().map(|moved| moved.now));
                assert_eq!(now, expected, "{user} reports {place:?}");
                if expected.is_some() {
                    self.done.push(Done::Reported(user, place));
                }
            }
            Request::Mark(user, id, change) => {
                let marks = store.change_marks(&user, id, &change).await.unwrap();
                assert_eq!(marks, self.model(id).mark(&user, &change));
                if marks.is_some() {
                    self.done.push(Done::Marked(user, id, change));
                }
            }
            Request::Block(user, other, on) => self.block(store, user, other, on).await,
            Request::Prune(now_ms) => {
                prune(store, now_ms).await;
                self.models.values_mut().for_each(|model| model.prune(now_ms));
                self.done.push(Done::Pruned(now_ms));
            }
        }
    }

    async fn block(&mut self, store: &dyn Store, user: UserId, other: UserId, on: bool) {
        let told = store.block(&user, &other, on, self.now_ms).await.unwrap().unwrap();
        let mut changed = Vec::new();
        for (id, model) in &mut self.models {
            let before = model.conversation().group_version;
            model.block(&user, &other, on);
            if model.conversation().group_version != before {
                changed.push(*id);
            }
        }
        assert_eq!(told, changed);
        self.done.push(Done::Blocked(user, other, on));
    }

    /// A change that the store says is made: now, or by an earlier try.
    fn changed(&mut self, request: ChangeRequest, entry: Entry) {
        let from = request.actor.clone().unwrap();
        let key = key_of(request.conversation, &from, &request.key);
        let place = (entry.message_id, entry.seq);
        if entry.message_id != request.message_id {
            assert_eq!(self.told.get(&key), Some(&place), "one key, one change");
            return;
        }
        self.model(request.conversation).take(&entry);
        assert_eq!(self.told.insert(key, place), None, "one key, one change");
        self.done.push(Done::Changed(Box::new((request, entry))));
    }

    /// Carries out all at once: each person's commands in their order, the people beside each other.
    ///
    /// Left out is what no log puts into an order: blocks, marks, pruning, and who reports must
    /// stay a member (numbers 0 and 1 do: nobody removes them here).
    pub async fn at_once(&mut self, store: &dyn Store, commands: &[Command], order: &[usize]) {
        let mut lists: Vec<Vec<Request>> = (0..PEOPLE).map(|_| Vec::new()).collect();
        for number in order {
            let command = &commands[*number];
            let left_out = match &command.what {
                What::Mark(_) | What::Block { .. } | What::Prune => true,
                What::Report { .. } => command.actor > 1,
                What::Remove { users } => users.iter().any(|user| *user < 2),
                _ => false,
            };
            if !left_out {
                self.now_ms += 1000;
                let request = self.request(*number, command);
                lists[usize::from(command.actor)].push(request);
            }
        }
        let tasks: Vec<Task<'_, Vec<Answer>>> = lists
            .into_iter()
            .map(|list| -> Task<'_, Vec<Answer>> { Box::pin(answers(store, list)) })
            .collect();
        let answers = join_all(tasks).await.into_iter().flatten().collect();
        self.put_in_order(answers);
        self.matches(store).await;
    }

    /// Orders what was answered as the logs have it, and takes it.
    fn put_in_order(&mut self, mut answers: Vec<Answer>) {
        answers.sort_by_key(|answer| match answer {
            Answer::Sent(send, entry, _) => (0, send.conversation, entry.seq),
            Answer::Changed(request, entry) => {
                // A repeated change is looked at when the first one is known.
                let repeated = u8::from(entry.message_id != request.message_id);
                (repeated, request.conversation, entry.seq)
            }
            Answer::Repeated(send, ..) => (1, send.conversation, Seq::ZERO),
            Answer::Reported(_, place) => (2, place.conversation, Seq::ZERO),
        });
        for answer in answers {
            match answer {
                Answer::Sent(send, entry, version) => {
                    let model = self.model(send.conversation);
                    let now = model.conversation().group_version;
                    let named = send.group_version.is_none_or(|named| named == now);
                    assert!(version == now && named, "accepted with a stale version");
                    model.take(&entry);
                    model.sent(&send);
                    let key = key_of(send.conversation, &send.from, &send.key);
                    let told = self.told.insert(key, (entry.message_id, entry.seq));
                    assert_eq!(told, None, "one key, one message");
                    self.done.push(Done::Sent(send, entry.seq));
                }
                Answer::Repeated(send, id, seq) => {
                    let key = key_of(send.conversation, &send.from, &send.key);
                    assert_eq!(self.told.get(&key), Some(&(id, seq)), "one key, one message");
                }
                Answer::Changed(request, entry) => self.changed(request, entry),
                Answer::Reported(user, place) => {
                    let taken = self.model(place.conversation).report(&user, &place);
                    assert!(taken.is_some(), "{user} reported {place:?}");
                    self.done.push(Done::Reported(user, place));
                }
            }
        }
    }
}

/// What a command was answered that was carried out beside others.
enum Answer {
    Sent(Send, Entry, u64),
    Repeated(Send, crate::ids::MessageId, Seq),
    Changed(ChangeRequest, Entry),
    Reported(UserId, Place),
}

/// One person's commands, one after another; refused ones give no answer.
async fn answers(store: &dyn Store, list: Vec<Request>) -> Vec<Answer> {
    let mut answers = Vec::new();
    for request in list {
        match request {
            Request::Send(send) => {
                let batch = [send];
                let mut committed = store.commit(&batch, &POLICY).await.unwrap();
                let [send] = batch;
                let Fate::Accepted { .. } = committed.fates[0] else { continue };
                let (id, seq, duplicate) = accepted(committed.fates[0]);
                if duplicate {
                    answers.push(Answer::Repeated(send, id, seq));
                } else {
                    let (entry, version) = committed.entries.remove(0);
                    answers.push(Answer::Sent(send, entry, version));
                }
            }
            Request::Change(request) => {
                if let Ok((entry, _)) = store.change(&request).await.unwrap() {
                    answers.push(Answer::Changed(request, entry));
                }
            }
            Request::Report(user, place) => {
                let report = Report { user: user.clone(), places: vec![place], lenient: false };
                if store.report(&[report]).await.unwrap().remove(0).is_ok() {
                    answers.push(Answer::Reported(user, place));
                }
            }
            Request::Mark(..) | Request::Block(..) | Request::Prune(_) => {}
        }
    }
    answers
}

/// Prunes until nothing is due.
pub(super) async fn prune(store: &dyn Store, now_ms: u64) {
    let prune = Prune { now_ms, bodies_before_ms: None, rows_max: 1000 };
    while store.prune(prune).await.unwrap().bodies > 0 {}
}
