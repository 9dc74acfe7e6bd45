//! File descriptors: every connection needs one, and the system allows so many.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::limits::{DESCRIPTORS_RESERVED, PROBES_CONNECTIONS_MAX};

/// Raises the limit as far as this process may; how many it may have open then.
pub(crate) fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    // None: no limit.
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files cannot be raised (ulimit -n)");
        }
    }
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(current).unwrap_or(usize::MAX)
}

/// How many MQTT connections fit beside all that needs descriptors too: the configured maximum, or
/// fewer, with a warning. What does not fit would be refused by the system, to anybody and without a
/// word.
pub(crate) fn connections(config: &Config, descriptors: usize) -> usize {
    let limits = &config.limits;
    let beside = http_connections(config, descriptors)
        + PROBES_CONNECTIONS_MAX
        + config.store.postgres_connections_max as usize
        + DESCRIPTORS_RESERVED;
    // With few of them at all, a quarter stays for what is beside.
    let room = descriptors.saturating_sub(beside).max(descriptors / 4 * 3).max(1);
    if room < limits.connections_max {
        tracing::warn!(
            descriptors,
            connections = room,
            connections_max = limits.connections_max,
            "fewer connections than limits.connections_max: the system allows too few open files \
             (ulimit -n, LimitNOFILE of systemd)"
        );
    }
    room.min(limits.connections_max)
}

/// How many HTTP connections fit: the configured maximum, and no more than an eighth of all
/// descriptors.
pub(crate) fn http_connections(config: &Config, descriptors: usize) -> usize {
    config.limits.http_connections_max.min((descriptors / 8).max(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_as_many_as_descriptors_allow() {
        let mut config = Config::default();
        assert_eq!(connections(&config, usize::MAX), config.limits.connections_max);
        assert_eq!(connections(&config, 1_000_000), config.limits.connections_max);
        let some = connections(&config, 20_000);
        assert!((15_000..20_000 - 2048).contains(&some), "{some}");
        assert_eq!(connections(&config, 1024), 768);
        config.limits.connections_max = 100;
        assert_eq!(connections(&config, 1024), 100);
    }

    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!(raise() as u64, hard);
    }
}
