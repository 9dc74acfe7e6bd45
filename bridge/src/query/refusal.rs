//! What is wrong with a request, and what of a log a request may see.

use std::borrow::Cow;
use std::time::Duration;

use godwit_core::edge::{Code, wait_ms};
use godwit_core::ids::{ConversationId, Seq};
use godwit_core::limits::PAGE_ENTRIES_MAX;
use godwit_core::store::{Error, Page, Range};

use crate::directory::Present;
use crate::limits;
use crate::retry::{self, ASK_AGAIN};
use crate::session::DeviceSession;

/// What is wrong with a request; told in the reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) reason: Cow<'static, str>,
    pub(super) retry_after: Option<Duration>,
    /// The group version now, when the code is about it.
    pub(super) group_version: u64,
}

impl Refusal {
    pub(super) fn new(code: Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into(), retry_after: None, group_version: 0 }
    }

    pub(super) fn malformed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::PAYLOAD_INVALID, reason)
    }

    pub(super) fn no_member() -> Self {
        Self::new(Code::NOT_AUTHORIZED, "not a member of this conversation")
    }

    /// The wire's code.
    pub(super) fn code(&self) -> u32 {
        u32::from(self.code.0)
    }

    /// The wire's wait, in milliseconds.
    pub(super) fn retry_after_ms(&self) -> u32 {
        self.retry_after.map_or(0, wait_ms)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        retry::note("query", &error);
        match error {
            Error::Unavailable(_) => Self {
                retry_after: Some(ASK_AGAIN),
                ..Self::new(Code::QUOTA_EXCEEDED, "the store is away; ask again")
            },
            Error::Broken(_) => Self::new(Code::UNSPECIFIED, "the server failed"),
            Error::Rejected(_) => Self::new(Code::PAYLOAD_INVALID, "the store cannot hold this"),
        }
    }
}

/// A conversation id of a request.
pub(super) fn conversation_id(bytes: &[u8]) -> Result<ConversationId, Refusal> {
    ConversationId::from_slice(bytes)
        .map_err(|_| Refusal::malformed("conversation_id must be 16 bytes"))
}

/// The device's user as a member.
pub(super) async fn member(
    session: &DeviceSession,
    id: ConversationId,
) -> Result<Present, Refusal> {
    let found = session.inner.directory.member(id, &session.identity().user).await?;
    found.ok_or_else(Refusal::no_member)
}

/// Reads a part of the log as a member; with the last place that is not the member's to see.
///
/// Whether the user is one is asked when the entries are read, of the store: what is remembered here may
/// be old, and whoever is removed sees nothing of what follows.
pub(super) async fn read_log(
    session: &DeviceSession,
    id: ConversationId,
    range: Range,
    limit: u32,
) -> Result<(Page, Seq), Refusal> {
    let store = session.inner.store.as_ref();
    let page = store.read_log(id, range, limit, limits::REPLY_BYTES_MAX).await?;
    let mut page = page.ok_or_else(Refusal::no_member)?;
    let member = store.member(id, &session.identity().user).await?;
    let visible = member.ok_or_else(Refusal::no_member)?.visible_seq;
    page.entries.retain(|entry| entry.seq > visible);
    Ok((page, visible))
}

/// How much of a log is read; 0 means as much as there may be.
pub(super) fn page_limit(asked: u32) -> u32 {
    if asked == 0 { PAGE_ENTRIES_MAX } else { asked.min(PAGE_ENTRIES_MAX) }
}
