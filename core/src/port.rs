//! What the ports to stores and to the bus have in common: how an operation answers, and how it fails.

use std::future::Future;
use std::pin::Pin;

/// A future of a port's operation.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Why an operation of the store failed; variants by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Away for now (connection lost, restarting, locked, out of disk, a right taken away): wait
    /// and repeat; time or an operator's hand mends it.
    #[error("the store is away: {0}")]
    Unavailable(#[source] Source),
    /// Repeating at once does not help: a defect, or a store that was changed by another hand. Give
    /// up this try and tell the operator. It says nothing of the request: after it is mended, the
    /// same request may succeed, so nobody is told that it was refused.
    #[error("the store failed: {0}")]
    Broken(#[source] Source),
    /// The store has read this request's own values and can never hold them. Nothing was stored.
    /// The only failure of which a sender may be told a refusal.
    #[error("the store cannot hold this: {0}")]
    Rejected(#[source] Source),
}

/// What an adapter's driver said.
pub type Source = Box<dyn std::error::Error + Send + Sync>;
