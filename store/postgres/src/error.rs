//! What Postgres says, as what the caller does next.

use godwit_core::store::Error;

/// SQLSTATEs that pass by themselves or by an operator's hand; a shorter one is a whole class.
/// Source: Postgres' appendix "Error Codes".
const AWAY: &[&str] = &[
    "08",    // connection exceptions
    "25006", // read-only: a standby that is not promoted yet
    "25P03", // idle for too long within the transaction: this process stood still, all is undone
    "40",    // serialization failure, deadlock: the transaction was undone, repeat it
    "53",    // disk full, out of memory, too many connections
    "55P03", // a lock was not had in time
    "57014", // cancelled by the statement timeout
    "57P01", // shut down by an operator
    "57P02", // another process crashed
    "57P03", // starting up or shutting down
    "57P05", // the session was idle too long
    "58030", // reading or writing a file failed
];

/// Maps an error of the driver.
pub(crate) fn from_driver(error: sqlx::Error) -> Error {
    let away = match &error {
        sqlx::Error::Database(db) => {
            db.code().is_some_and(|code| AWAY.iter().any(|away| code.starts_with(away)))
        }
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        | sqlx::Error::Io(_) => true,
        _ => false,
    };
    if away { Error::Unavailable(Box::new(error)) } else { Error::Broken(Box::new(error)) }
}

/// Maps an error of the migrations.
pub(crate) fn from_migration(error: sqlx::migrate::MigrateError) -> Error {
    match error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => from_driver(error),
        other => Error::Broken(Box::new(other)),
    }
}
