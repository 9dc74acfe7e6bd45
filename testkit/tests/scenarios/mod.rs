//! What people and devices do, over real sockets against the real executable.
//!
//! Scenarios where the store matters run on both: [`on_both_stores`]. Read `exchange` first.

/// Makes of each `async fn name(world: World)` two tests, `name::sqlite` and `name::postgres`.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use crate::scenarios::world::{Backend, World};

            #[tokio::test]
            async fn sqlite() {
                super::$name(World::on(Backend::Sqlite).await).await;
            }

            #[tokio::test]
            async fn postgres() {
                super::$name(World::on(Backend::Postgres).await).await;
            }
        }
    )*};
}

mod payload;
mod world;

mod devices;
mod durability;
mod exchange;
mod fates;
mod fsync;
mod identity;
mod interop;
mod membership;
mod offline;
mod open;
mod plain;
mod refusals;
mod shutdown;
mod slow;
mod startup;
mod takeover;
mod upkeep;
mod wills;
