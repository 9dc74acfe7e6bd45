//! A server's store seen from outside: by psql, or by Python's sqlite3.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where a server stores.
#[derive(Debug, Clone)]
pub enum Place {
    /// The database's URL.
    Postgres(String),
    /// The database's file.
    Sqlite(PathBuf),
}

/// Runs a statement and prints the first column of each row.
const SQLITE: &str = "\
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=10) as store:
    for row in store.execute(sys.argv[2]):
        print(row[0])
";

impl Place {
    /// Runs a statement; the first column of each row.
    #[must_use]
    pub fn ask(&self, statement: &str) -> Vec<String> {
        let mut command = match self {
            Self::Postgres(url) => {
                let mut command = Command::new("psql");
                command.args(["-qtAX", "-v", "ON_ERROR_STOP=1", "-c", statement, url]);
                command
            }
            Self::Sqlite(file) => {
                let mut command = Command::new("python3");
                command.args(["-c", SQLITE]).arg(file).arg(statement);
                command
            }
        };
        let out = command.stdin(Stdio::null()).output().expect("a client of the store");
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{statement}: {error}");
        String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect()
    }

    /// How many rows a table has.
    #[must_use]
    pub fn count(&self, table: &str) -> u64 {
        let answer = self.ask(&format!("select count(*) from {table}"));
        answer.first().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{table}: {answer:?}"))
    }

    /// Conversations whose log has a gap, or another head than its last entry.
    #[must_use]
    pub fn torn(&self) -> u64 {
        self.count(
            "conversations c where \
             c.head_seq <> (select count(*) from messages m where m.conversation_id = c.id) or \
             c.head_seq <> coalesce((select max(m.seq) from messages m \
             where m.conversation_id = c.id), 0)",
        )
    }

    /// How many entries have this text in their body.
    #[must_use]
    pub fn bodies(&self, text: &str) -> u64 {
        assert!(!text.contains('\''), "{text}");
        let holds = match self {
            Self::Postgres(_) => format!("position('{text}'::bytea in body) > 0"),
            Self::Sqlite(_) => format!("instr(body, cast('{text}' as blob)) > 0"),
        };
        self.count(&format!("messages where {holds}"))
    }

    /// Every entry as `seq id`, the id in hexadecimal digits.
    #[must_use]
    pub fn entries(&self) -> Vec<String> {
        let id = match self {
            Self::Postgres(_) => "replace(message_id::text, '-', '')",
            Self::Sqlite(_) => "lower(hex(message_id))",
        };
        self.ask(&format!("select seq || ' ' || {id} from messages"))
    }
}
