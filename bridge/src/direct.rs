//! Sends of the control plane: the way of a device's send, without a connection.

use std::sync::Arc;

use godwit_core::bus::Post;
use godwit_core::edge::{Ack, Code, Delivery, Downlink, Outcome, Version};
use godwit_core::ids::Identity;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::feeds::Feeds;
use crate::ingest::Draft;
use crate::inner::Inner;
use crate::session::DeviceSession;

/// Whoever waits for the answer. It takes no deliveries.
#[derive(Debug)]
struct Counter {
    who: Identity,
    answer: Mutex<Option<oneshot::Sender<Outcome>>>,
}

impl Downlink for Counter {
    fn identity(&self) -> &Identity {
        &self.who
    }

    fn version(&self) -> Version {
        // Who is too fast is told to wait.
        Version::V5
    }

    fn deliver(&self, delivery: Delivery) -> Result<(), Delivery> {
        Err(delivery)
    }

    fn room(&self) -> usize {
        0
    }

    fn settle(&self, _: u32, outcome: Outcome) {
        if let Some(answer) = self.answer.lock().take() {
            // Who has hung up is told nothing; what is committed stays.
            let _ = answer.send(outcome);
        }
    }

    fn close(&self, _: Code) {}
}

/// See [`godwit_core::bus::Control::send`].
pub(crate) async fn send(inner: &Arc<Inner>, post: Post) -> Outcome {
    let Post { conversation, from, key, act, body, group_version, expiry_s, reads } = post;
    let (answer, told) = oneshot::channel();
    let counter = Arc::new(Counter { who: from, answer: Mutex::new(Some(answer)) });
    let link: Arc<dyn Downlink> = Arc::clone(&counter) as _;
    // Not online and not kept: a session for one send, which nobody else finds.
    let session =
        DeviceSession::new(Arc::clone(inner), Arc::clone(&link), (false, false), Feeds::new(false));
    let draft = Draft {
        cmid: None,
        act,
        body,
        group_version,
        previous_chain: None,
        expiry_s,
        key: Some(key),
        reads,
    };
    session.ingest(conversation, Ok(draft), Ack::new(link, 0));
    told.await.unwrap_or(Outcome::WITHHELD)
}
