//! Changes of conversations: from what was asked to the answer.

use std::sync::Arc;

use godwit_core::change::{Ask, ChangeRequest, Refused};
use godwit_core::entry::Entry;
use godwit_core::membership::Conversation;

use super::asked::Asked;
use super::if_match::NotOurs;
use super::problem::{Kind, Problem};
use super::{Api, etag, request};
use crate::clock;

/// What became of a change.
pub(super) type Changed = Result<(Option<Entry>, Conversation), Refused>;

/// Asks for a change of the conversation that the path names, in the state that `If-Match` names.
pub(super) async fn change(
    api: &Arc<Api>,
    asked: &Asked,
    cid: &str,
    ask: Ask,
) -> Result<Changed, Problem> {
    let conversation = request::conversation_id(cid)?;
    let stamp = match asked.if_match.stamp() {
        Ok(stamp) => stamp,
        Err(NotOurs) => {
            let (conversation, _) = api.seen_by(&asked.caller, cid).await?;
            return Err(Problem::changed(etag::of_stamp(conversation.stamp())));
        }
    };
    let time_ms = clock::now_ms();
    let message_id = clock::message_id(time_ms).map_err(|_| Problem::no_randomness())?;
    let request = ChangeRequest {
        conversation,
        actor: asked.caller.identity().cloned(),
        ask,
        stamp,
        adding: None,
        key: asked.claim(api).await?.send_key(message_id),
        message_id,
        time_ms,
    };
    let api = Arc::clone(api);
    to_end(async move { Ok(api.control.change(&request).await?) }).await
}

/// Runs a change to its end in a task of its own: a caller that hangs up between the commit and what
/// follows it (an announcement, a signal) must not keep others from hearing of it.
pub(super) async fn to_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(change).await.unwrap_or_else(|_| {
        Err(Problem::new(Kind::Internal, "the change ended early; look whether it was made"))
    })
}
