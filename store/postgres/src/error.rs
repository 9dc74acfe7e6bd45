//! What Postgres says, as what the caller does next. What a sender sees of it stands in
//! `docs/store-errors.md`.

use godwit_core::store::Error;

/// What is done with an error of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    Away,
    Broken,
    Rejected,
}

/// SQLSTATEs and what they mean; a shorter one is a whole class, and the longest that fits counts.
/// Whatever is not here is broken: nobody is told a refusal because of it. Source: Postgres' appendix
/// "Error Codes".
const TABLE: &[(&str, Means)] = &[
    // Passes by itself, or by an operator's hand; the statements are fixed and tested, so an error
    // about their form is one of the database (a right revoked, a table renamed, a restore).
    ("08", Means::Away), // connection exceptions
    ("0A", Means::Away), // a plan that a migration made invalid
    ("25", Means::Away), // read-only (a standby), idle for too long within the transaction
    ("26", Means::Away), // the prepared statement is gone (a pooler in between)
    ("28", Means::Away), // the role may not log in, now
    ("34", Means::Away), // the cursor is gone (a pooler in between)
    ("3B", Means::Away), // the savepoint is gone (a pooler in between)
    ("3D", Means::Away), // no such database, now
    ("3F", Means::Away), // no such schema, now
    ("40", Means::Away), // serialization failure, deadlock: undone, repeat it
    ("42", Means::Away), // a right, a table or a column is missing, now
    ("53", Means::Away), // disk full, out of memory, too many connections
    ("55", Means::Away), // not in the state for it: locked, in use
    ("57", Means::Away), // cancelled, shut down, starting up, database dropped
    ("58", Means::Away), // reading or writing a file failed
    ("F0", Means::Away), // the configuration file has errors
    ("72", Means::Away), // the snapshot is too old
    // The request's own values, looked at and refused, whatever else there is in the database.
    ("22003", Means::Rejected), // a number beyond its column
    ("22021", Means::Rejected), // bytes that are no text
    ("22P05", Means::Rejected), // text that the database's encoding lacks
];

fn means(code: &str) -> Means {
    let fits = TABLE.iter().filter(|(prefix, _)| code.starts_with(prefix));
    fits.max_by_key(|(prefix, _)| prefix.len()).map_or(Means::Broken, |(_, means)| *means)
}

/// Maps an error of the driver.
pub(crate) fn from_driver(error: sqlx::Error) -> Error {
    let means = match &error {
        sqlx::Error::Database(db) => db.code().map_or(Means::Broken, |code| means(&code)),
        // The connection, or the waiting for one.
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed
        | sqlx::Error::Tls(_)
        // Half an answer, or one of somebody else (a balancer's).
        | sqlx::Error::Protocol(_)
        | sqlx::Error::Io(_) => Means::Away,
        // What was read is not what was written, or the program is at fault.
        _ => Means::Broken,
    };
    match means {
        Means::Away => Error::Unavailable(Box::new(error)),
        Means::Broken => Error::Broken(Box::new(error)),
        Means::Rejected => Error::Rejected(Box::new(error)),
    }
}

/// Errors at the first connection that only a person can mend: of the configuration, the role, the
/// password, the database's name, the rights. Once served, the same passes by an operator's hand.
const FOR_A_PERSON: &[&str] = &["28", "3D", "42", "0A", "22"];

/// Maps an error of the first connection.
pub(crate) fn from_first(error: sqlx::Error) -> Error {
    let person = match &error {
        sqlx::Error::Database(db) => {
            db.code().is_some_and(|code| FOR_A_PERSON.iter().any(|class| code.starts_with(class)))
        }
        // A certificate that is not trusted, a server that speaks no TLS.
        sqlx::Error::Tls(_) => true,
        _ => false,
    };
    if person { Error::Broken(Box::new(error)) } else { from_driver(error) }
}

/// Maps an error of the migrations.
pub(crate) fn from_migration(error: sqlx::migrate::MigrateError) -> Error {
    match error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => from_driver(error),
        other => Error::Broken(Box::new(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of a table of `docs/store-errors.md`: its first and its last cell.
    fn rows(heading: &str) -> Vec<(String, String)> {
        let page = include_str!("../../../docs/store-errors.md");
        let (_, table) = page.split_once(heading).unwrap();
        let lines = table.lines().skip_while(|line| !line.starts_with('|'));
        let lines = lines.take_while(|line| line.starts_with('|')).skip(2);
        let cell = |line: &str, at: usize| {
            line.split('|').nth(at).unwrap().trim().trim_matches('`').to_owned()
        };
        lines.map(|line| (cell(line, 1), cell(line, 3))).collect()
    }

    #[test]
    fn the_page_says_what_is_done() {
        let rows = rows("## Postgres");
        assert!(rows.len() > 20, "{rows:?}");
        for (code, says) in &rows {
            let whole = format!("{code:0<5}");
            assert_eq!(format!("{:?}", means(&whole)).to_lowercase(), *says, "{code}");
        }
        for (code, _) in TABLE {
            assert!(rows.iter().any(|(row, _)| row == code), "{code} is not on the page");
        }
    }

    #[test]
    fn what_the_driver_says_is_never_a_refusal() {
        let io = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let away = [
            sqlx::Error::PoolTimedOut,
            sqlx::Error::PoolClosed,
            sqlx::Error::WorkerCrashed,
            sqlx::Error::BeginFailed,
            sqlx::Error::Tls("cut".into()),
            sqlx::Error::Protocol("half an answer".into()),
            sqlx::Error::Io(io()),
        ];
        for error in away {
            let told = error.to_string();
            assert!(matches!(from_driver(error), Error::Unavailable(_)), "{told}");
        }
        let broken = [
            sqlx::Error::RowNotFound,
            sqlx::Error::ColumnNotFound("seq".into()),
            sqlx::Error::Decode("odd".into()),
            sqlx::Error::Encode("odd".into()),
            sqlx::Error::Configuration("odd".into()),
        ];
        for error in broken {
            let told = error.to_string();
            assert!(matches!(from_driver(error), Error::Broken(_)), "{told}");
        }
    }
}
