//! (being built)
mod codec;
mod limits;
