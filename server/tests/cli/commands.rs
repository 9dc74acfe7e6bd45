//! Commands that end by themselves, and what stops a server from starting.

use std::net::TcpListener;

use super::{Dir, done, godwit, refused};

#[test]
fn the_configuration_can_be_looked_at() {
    let dir = Dir::new();
    let default = done(&godwit(&["config", "default"]).output().unwrap());
    assert!(default.contains("[listen]") && default.contains("# "));
    let file = dir.write("godwit.toml", &default);
    let good = done(&godwit(&["config", "check", "--config", &file]).output().unwrap());
    assert!(good.contains("good"));

    let file = dir.write("secret.toml", "[store]\npostgres_url = \"postgres://u:hunter2@h/d\"\n");
    let printed = godwit(&["config", "print", "--config", &file, "--set", "log.format=json"])
        .env("GODWIT__LIMITS__RECEIVE_MAXIMUM", "7")
        .output()
        .unwrap();
    let printed = done(&printed);
    assert!(!printed.contains("hunter2"), "{printed}");
    for (key, origin) in [
        ("postgres_url = \"***\"", "secret.toml:2"),
        ("receive_maximum = 7", "GODWIT__LIMITS__RECEIVE_MAXIMUM"),
        ("format = \"json\"", "the command line"),
        ("body_bytes_max = 262144", "default"),
    ] {
        let line = printed.lines().find(|line| line.starts_with(key));
        assert!(line.is_some_and(|line| line.ends_with(origin)), "{key}: {line:?}");
    }
}

#[test]
fn mistakes_in_the_configuration_end_every_command_that_reads_it() {
    let dir = Dir::new();
    let file = dir.write("godwit.toml", "[listen]\nmqqt = \"127.0.0.1:1883\"\n");
    for command in [
        &["config", "check"][..],
        &["serve"],
        &["dev"],
        &["migrate", "status"],
        &["token", "--user", "a", "--device", "b"],
        &["inbox", "check"],
    ] {
        let output = godwit(command).args(["--config", &file]).output().unwrap();
        let error = refused(&output);
        assert!(error.contains("godwit.toml:2: no such key: listen.mqqt"), "{error}");
        assert!(error.contains("did you mean listen.mqtt?"), "{error}");
    }
    let output = godwit(&["config", "check", "--config", "/no/such/file"]).output().unwrap();
    assert!(refused(&output).contains("/no/such/file"));
    let output = godwit(&["config", "check"]).env("GODWIT__LISTEN__MQQT", "x").output().unwrap();
    assert!(refused(&output).contains("did you mean GODWIT__LISTEN__MQTT?"));
    let output = godwit(&["config", "check"]).env("GODWIT_LISTEN_MQTT", "x").output().unwrap();
    assert!(refused(&output).contains("did you mean GODWIT__LISTEN__MQTT?"));
    let output = godwit(&["config", "check", "--set", "log.filter=verbos"]).output().unwrap();
    assert!(refused(&output).contains("is no level"));
    let output =
        godwit(&["config", "check", "--set", "store.postgres_url=mysql://u:pw@h/d"]).output();
    let error = refused(&output.unwrap());
    assert!(error.contains("must begin with postgres://") && !error.contains("pw"), "{error}");
    let output = godwit(&["config", "check", "--set", "log.filter=a=loud"]).output().unwrap();
    assert!(refused(&output).contains("log.filter"));
    let missing = "auth.issuers=[{name=\"x\",algorithm=\"EdDSA\",key_file=\"/no/key.pem\"}]";
    let output = godwit(&["config", "check", "--set", missing]).output().unwrap();
    assert!(refused(&output).contains("/no/key.pem"));
}

#[test]
fn usage_is_told_with_exit_code_2() {
    for arguments in [&["--no-such"][..], &["token", "--user", "a/b", "--device", "c"], &[]] {
        assert_eq!(godwit(arguments).output().unwrap().status.code(), Some(2));
    }
    let help = done(&godwit(&["--help"]).output().unwrap());
    for word in ["dev", "serve", "token", "migrate", "config", "key", "admin", "First steps"] {
        assert!(help.contains(word), "{help}");
    }
}

#[test]
fn tokens_are_minted_by_one_key() {
    let dir = Dir::new();
    let mint = || {
        let arguments = ["token", "--user", "alice", "--device", "phone", "--data", dir.text()];
        done(&godwit(&arguments).output().unwrap())
    };
    let output = godwit(&["token", "--user", "a", "--device", "b", "--data", dir.text()]).output();
    let error = refused(&output.unwrap());
    assert!(error.contains("there is no key") && error.contains("godwit key add"), "{error}");
    assert!(!dir.path().join("issuer.key").exists(), "nothing is made by asking");
    done(&godwit(&["key", "add", "first", "--data", dir.text()]).output().unwrap());
    let (first, second) = (mint(), mint());
    for token in [&first, &second] {
        assert_eq!(token.lines().count(), 1);
        assert_eq!(token.trim().split('.').count(), 3);
    }
    assert_eq!(first.split('.').next(), second.split('.').next());
    let key = std::fs::metadata(dir.path().join("issuer.key")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    let output = godwit(&["token", "--user", "a", "--device", "b", "--ttl", "500d", "--data"])
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(refused(&output).contains("auth.token_age_max is 400d"));

    done(&godwit(&["key", "add", "second", "--data", dir.text()]).output().unwrap());
    let list = done(&godwit(&["key", "list", "--data", dir.text()]).output().unwrap());
    assert_eq!(list, "second signs\nfirst is believed\n");
    assert_ne!(first.split('.').next(), mint().split('.').next(), "another kid");
    done(&godwit(&["key", "remove", "first", "--data", dir.text()]).output().unwrap());
    let output = godwit(&["key", "remove", "second", "--data", dir.text()]).output().unwrap();
    assert!(refused(&output).contains("the only key"));
}

#[test]
fn operators_have_tokens_of_their_own() {
    let dir = Dir::new();
    let admin = |arguments: &[&str]| {
        let command = [&["admin"], arguments, &["--data", dir.text()]].concat();
        godwit(&command).output().unwrap()
    };
    assert!(refused(&admin(&["list"])).contains("admin.token"));
    let token = done(&admin(&["add", "support", "--scopes", "read,users"]));
    assert!(token.starts_with("gdwa_") && token.lines().count() == 1, "{token}");
    done(&admin(&["add", "root"]));
    assert_eq!(done(&admin(&["list"])), "support read,users\nroot all\n");
    done(&admin(&["remove", "support"]));
    assert!(refused(&admin(&["remove", "root"])).contains("the only token"));
    let mode = std::fs::metadata(dir.path().join("admin.token")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
}

/// What would make anyone an operator, or a user, is refused or told.
#[test]
fn files_and_addresses_that_are_open_to_others_are_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = Dir::new();
    let open = |name: &str, mode: u32| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(dir.path().join(name), mode).unwrap();
    };
    open("", 0o755);
    done(&godwit(&["migrate", "up", "--data", dir.text()]).output().unwrap());
    done(&godwit(&["key", "add", "k", "--data", dir.text()]).output().unwrap());
    done(&godwit(&["admin", "add", "root", "--data", dir.text()]).output().unwrap());
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.file_name());
    }
    let check = |more: &[&str]| {
        let command = [&["config", "check", "--data", dir.text()], more].concat();
        godwit(&command).output().unwrap()
    };
    let warned = |output: &std::process::Output| {
        done(output);
        String::from_utf8(output.stderr.clone()).unwrap()
    };
    assert_eq!(warned(&check(&[])), "");
    open("issuer.key", 0o644);
    assert!(warned(&check(&[])).contains("chmod 600"));
    let listening = warned(&check(&["--set", "listen.mqtt=0.0.0.0:1883"]));
    assert!(listening.contains("listen.mqtt = 0.0.0.0:1883 takes tokens without TLS"));
    open("admin.token", 0o666);
    assert!(refused(&check(&[])).contains("may be written by every user"));
    open("admin.token", 0o600);
    dir.write("issuer.key", &"0".repeat(64));
    assert!(refused(&check(&[])).contains("is no random key"));
    let output = godwit(&["serve", "--data", dir.text(), "--set", "listen.mqtt=127.0.0.1:0"])
        .args(["--set", "listen.ws=", "--set", "listen.http="])
        .output()
        .unwrap();
    assert!(refused(&output).contains("is no random key"));
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let dir = Dir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = format!("listen.mqtt={}", taken.local_addr().unwrap());
    let off = ["--set", "listen.ws=", "--set", "listen.http="];
    for command in ["serve", "dev"] {
        let output =
            godwit(&[command, "--data", dir.text(), "--set", &busy]).args(off).output().unwrap();
        let error = refused(&output);
        assert!(error.contains("listen.mqtt") && error.contains("in use"), "{error}");
    }

    let file = dir.write("file", "x");
    for command in ["serve", "dev"] {
        let output = godwit(&[command, "--data", &format!("{file}/below")]).output().unwrap();
        let error = refused(&output);
        assert!(error.contains("cannot be written") && error.contains("--data"), "{error}");
    }

    // Nobody listens on a port that was just given back. A server waits for it: scenarios::lease.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output =
        godwit(&["migrate", "status", "--data", dir.text(), "--set", "store.kind=postgres"])
            .args(["--set", "listen.mqtt=127.0.0.1:0", "--set", "store.postgres_timeout=1s"])
            .args(off)
            .env("GODWIT__STORE__POSTGRES_URL", format!("postgres://u:hunter2@{gone}/d"))
            .output()
            .unwrap();
    let error = refused(&output);
    assert!(error.contains("Postgres cannot be reached"), "{error}");
    assert!(error.contains("store.postgres_url") && !error.contains("hunter2"), "{error}");

    let other = Dir::new();
    other.write("godwit.db", "this is no database, but long enough to look like one would");
    let output = godwit(&["serve", "--data", other.text(), "--set", "listen.mqtt=127.0.0.1:0"])
        .args(off)
        .output()
        .unwrap();
    assert!(refused(&output).contains("godwit.db"));

    let output = godwit(&["dev", "--open", "--data", dir.text(), "--set", "listen.mqtt=0.0.0.0:0"])
        .output()
        .unwrap();
    assert!(refused(&output).contains("not loopback"));
}

#[test]
fn the_schema_can_be_looked_at_and_brought_up() {
    let dir = Dir::new();
    let migrate = |action: &str| {
        let output = godwit(&["migrate", action, "--data", dir.text()]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, told) = migrate("status");
    assert!(code == Some(1) && told.contains("to apply"), "{code:?} {told}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "a look makes nothing");
    for action in ["up", "up", "status"] {
        let (code, told) = migrate(action);
        assert!(code == Some(0) && told.contains("up to date"), "{code:?} {told}");
    }
    // A file without tables is looked at, too.
    let bare = Dir::new();
    bare.write("godwit.db", "");
    let output = godwit(&["migrate", "status", "--data", bare.text()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn inboxes_can_be_looked_at() {
    let dir = Dir::new();
    let check = |arguments: &[&str]| {
        let command = [&["inbox", "check", "--data", dir.text()], arguments].concat();
        godwit(&command).output().unwrap()
    };
    let error = refused(&check(&[]));
    assert!(error.contains("there is no database") && error.contains("--data"), "{error}");
    assert!(!dir.path().join("godwit.db").exists(), "a look makes nothing");
    done(&godwit(&["migrate", "up", "--data", dir.text()]).output().unwrap());
    for arguments in [&[][..], &["--repair"]] {
        let told = done(&check(arguments));
        assert_eq!(told, "0 conversations looked at: nothing differs\n");
    }
}
