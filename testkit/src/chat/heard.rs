//! What a device hears without asking.

use godwit_proto::conversation::v1::{Control, Entry, EntryType};
use godwit_proto::presence::v1::{Typing, UserPresence};
use godwit_proto::receipt::v1::{ReceiptUpdates, UserReceipt};
use godwit_proto::sync::v1::HeadNotice;
use prost::Message;

use super::Chat;
use crate::wire::Publish;

fn decoded<M: Message + Default>(publish: &Publish) -> M {
    M::decode(publish.payload.as_slice())
        .unwrap_or_else(|error| panic!("{}: {error}: {:02x?}", publish.topic, publish.payload))
}

impl Chat {
    /// The next entry of a conversation.
    pub async fn entry(&mut self, cid: &str) -> Entry {
        let got = self.probe.recv_at(&format!("m/{cid}")).await;
        assert_eq!((got.qos, got.retain), (1, false));
        decoded(&got)
    }

    /// The next entry of a conversation, which must be of this type.
    pub async fn entry_of(&mut self, cid: &str, kind: EntryType) -> Entry {
        let entry = self.entry(cid).await;
        assert_eq!(entry.r#type(), kind, "{entry:?}");
        entry
    }

    /// The next entry of a conversation, which must be a message with this body. Its place.
    pub async fn hears(&mut self, cid: &str, body: &str) -> u64 {
        let entry = self.entry_of(cid, EntryType::Message).await;
        assert_eq!(String::from_utf8_lossy(&entry.body), body, "{entry:?}");
        entry.seq
    }

    /// The next receipts of a conversation.
    pub async fn receipts(&mut self, cid: &str) -> Vec<UserReceipt> {
        let got = self.probe.recv_at(&format!("r/{cid}")).await;
        assert_eq!(got.qos, 1);
        decoded::<ReceiptUpdates>(&got).receipts
    }

    /// Receipts of a conversation until this user's is there as wanted.
    pub async fn receipt(
        &mut self,
        cid: &str,
        user: &str,
        wanted: impl Fn(&UserReceipt) -> bool,
    ) -> UserReceipt {
        loop {
            let found = self.receipts(cid).await.into_iter().find(|r| r.user == user && wanted(r));
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// The next typing event of a conversation.
    pub async fn typing(&mut self, cid: &str) -> Typing {
        let got = self.probe.recv_at(&format!("t/{cid}")).await;
        assert_eq!(got.qos, 0);
        decoded(&got)
    }

    /// The next presence of a user.
    pub async fn presence(&mut self, user: &str) -> UserPresence {
        let got = self.probe.recv_at(&format!("p/{user}")).await;
        assert_eq!(got.qos, 0);
        decoded(&got)
    }

    /// The next head notice of a conversation: its head.
    pub async fn notice(&mut self, cid: &str) -> u64 {
        let got = self.probe.recv_at(&format!("n/{cid}")).await;
        assert_eq!(got.qos, 0);
        decoded::<HeadNotice>(&got).head_seq
    }

    /// The next control message.
    pub async fn control(&mut self) -> Control {
        decoded(&self.probe.recv_at("x").await)
    }

    /// Topics below `prefix` that have arrived and were not asked for.
    #[must_use]
    pub fn left(&self, prefix: &str) -> Vec<String> {
        self.probe.left().into_iter().filter(|topic| topic.starts_with(prefix)).collect()
    }
}
