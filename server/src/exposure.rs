//! What others could read or reach: told at the start and by `config check`, and never refused, for
//! an operator may have a reason.

use std::path::PathBuf;

use crate::auth::{keyring, operators};
use crate::config::{Config, StoreKind};
use crate::{files, store};

/// One sentence for each thing.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let mut all = Vec::new();
    for (what, path) in secrets(config) {
        if let Some(mode) = files::others_may_read(&path) {
            all.push(format!(
                "{} ({what}) is open to other users of this machine ({mode:04o}): chmod 600 {0}",
                path.display()
            ));
        }
    }
    all
}

/// Listeners without TLS that other machines can reach.
pub(crate) fn in_the_clear(config: &Config) -> Vec<String> {
    config
        .listen
        .all()
        .into_iter()
        .filter(|(name, _)| !matches!(*name, "mqtts" | "wss" | "https" | "probes"))
        .filter_map(|(name, address)| Some((name, address?)))
        .filter(|(_, address)| !address.ip().is_loopback())
        .map(|(name, address)| {
            format!(
                "listen.{name} = {address} takes tokens without TLS from other machines; that is \
                 for a private network or behind a proxy that speaks TLS"
            )
        })
        .collect()
}

/// What `godwit dev` would show to others.
pub(crate) fn dev_reachable(config: &Config) -> Vec<String> {
    config
        .listen
        .all()
        .into_iter()
        .filter_map(|(name, address)| Some((name, address?)))
        .filter(|(_, address)| !address.ip().is_loopback())
        .map(|(name, address)| {
            format!(
                "listen.{name} = {address} is open to other machines. godwit dev is to try things \
                 on: its tokens are printed and stand in dev.json, its certificate signs itself. \
                 To serve others: godwit serve"
            )
        })
        .collect()
}

fn secrets(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let mut all = vec![
        ("the embedded issuer's keys", keyring::path(config)),
        ("the operators' tokens", operators::path(config)),
    ];
    if !config.listen.tls_key_file.as_os_str().is_empty() {
        all.push(("the private key of TLS", config.listen.tls_key_file.clone()));
    }
    if config.store.kind == StoreKind::Sqlite {
        let file = store::sqlite_file(config);
        let beside = |end: &str| {
            let mut name = file.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        all.push(("the database's log", beside("-wal")));
        all.push(("the database", file));
    }
    all
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::testing::Dir;

    #[test]
    fn files_that_others_may_read_are_named() {
        let dir = Dir::new();
        let mut config = Config::default();
        config.server.data_dir = dir.path().to_owned();
        config.listen.tls_key_file = dir.path().join("tls.pem");
        assert_eq!(warnings(&config), Vec::<String>::new());
        for name in ["issuer.key", "admin.token", "tls.pem", "godwit.db", "godwit.db-wal"] {
            let path = dir.path().join(name);
            std::fs::write(&path, "x").unwrap();
            for (mode, told) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
                assert_eq!(warnings(&config).len(), told, "{name} {mode:o}");
            }
            assert!(warnings(&config)[0].contains("chmod 600"));
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn listeners_that_others_may_reach_are_named() {
        let mut config = Config::default();
        assert!(in_the_clear(&config).is_empty() && dev_reachable(&config).is_empty());
        config.listen.mqtt = Some(([0, 0, 0, 0], 1883).into());
        config.listen.mqtts = Some(([0, 0, 0, 0], 8883).into());
        assert_eq!((in_the_clear(&config).len(), dev_reachable(&config).len()), (1, 2));
    }
}
