//! Log lines to standard error, human or JSON.

mod lines;

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat, keys};
use crate::failure::{Failure, Result};
use crate::limits::LOG_FLUSH_MAX;
use lines::Lines;

/// The queue to standard error, once logging has started.
static LINES: OnceLock<Lines> = OnceLock::new();

/// Before the process ends: waits a moment for the last lines.
pub(crate) fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush(LOG_FLUSH_MAX);
    }
}

/// How the log says that so many lines of it are missing.
fn lost(format: LogFormat) -> fn(u64) -> String {
    match format {
        LogFormat::Human => {
            |lines| format!("WARN {lines} lines of log were lost: standard error took none\n")
        }
        LogFormat::Json => |lines| {
            let message = "lines of log were lost: standard error took none";
            format!(
                "{}\n",
                serde_json::json!({"level": "WARN", "message": message, "lines": lines})
            )
        },
    }
}

/// Starts logging, and logs panics of tasks too. Called once, at the start.
pub(crate) fn start(log: &Log) -> Result<()> {
    let filter = filter(&log.filter)?;
    let lines = Lines::start(std::io::stderr(), lost(log.format)).map_err(|error| {
        Failure::new(format!("logging cannot be started: {error}"), "Raise the limit of threads.")
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines.clone());
    // Tests of the executable may start it more than once; the process does not.
    let _ = LINES.set(lines);
    let started = match log.format {
        LogFormat::Human => {
            builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| {
        Failure::new(format!("logging cannot be started: {error}"), "This is a defect.")
    })?;
    std::panic::set_hook(Box::new(|panic| {
        // The payload may quote input; the place is enough to find the defect.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        tracing::error!(place, thread = thread.name().unwrap_or("?"), "a task panicked");
    }));
    Ok(())
}

/// Reads `log.filter`. Errors: what is wrong with it.
pub(crate) fn filter(text: &str) -> Result<EnvFilter> {
    let refused = |what: String| {
        Failure::new(
            format!("log.filter = {text:?} is not understood: {what}"),
            "Write a level (error, warn, info, debug, trace), or rules as in \
             \"info,godwit_broker=debug\".",
        )
    };
    if let Some(what) = text.split(',').find_map(misspelt) {
        return Err(refused(what));
    }
    // The driver tells each statement at debug; whoever wants that says so: sqlx=debug.
    EnvFilter::try_new(format!("sqlx=warn,{text}")).map_err(|error| refused(error.to_string()))
}

/// The crates that log, by the names that rules know them by.
const CRATES: [&str; 9] = [
    "godwit",
    "godwit_broker",
    "godwit_bridge",
    "godwit_bus",
    "godwit_core",
    "godwit_proto",
    "godwit_storage_worker",
    "godwit_store_postgres",
    "godwit_store_sqlite",
];

/// What is wrong with one rule that the filter itself would take: a word that is no level names a
/// target, and so everything but that target (which is none) would be silent.
fn misspelt(rule: &str) -> Option<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let meant = |word: &str, known: &[&'static str]| {
        keys::nearest(word, known.iter().copied())
            .map(|near| format!("; did you mean {near}?"))
            .unwrap_or_default()
    };
    let rule = rule.trim();
    // Rules about spans and fields have a grammar of their own.
    if rule.contains(['[', ']', '{', '}']) {
        return None;
    }
    let Some((target, _)) = rule.split_once('=') else {
        let word = rule.to_ascii_lowercase();
        let is_level = LEVELS.contains(&word.as_str()) || matches!(word.parse(), Ok(0..=5));
        return (!is_level).then(|| format!("{rule:?} is no level{}", meant(&word, &LEVELS)));
    };
    let name = target.trim().split("::").next().unwrap_or_default();
    let unknown = name.starts_with("godwit") && !CRATES.contains(&name);
    unknown.then(|| format!("there is no {name}{}", meant(name, &CRATES)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_lines_are_told_in_the_logs_own_format() {
        let human = lost(LogFormat::Human)(7);
        assert_eq!(human, "WARN 7 lines of log were lost: standard error took none\n");
        let json: serde_json::Value = serde_json::from_str(&lost(LogFormat::Json)(7)).unwrap();
        assert_eq!(json["lines"], 7);
    }

    #[test]
    fn filters() {
        for good in [
            "info",
            "warn,godwit_broker=debug",
            "trace",
            "Info,godwit_bridge::pull=trace,hyper=off",
            "info,[span{field=1}]=debug",
        ] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for (bad, part) in [
            ("verbos", "is no level"),
            ("inof", "did you mean info?"),
            ("info,debgu", "did you mean debug?"),
            ("info,godwit_brokr=debug", "did you mean godwit_broker?"),
            ("", "is no level"),
            ("info,", "is no level"),
        ] {
            let message = filter(bad).unwrap_err().to_string();
            assert!(message.contains(part), "{bad}: {message}");
        }
        assert!(filter("info,godwit_broker=loud").unwrap_err().to_string().contains("log.filter"));
    }
}
