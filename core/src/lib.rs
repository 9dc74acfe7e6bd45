//! Godwit's pure core.
//!
//! It holds what does not depend on a machine: ids, the log of a conversation and its chain hash,
//! the decision on a batch of sends, and the ports around them. It refuses tokio, sqlx, redis, a
//! clock and randomness of its own: time and ids come in with each request.
//!
//! Read it in this order:
//! 1. [`ids`]: what is named and how it is written.
//! 2. [`entry`]: one place of a conversation's log, and the chain over it.
//! 3. [`commit`]: sends, their fates, and the pure decision that both stores share.
//! 4. [`membership`]: conversations, members, roles; [`change`]: how they change; [`policy`]: who
//!    may do what, and for how long; [`text`]: what may be a title or a name.
//! 5. [`cursor`] and [`session`]: where a device stands in the logs, and what is kept for it;
//!    [`receipt`]: how far a user has got.
//! 6. [`rate`], [`typing`], [`presence`]: what passes and is kept nowhere, under a time that comes in.
//! 7. [`store`] with its parts [`inbox`] and [`people`] (and [`stored`], its columns read back),
//!    [`bus`], [`edge`]: the ports. `edge` is the border between broker and bridge.
//! 8. [`tasks`]: what must not die silently; [`shrink`]: what must not stay large; [`pool`]: how the
//!    stores' connections are used.
//!
//! With the feature `conformance` it also brings the suite that every store must pass.

pub mod bus;
pub mod change;
pub mod commit;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod cursor;
pub mod edge;
pub mod entry;
pub mod ids;
pub mod inbox;
pub mod limits;
pub mod membership;
pub mod notice;
pub mod offer;
pub mod people;
pub mod policy;
pub mod pool;
mod port;
pub mod presence;
pub mod rate;
pub mod receipt;
pub mod session;
pub mod shrink;
pub mod store;
pub mod stored;
pub mod tasks;
pub mod text;
pub mod typing;
