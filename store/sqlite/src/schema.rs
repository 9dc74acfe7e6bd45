//! The schema: what the file has, and bringing it up to what this program knows.

use godwit_core::store::{Error, SchemaState};
use sqlx::migrate::{Migrate as _, Migrator};

use crate::SqliteStore;
use crate::error::{from_driver, from_migration};

static MIGRATIONS: Migrator = sqlx::migrate!();

impl SqliteStore {
    /// Compares the file's schema with this program's. Writes nothing.
    pub async fn migrate_status(&self) -> Result<SchemaState, Error> {
        let known: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        let mut reader = self.reader().await?;
        let exist = sqlx::query_file_scalar!("queries/migrations/exist.sql")
            .fetch_one(&mut *reader)
            .await
            .map_err(from_driver)?;
        if !exist {
            return Ok(SchemaState::compare(&[], &known));
        }
        let applied =
            reader.list_applied_migrations(&MIGRATIONS.table_name).await.map_err(from_migration)?;
        let applied: Vec<i64> = applied.iter().map(|migration| migration.version).collect();
        Ok(SchemaState::compare(&applied, &known))
    }

    /// Applies what is pending, each migration in a transaction of its own. Repeating it changes
    /// nothing. Errors: `Broken` when the file is newer, or a migration was changed after it ran.
    pub async fn migrate_up(&self) -> Result<SchemaState, Error> {
        let before = self.migrate_status().await?;
        if before.newer_than_us {
            return Err(Error::Broken(before.to_string().into()));
        }
        let mut writer = self.writer().acquire().await.map_err(from_driver)?;
        MIGRATIONS.run_direct(None, &mut *writer, false).await.map_err(from_migration)?;
        drop(writer);
        self.migrate_status().await
    }
}
