//! How far a device was told of what concerns its user beside the logs.

use godwit_core::cursor::Feed;
use godwit_core::ids::Seq;

/// How far a device was told on each of the two feeds.
#[derive(Debug, Default)]
pub(crate) struct Places {
    control: Place,
    own: Place,
}

/// How far on one of them.
#[derive(Debug, Default)]
pub(crate) struct Place {
    /// Given out up to here; `None`: nothing yet on this connection.
    pub(crate) after: Option<Seq>,
    /// A task reads.
    pub(crate) running: bool,
    /// There is more than it may have read.
    pub(crate) again: bool,
    /// The queue was full.
    pub(crate) stuck: bool,
}

impl Places {
    /// On this feed.
    pub(crate) fn of(&mut self, feed: Feed) -> &mut Place {
        if feed == Feed::Own { &mut self.own } else { &mut self.control }
    }
}
