//! What people and devices do, over real sockets against the real executable.
//!
//! Scenarios where the store matters run on both: [`on_both_stores`]. Read `exchange` first.

/// Makes of each `async fn name(world: World)` two tests, `name::sqlite` and `name::postgres`. `with
/// options` starts the server as the function `options` says.
macro_rules! on_both_stores {
    (@options) => { godwit_testkit::server::Options::default() };
    (@options $options:ident) => { super::$options() };
    (@test $name:ident $test:ident $backend:ident $($options:ident)?) => {
        #[tokio::test]
        async fn $test() {
            use crate::scenarios::world::{Backend, World};
            let options = on_both_stores!(@options $($options)?);
            super::$name(World::on_with(Backend::$backend, options).await).await;
        }
    };
    (@stores [$($options:ident)?] $name:ident) => {
        mod $name {
            on_both_stores!(@test $name sqlite Sqlite $($options)?);
            on_both_stores!(@test $name postgres Postgres $($options)?);
        }
    };
    (with $options:ident : $($name:ident),* $(,)?) => {$(
        on_both_stores!(@stores [$options] $name);
    )*};
    ($($name:ident),* $(,)?) => {$(
        on_both_stores!(@stores [] $name);
    )*};
}

/// Makes of each `async fn name(side: Side<'_>)` two tests, `name::sqlite` and `name::postgres`, each
/// in both protocol versions at once. `sqlite` in front leaves the other store out; `with options`
/// starts the server as the function `options` says.
macro_rules! in_both_versions {
    (@options) => { godwit_testkit::server::Options::default() };
    (@options $options:ident) => { super::$options() };
    (@test $name:ident $test:ident $backend:ident $($options:ident)?) => {
        #[tokio::test]
        async fn $test() {
            use crate::scenarios::{side, world::Backend};
            let options = in_both_versions!(@options $($options)?);
            side::run(Backend::$backend, options, super::$name).await;
        }
    };
    (sqlite $(with $options:ident)? : $($name:ident),* $(,)?) => {
        in_both_versions!(@sqlite [$($options)?] $($name)*);
    };
    (@sqlite $options:tt $($name:ident)*) => {$(
        mod $name {
            in_both_versions!(@on $name sqlite Sqlite $options);
        }
    )*};
    (@on $name:ident $test:ident $backend:ident [$($options:ident)?]) => {
        in_both_versions!(@test $name $test $backend $($options)?);
    };
    (@stores $options:tt $($name:ident)*) => {$(
        mod $name {
            in_both_versions!(@on $name sqlite Sqlite $options);
            in_both_versions!(@on $name postgres Postgres $options);
        }
    )*};
    (with $options:ident : $($name:ident),* $(,)?) => {
        in_both_versions!(@stores [$options] $($name)*);
    };
    ($($name:ident),* $(,)?) => {
        in_both_versions!(@stores [] $($name)*);
    };
}

mod payload;
mod side;
mod world;

mod accounts;
mod attack;
mod blocks;
mod bounds;
mod browser;
mod details;
mod devices;
mod disappearing;
mod durability;
mod entries;
mod exchange;
mod farewell;
mod fates;
mod frozen;
mod fsync;
mod groups;
mod guides;
mod heard;
mod identity;
mod inbox;
mod inbox_check;
mod interop;
mod kept_plain;
mod large;
mod lease;
mod limits;
mod logs;
mod membership;
mod mounted;
mod offline;
mod open;
mod operators;
mod outage;
mod plain;
mod presence;
mod quotas;
mod races;
mod receipts;
mod refusals;
mod rest;
mod shutdown;
mod siege;
mod slow;
mod startup;
mod sync;
mod takeover;
mod talks;
mod told;
mod typing;
mod upkeep;
mod wedge;
mod wills;
