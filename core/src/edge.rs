//! The border between broker and bridge.
//!
//! The broker knows connections, topics and identities; the bridge knows conversations. They meet
//! only here, so that they can run in one process (these traits called directly) or in two (an
//! adapter of the bus in between), without a line changed in either.
//!
//! Upward, a device's packets: [`Gate`] decides who may come in and do what, [`Upstream`] opens a
//! [`Session`] for each admitted device, and every mounted topic is given to that session.
//! Downward, [`Downlink`] is one connection: deliveries, the outcome of publishes, the end.
//!
//! All calls but the ones that return a future are cheap and never block.

mod code;
mod gate;
mod link;
mod message;
mod outcome;
mod session;

pub use code::Code;
pub use gate::{Action, Admitted, Credentials, Gate, Grant};
pub use link::{Ack, Downlink};
pub use message::{Delivery, Message, Properties, Publish, Qos, SubscribeRequest, Version};
pub use outcome::{Detail, Outcome, wait_ms};
pub use session::{Begin, Begun, Session, Task, Upstream};
