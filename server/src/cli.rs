//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use godwit_core::ids::{DeviceId, UserId};

use crate::config::{Sources, span};

/// A durable messaging platform spoken over MQTT.
///
/// A PUBACK means COMMIT: what a client was told is sent is on disk, has its place in the
/// conversation, and reaches every device of every member.
#[derive(Debug, Parser)]
#[command(
    name = "godwit",
    version,
    after_help = "First steps:\n  \
        godwit dev                          a server to try things on, with users and tokens\n  \
        godwit config default > godwit.toml make a configuration of your own\n  \
        godwit serve --config godwit.toml   serve by it\n\n\
        Every configuration key can also be set in the environment: GODWIT__SECTION__KEY.\n\
        Exit codes: 0 done, 2 it could not be done (the message says why, and the way out); \
        `inbox check` and `migrate status` also 1."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve on this machine with nothing set up: users alice and bob, tokens, a conversation.
    Dev(Dev),
    /// Serve by a configuration.
    Serve(Settings),
    /// Mint a device's token by the embedded issuer, and print it.
    Token(Token),
    /// The embedded issuer's keys: look at them, add one, take one away.
    Key(KeyCommand),
    /// The operators' tokens: look at whose there are, add one, take one away.
    Admin(AdminCommand),
    /// Look at the database's schema, or bring it up to this version.
    Migrate(Migrate),
    /// Compare inboxes with the logs that they are read from.
    Inbox(Inbox),
    /// Check, print or explain the configuration.
    Config(ConfigCommand),
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Settings {
    /// A TOML file; it needs only what differs from `godwit config default`.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory (server.data_dir): keys, and the SQLite database.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Sets one key, over file and environment; may be given more than once.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
}

impl Settings {
    /// As the configuration's loader takes it.
    pub(crate) fn sources(&self) -> Sources {
        let data = self.data.as_ref().map(|dir| ("server.data_dir".to_owned(), text(dir)));
        Sources {
            file: self.config.clone(),
            dev: Vec::new(),
            arguments: self.set.iter().cloned().chain(data).collect(),
        }
    }
}

/// `godwit dev`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    godwit dev                            default ports: mqtt 1883, mqtts 8883, ws 8083, wss 8084,\n  \
                                          http 8080; a busy one is replaced by a free one\n  \
    godwit dev --port-base 0              free ports for all\n  \
    godwit dev --port-base 21000          21000 to 21004, in that order\n  \
    godwit dev --data /tmp/try --open     anonymous clients too, for public test suites\n\n\
    Addresses, tokens and the conversation stand in DIR/dev.json while it runs.")]
pub(crate) struct Dev {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Ports N, N+1, ... for mqtt, mqtts, ws, wss, http; 0: free ones. A listen address that is
    /// set by file, environment or --set stays as it is.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=65531))]
    pub(crate) port_base: Option<u16>,
    /// Let anonymous clients in, with any client id, on every plain topic. Loopback only.
    #[arg(long)]
    pub(crate) open: bool,
}

/// `godwit token`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    godwit token --user alice --device phone\n  \
    godwit token --user sensor7 --device main --ttl 30d --acl-pub 'telemetry/sensor7/#'\n\n\
    The token is the MQTT password; the client id is USER:DEVICE, the user name USER.\n\
    Servers that read the same key (auth.embedded_key_file) believe it.")]
pub(crate) struct Token {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// The user (the token's sub): 1-64 of A-Z a-z 0-9 _ . -
    #[arg(long, value_name = "U", value_parser = UserId::new)]
    pub(crate) user: UserId,
    /// The device (the token's dev): 1-64 of A-Z a-z 0-9 _ . -
    #[arg(long, value_name = "D", value_parser = DeviceId::new)]
    pub(crate) device: DeviceId,
    /// How long it is valid: a whole number and ms, s, m, h or d; at least 1s.
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = ttl)]
    pub(crate) ttl: Duration,
    /// A plain topic filter that it may publish to; may be given more than once.
    #[arg(long = "acl-pub", value_name = "FILTER", value_parser = filter)]
    pub(crate) acl_publish: Vec<String>,
    /// A plain topic filter that it may subscribe; may be given more than once.
    #[arg(long = "acl-sub", value_name = "FILTER", value_parser = filter)]
    pub(crate) acl_subscribe: Vec<String>,
}

/// `godwit key`
#[derive(Debug, Args)]
pub(crate) struct KeyCommand {
    /// What of them.
    #[command(subcommand)]
    pub(crate) action: KeyAction,
}

/// What to do about the embedded issuer's keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// Print their names, the signing one first; - is the one without a name.
    List(Settings),
    /// Put a new key first: it signs from the next start or SIGHUP on, the others are believed.
    Add(KeyAdd),
    /// Take a key away: its tokens are refused from the next start or SIGHUP on.
    Remove(KeyRemove),
}

/// `godwit key add`
#[derive(Debug, Args)]
pub(crate) struct KeyAdd {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Its name, which tokens carry as kid: 1-64 of A-Z a-z 0-9 _ . -
    #[arg(value_name = "NAME", value_parser = DeviceId::new)]
    pub(crate) name: DeviceId,
}

/// `godwit key remove`
#[derive(Debug, Args)]
pub(crate) struct KeyRemove {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// As `godwit key list` prints it.
    #[arg(value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) name: String,
}

/// `godwit admin`
#[derive(Debug, Args)]
pub(crate) struct AdminCommand {
    /// What of them.
    #[command(subcommand)]
    pub(crate) action: AdminAction,
}

/// What to do about the operators' tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminAction {
    /// Print their names and scopes.
    List(Settings),
    /// Add a token, and print it: it is good from the next start or SIGHUP on.
    Add(AdminAdd),
    /// Take a token away.
    Remove(AdminRemove),
}

/// `godwit admin add`
#[derive(Debug, Args)]
pub(crate) struct AdminAdd {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Whose it is, for the audit trail: 1-64 of A-Z a-z 0-9 _ . -
    #[arg(value_name = "NAME", value_parser = DeviceId::new)]
    pub(crate) name: DeviceId,
    /// What it is good for: all, read, users, conversations, or several with commas.
    #[arg(long = "scopes", value_name = "SCOPES", default_value = "all", value_parser = scopes)]
    pub(crate) scopes: String,
}

/// `godwit admin remove`
#[derive(Debug, Args)]
pub(crate) struct AdminRemove {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// As `godwit admin list` prints it.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// `godwit migrate`
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Which way.
    #[command(subcommand)]
    pub(crate) action: MigrateAction,
}

/// What to do about the schema.
#[derive(Debug, Subcommand)]
pub(crate) enum MigrateAction {
    /// Say how the database's schema stands to this version. Changes nothing. Exit codes: 0 it is this
    /// version's, 1 something is to be applied, 2 it is newer, or could not be looked at.
    Status(Settings),
    /// Apply what is pending. Repeating it changes nothing.
    Up(Settings),
}

/// `godwit inbox`
#[derive(Debug, Args)]
pub(crate) struct Inbox {
    /// What of them.
    #[command(subcommand)]
    pub(crate) action: InboxAction,
}

/// What to do about inboxes.
#[derive(Debug, Subcommand)]
pub(crate) enum InboxAction {
    /// Recompute what is stored beside the logs, and say what differs. Beside a running server too.
    Check(InboxCheck),
}

/// `godwit inbox check`
#[derive(Debug, Args)]
#[command(
    after_help = "Each difference is a line: conversation, user (- is the conversation's own), field,\n\
    what is stored, what the log says. The last line counts.\n\
    Exit codes: 0 nothing differs (or, with --repair, not any more), 1 something differs,\n\
    2 it could not be looked at."
)]
pub(crate) struct InboxCheck {
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Mend what differs, each conversation in one transaction.
    #[arg(long)]
    pub(crate) repair: bool,
}

/// `godwit config`
#[derive(Debug, Args)]
pub(crate) struct ConfigCommand {
    /// What of it.
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

/// What to do about the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Read it as the server would, with the files that it names, and say what is wrong.
    Check(Settings),
    /// Print what is in force, where each value came from, and no secrets.
    Print(Settings),
    /// Print every key with its meaning and its default.
    Default,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (path, value) = text.split_once('=').ok_or("write it as SECTION.KEY=VALUE")?;
    Ok((path.trim().to_owned(), value.to_owned()))
}

fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = span::parse(text)?;
    if ttl < Duration::from_secs(1) { Err("must be at least 1s".to_owned()) } else { Ok(ttl) }
}

fn scopes(text: &str) -> Result<String, String> {
    crate::auth::operators::scopes(text).map(|_| text.to_owned())
}

fn filter(text: &str) -> Result<String, String> {
    let valid = crate::auth::filter::is_valid(text) && !text.starts_with('$');
    valid.then(|| text.to_owned()).ok_or_else(|| {
        "must be a topic filter that does not start with $, as in \"sensors/#\"".to_owned()
    })
}

/// A path as the configuration holds it. Paths that are no UTF-8 are shown as well as can be.
pub(crate) fn text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_are_checked() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        for good in [
            "godwit dev --data x --port-base 0 --open",
            "godwit serve --config f --set log.format=json --set limits.retained_max=0",
            "godwit token --user a --device b --ttl 1h --acl-pub a/# --acl-sub b --data d",
            "godwit migrate up --data d",
            "godwit inbox check --repair --config f --data d",
            "godwit config default",
            "godwit key add winter --data d",
            "godwit key remove -",
            "godwit admin add support --scopes read,users",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "godwit",
            "godwit dev --port-base 65532",
            "godwit token --user a/b --device c",
            "godwit token --user a --device b --ttl 0s",
            "godwit token --user a --device b --ttl 1year",
            "godwit token --user a --device b --acl-pub $SYS/#",
            "godwit serve --set x",
            "godwit config",
            "godwit inbox",
            "godwit inbox repair",
            "godwit key add a/b",
            "godwit admin add support --scopes write",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
