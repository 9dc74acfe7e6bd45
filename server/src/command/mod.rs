//! The commands, one a file; `dev` has a directory of its own.

use std::io::Write as _;

pub(crate) mod admin;
pub(crate) mod config;
pub(crate) mod inbox;
pub(crate) mod key;
pub(crate) mod migrate;
pub(crate) mod serve;
pub(crate) mod token;

use crate::config::{Loaded, Sources};
use crate::failure::{Failure, Result};

/// Reads the configuration with this process's environment.
pub(crate) fn load(sources: &Sources) -> Result<Loaded> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    crate::config::load(sources, variables)
}

/// Writes to standard output.
pub(crate) fn out(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::output(&error))
}

/// Runs `task` on a runtime of `threads` worker threads (0: one for each core).
pub(crate) fn block_on<T>(threads: usize, task: impl Future<Output = Result<T>>) -> Result<T> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    let runtime = builder.enable_all().thread_name("godwit").build().map_err(|error| {
        Failure::new(
            format!("the runtime cannot be started: {error}"),
            "The operating system gives no more threads or file descriptors; raise its limits.",
        )
    })?;
    let result = runtime.block_on(task);
    runtime.shutdown_timeout(crate::limits::SHUTDOWN_GRACE);
    result
}
