//! The schema: what the database has, and bringing it up to what this program knows.

use godwit_core::store::{Error, SchemaState};
use sqlx::Connection as _;
use sqlx::migrate::{Migrate as _, Migrator};

use crate::PostgresStore;
use crate::error::{from_driver, from_migration};

static MIGRATIONS: Migrator = sqlx::migrate!();

impl PostgresStore {
    /// Compares the database's schema with this program's. Writes nothing.
    pub async fn migrate_status(&self) -> Result<SchemaState, Error> {
        let known: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        let mut connection = self.pool.take().await?;
        let exist = sqlx::query_file_scalar!("queries/migrations/exist.sql")
            .fetch_one(&mut *connection)
            .await
            .map_err(from_driver)?;
        if !exist {
            return Ok(SchemaState::compare(&[], &known));
        }
        let applied = connection
            .list_applied_migrations(&MIGRATIONS.table_name)
            .await
            .map_err(from_migration)?;
        let applied: Vec<i64> = applied.iter().map(|migration| migration.version).collect();
        Ok(SchemaState::compare(&applied, &known))
    }

    /// Applies what is pending, each migration in a transaction of its own and one process at a
    /// time. Repeating it changes nothing. Errors: `Broken` when the database is newer, or a
    /// migration was changed after it ran.
    pub async fn migrate_up(&self) -> Result<SchemaState, Error> {
        let before = self.migrate_status().await?;
        if before.newer_than_us {
            return Err(Error::Broken(before.to_string().into()));
        }
        // A connection of its own: a migration may take as long as it takes, and wait for another. Nor
        // is it cut when this process gets no turn between two statements for a while; when it is gone,
        // keep-alives tell.
        let mut connection = self.pool.take().await?.detach();
        let unbounded = "SET statement_timeout = 0; SET lock_timeout = 0; \
                         SET idle_in_transaction_session_timeout = 0";
        sqlx::raw_sql(unbounded).execute(&mut connection).await.map_err(from_driver)?;
        MIGRATIONS.run_direct(None, &mut connection, false).await.map_err(from_migration)?;
        connection.close().await.map_err(from_driver)?;
        self.migrate_status().await
    }
}
