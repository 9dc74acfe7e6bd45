//! What the process itself uses: memory, descriptors, threads. By the names that every dashboard
//! knows.

use std::fs;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::limits;
use crate::metrics::{MEMORY_BYTES, OPEN_FDS, OPEN_FDS_MAX, THREADS, tell_pools};
use crate::store::Opened;

/// Tidies the histograms and looks at the process and its store, for as long as it is polled.
pub(crate) async fn keep_tidy(handle: PrometheusHandle, store: Opened) {
    let mut tick = tokio::time::interval(limits::METRICS_UPKEEP);
    loop {
        tick.tick().await;
        handle.run_upkeep();
        tell_pools(store.pools());
        // Listing descriptors may take a while.
        drop(tokio::task::spawn_blocking(sample).await);
    }
}

/// Reads `/proc/self` and sets the gauges. What cannot be read stays as it was. It takes some 50 us.
fn sample() {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kib) = field(&status, "VmRSS:") {
        metrics::gauge!(MEMORY_BYTES).set(kib * 1024.0);
    }
    if let Some(threads) = field(&status, "Threads:") {
        metrics::gauge!(THREADS).set(threads);
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(most) = field(&limits, "Max open files") {
        metrics::gauge!(OPEN_FDS_MAX).set(most);
    }
    if let Some(open) = open_descriptors() {
        metrics::gauge!(OPEN_FDS).set(open);
    }
}

/// The first number behind a name. `None`: no such line, or no number ("unlimited").
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Linux 6.2 and later say it as the directory's size; before, the directory is listed, which with
/// 100,000 connections takes 50 ms, so this runs where blocking is allowed.
fn open_descriptors() -> Option<f64> {
    let size = fs::metadata("/proc/self/fd").ok()?.len();
    let count = if size > 0 { size } else { fs::read_dir("/proc/self/fd").ok()?.count() as u64 };
    // A gauge may round.
    #[allow(clippy::cast_precision_loss)]
    Some(count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found() {
        let status = "Name:\tgodwit\nVmRSS:\t   20480 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmRSS:"), Some(20480.0));
        assert_eq!(field(status, "Threads:"), Some(7.0));
        assert_eq!(
            field("Max open files            1024   4096 files", "Max open files"),
            Some(1024.0)
        );
        assert_eq!(field("Max open files            unlimited", "Max open files"), None);
        assert!(open_descriptors().is_some_and(|open| open > 2.0));
    }
}
