//! The Postgres store against the port's conformance suite, and what only Postgres has.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are test code")]

mod faults;
mod harm;
mod loss;
mod plans;
#[path = "../../../property.rs"]
mod property;
mod schema;
mod two_processes;
mod upgrade;

use std::ops::Deref;

use godwit_store_postgres::{Options, PostgresStore};
use godwit_testkit::postgres::{self, Database};

/// A migrated store in a database of its own.
struct Fresh {
    store: PostgresStore,
    database: Database,
}

impl Deref for Fresh {
    type Target = PostgresStore;

    fn deref(&self) -> &PostgresStore {
        &self.store
    }
}

/// Few connections: many tests share the server.
const OPTIONS: Options = Options {
    connections_max: 4,
    operation_timeout: std::time::Duration::from_secs(10),
    accept_data_loss: true,
};

async fn connect(url: &str) -> PostgresStore {
    PostgresStore::connect(url, OPTIONS).await.unwrap()
}

async fn fresh() -> Fresh {
    let database = postgres::fresh(async |url| {
        let store = connect(&url).await;
        store.migrate_up().await.unwrap();
        store.close().await;
    })
    .await;
    Fresh { store: connect(database.url()).await, database }
}

godwit_core::store_conformance!(crate::fresh);
