//! (being built)
mod codec;
mod limits;
pub mod listen;
