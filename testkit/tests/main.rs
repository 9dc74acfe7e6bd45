//! One test binary: the house's rules, and scenarios with real clients against a real server.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "all of this is test code, also the functions that tests share"
)]

mod bridge;
mod house;
mod scenarios;
