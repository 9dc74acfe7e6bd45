//! Godwit's wire: the types generated from `proto/`, and nothing else.
//!
//! The `.proto` files are the reference; read `godwit/conversation/v1/conversation.proto` first.
//! Generated types stop at the edge: inside, `godwit-core` has its own.

#![allow(missing_docs, unreachable_pub)]

/// A conversation's log on the wire: sends, entries, fates, control.
pub mod conversation {
    /// The first version.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/godwit.conversation.v1.rs"));
    }
}

/// Sync and history, requests and replies; head notices.
pub mod sync {
    /// The first version.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/godwit.sync.v1.rs"));
    }
}

/// Conversations created, looked at and changed.
pub mod group {
    /// The first version.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/godwit.group.v1.rs"));
    }
}

/// Inboxes and marks.
pub mod inbox {
    /// The first version.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/godwit.inbox.v1.rs"));
    }
}

/// Presence and typing.
pub mod presence {
    /// The first version.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/godwit.presence.v1.rs"));
    }
}

/// Receipts.
pub mod receipt {
    /// The first version.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/godwit.receipt.v1.rs"));
    }
}
