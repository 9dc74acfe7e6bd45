//! Log lines to standard error, human or JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};
use crate::failure::{Failure, Result};

/// Starts logging, and logs panics of tasks too. Called once, at the start.
pub(crate) fn start(log: &Log) -> Result<()> {
    let filter = filter(&log.filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
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
    // The driver tells each statement at debug; whoever wants that says so: sqlx=debug.
    EnvFilter::try_new(format!("sqlx=warn,{text}")).map_err(|error| {
        Failure::new(
            format!("log.filter = {text:?} is not understood: {error}"),
            "Write a level (error, warn, info, debug, trace), or rules as in \
             \"info,godwit_broker=debug\".",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        for good in ["info", "warn,godwit_broker=debug", "trace"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        assert!(filter("info,godwit_broker=loud").unwrap_err().to_string().contains("log.filter"));
    }
}
