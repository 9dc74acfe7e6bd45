//! (being built)
mod codec;
mod limits;
pub mod listen;

#[cfg(feature = "codec-table")]
#[doc(hidden)]
pub use codec::probe;
