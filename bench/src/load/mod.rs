//! The measurements and what they share.
//!
//! Read `ramp` (connections come up), `lanes` (messages go and are checked), `drive` (the loop
//! around both), then one measurement each: `idle`, `pairs` (with `fanout`), `storm`, `isolation`
//! (with `crowd`, the large group's devices), `soak`, `typing`.

mod crowd;
pub(crate) mod drive;
pub(crate) mod idle;
pub(crate) mod isolation;
pub(crate) mod lanes;
pub(crate) mod pairs;
pub(crate) mod ramp;
pub(crate) mod soak;
pub(crate) mod storm;
pub(crate) mod tally;
pub(crate) mod typing;
