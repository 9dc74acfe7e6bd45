//! Requests on `q/{method}`, and their replies found as each version says: by Correlation Data at
//! the Response Topic, or by the id in the payload.

use godwit_proto::conversation::v1::{Details, MemberRole, Role};
use godwit_proto::group::v1 as group;
use godwit_proto::inbox::v1 as inbox;
use godwit_proto::sync::v1 as sync;
use prost::Message;

use super::{Chat, cid_bytes, cid_text, fresh_key};
use crate::probe::Answer;
use crate::wire::{Properties, Value, Version, id};

/// A request and what answers it.
pub trait Ask: Message {
    /// The topic's second level.
    const METHOD: &'static str;
    /// What comes back.
    type Reply: Message + Default + std::fmt::Debug;

    /// Gives the request its id.
    fn number(&mut self, id: u64);

    /// The id that the reply repeats.
    fn echoed(reply: &Self::Reply) -> u64;
}

macro_rules! ask {
    ($method:literal, $request:ty => $reply:ty) => {
        impl Ask for $request {
            const METHOD: &'static str = $method;
            type Reply = $reply;

            fn number(&mut self, id: u64) {
                self.id = id;
            }

            fn echoed(reply: &$reply) -> u64 {
                reply.id
            }
        }
    };
}

ask!("sync", sync::SyncRequest => sync::SyncReply);
ask!("history", sync::HistoryRequest => sync::HistoryReply);
ask!("inbox", inbox::InboxRequest => inbox::InboxReply);
ask!("groups", group::GroupRequest => group::GroupReply);

/// A request under way.
#[derive(Debug)]
pub struct Asked {
    packet: u16,
    number: u64,
}

impl Chat {
    /// Asks and insists on a reply, whatever code it has.
    pub async fn ask<A: Ask>(&mut self, request: A) -> A::Reply {
        let reply = self.try_ask(request).await;
        reply.unwrap_or_else(|answer| panic!("q/{} was not taken: {answer:?}", A::METHOD))
    }

    /// Asks. `Err`: the PUBACK that says that there will be no reply (MQTT 5).
    pub async fn try_ask<A: Ask>(&mut self, request: A) -> Result<A::Reply, Answer> {
        let asked = self.start_ask(request).await;
        self.reply::<A>(asked).await
    }

    /// Asks and does not wait.
    pub async fn start_ask<A: Ask>(&mut self, mut request: A) -> Asked {
        self.requests += 1;
        let number = self.requests;
        let topic = format!("q/{}", A::METHOD);
        let properties = match self.version() {
            Version::V3 => {
                request.number(number);
                Properties::none()
            }
            Version::V5 => Properties::none()
                .with(id::RESPONSE_TOPIC, Value::Text(topic.clone().into_bytes()))
                .with(id::CORRELATION_DATA, correlation(number)),
        };
        let packet = self.probe.start_publish(&topic, &request.encode_to_vec(), properties).await;
        Asked { packet, number }
    }

    /// The reply to a request under way. `Err`: the PUBACK that says that there will be none (MQTT 5).
    pub async fn reply<A: Ask>(&mut self, asked: Asked) -> Result<A::Reply, Answer> {
        let Asked { packet, number } = asked;
        let answer = self.probe.answer(packet).await;
        if answer.code != 0 {
            return Err(answer);
        }
        let got = self.probe.recv_on(&format!("q/{}", A::METHOD)).await;
        let reply = A::Reply::decode(got.payload.as_slice()).expect("a reply");
        match self.version() {
            Version::V3 => assert_eq!(A::echoed(&reply), number, "{reply:?}"),
            Version::V5 => {
                assert_eq!(got.properties.get(id::CORRELATION_DATA), Some(&correlation(number)));
            }
        }
        Ok(reply)
    }

    /// Asks on `q/groups`; `cid` empty: to create.
    pub async fn groups(&mut self, cid: &str, ask: group::group_request::Ask) -> group::GroupReply {
        let conversation_id = if cid.is_empty() { Vec::new() } else { cid_bytes(cid) };
        self.ask(group::GroupRequest {
            cmid: fresh_key(),
            conversation_id: conversation_id.into(),
            ask: Some(ask),
            ..group::GroupRequest::default()
        })
        .await
    }

    /// Asks for a change and insists; the conversation after it, and the entry's place.
    pub async fn changed(
        &mut self,
        cid: &str,
        ask: group::group_request::Ask,
    ) -> (group::Group, u64) {
        let reply = self.groups(cid, ask).await;
        assert_eq!(reply.code, 0, "{reply:?}");
        (reply.group.expect("the conversation as it is now"), reply.seq)
    }

    /// Creates a group; its id.
    pub async fn create(&mut self, members: &[&str], details: Option<Details>) -> String {
        let members = owned(members);
        let create = group::Create { direct: false, members, details };
        let (made, _) = self.changed("", group::group_request::Ask::Create(create)).await;
        cid_text(&made.conversation_id)
    }

    /// The conversation with its receipts and pins.
    pub async fn look(&mut self, cid: &str) -> group::Group {
        let get = group::Get { receipts: true, pins: true, ..group::Get::default() };
        self.changed(cid, group::group_request::Ask::Get(get)).await.0
    }

    /// A page of the inbox as it is asked for; must be answered.
    pub async fn inbox_page(&mut self, list: inbox::List) -> inbox::InboxReply {
        let ask = Some(inbox::inbox_request::Ask::List(list));
        let reply = self.ask(inbox::InboxRequest { id: 0, ask }).await;
        assert_eq!(reply.code, 0, "{reply:?}");
        reply
    }

    /// The first page of the open shelf.
    pub async fn inbox(&mut self) -> Vec<inbox::Item> {
        self.inbox_page(inbox::List::default()).await.items
    }

    /// One conversation of the inbox.
    pub async fn item(&mut self, cid: &str) -> inbox::Item {
        let conversation_id = cid_bytes(cid).into();
        let list = inbox::List { conversation_id, ..inbox::List::default() };
        let mut items = self.inbox_page(list).await.items;
        assert_eq!(items.len(), 1, "{cid} in {items:?}");
        items.remove(0)
    }

    /// Changes marks of one conversation; the reply.
    pub async fn mark(&mut self, cid: &str, marks: inbox::SetMarks) -> inbox::InboxReply {
        let set = inbox::SetMarks { conversation_id: cid_bytes(cid).into(), ..marks };
        let ask = Some(inbox::inbox_request::Ask::Set(set));
        self.ask(inbox::InboxRequest { id: 0, ask }).await
    }
}

/// What MQTT 5 finds its reply by.
fn correlation(number: u64) -> Value {
    Value::Text(number.to_be_bytes().to_vec())
}

/// Users to be added, with this role.
#[must_use]
pub fn add(users: &[&str], role: Role) -> group::group_request::Ask {
    group::group_request::Ask::Add(group::Add { users: owned(users), role: role as i32 })
}

/// Users to be removed.
#[must_use]
pub fn remove(users: &[&str]) -> group::group_request::Ask {
    group::group_request::Ask::Remove(group::Remove { users: owned(users) })
}

/// Members that get a role.
#[must_use]
pub fn roles(roles: &[(&str, Role)]) -> group::group_request::Ask {
    let role =
        |(user, role): &(&str, Role)| MemberRole { user: (*user).to_owned(), role: *role as i32 };
    let roles = roles.iter().map(role).collect();
    group::group_request::Ask::SetRoles(group::SetRoles { roles })
}

/// New details, written by one who knows the log up to `based_on`.
#[must_use]
pub fn details(details: Details, based_on: Option<u64>) -> group::group_request::Ask {
    let details = Some(details);
    group::group_request::Ask::SetDetails(group::SetDetails { details, based_on })
}

fn owned(users: &[&str]) -> Vec<String> {
    users.iter().map(|user| (*user).to_owned()).collect()
}
