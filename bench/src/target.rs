//! Whom a run loads: addresses, identities, conversations, topics.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use miette::{IntoDiagnostic as _, WrapErr as _, bail, miette};
use serde_json::{Value, json};

use crate::args::{Peer, Protocol, Publish, Receive};
use crate::engine::Route;
use crate::http;
use crate::stamp::unhex;
use crate::tls::Tls;
use crate::token::Issuer;
use crate::wire::Wire;
use crate::wire::mqtt::{self, Mqtt, Payload, Presence, Topic};
use crate::wire::packet::{Connect, Version};
use crate::wire::xmpp::{self, Xmpp};

/// Tokens outlive any run.
const TOKEN_TTL: Duration = Duration::from_secs(6 * 3600);
/// Godwit: the device that every user of a run has.
const DEVICE: &str = "d";
/// MQTT keep alive, in seconds: longer than any run, so that idle means idle.
const KEEP_ALIVE_S: u16 = 3_600;
/// MQTT 5: topic aliases that a server may use towards a receiver.
const TOPIC_ALIASES: u16 = 16;

/// A peer, ready to be spoken to.
pub(crate) struct Target {
    peer: Peer,
    addr: SocketAddr,
    godwit: Option<Godwit>,
    /// Tells runs apart that follow each other on one server.
    run: String,
}

struct Godwit {
    issuer: Issuer,
    expires_s: u64,
    http: String,
    admin_token: String,
    /// One conversation a lane.
    conversations: Vec<String>,
}

impl Target {
    /// Reads what the arguments point at. Errors: files, missing parts, an unusable mix.
    pub(crate) fn new(peer: Peer) -> miette::Result<Self> {
        let dev = match &peer.godwit {
            Some(dir) => Some(read_dev(dir)?),
            None => None,
        };
        let text = |name: &str| dev.as_ref().and_then(|dev| dev[name].as_str()).map(str::to_owned);
        let addr = match (peer.addr, text("mqtt")) {
            (Some(addr), _) => addr,
            (None, Some(mqtt)) => mqtt.parse().into_diagnostic().wrap_err("dev.json: mqtt")?,
            (None, None) => SocketAddr::from(([127, 0, 0, 1], 1883)),
        };
        let http = peer.http.clone().or_else(|| text("http"));
        let admin_token = peer
            .admin_token
            .clone()
            .or_else(|| text("admin_token"))
            .or_else(|| std::env::var("GODWIT_ADMIN_TOKEN").ok());
        let in_dev = peer.godwit.as_ref().map(|dir| dir.join("issuer.key"));
        let godwit = match (http, peer.token_key.clone().or(in_dev)) {
            (None, None) => None,
            (http, key) => {
                let missing = |what| miette!("Godwit needs {what}; see --help, \"Peer\"");
                let key = key.ok_or_else(|| missing("--token-key"))?;
                Some(Godwit {
                    issuer: read_issuer(&key)?,
                    expires_s: now_s() + TOKEN_TTL.as_secs(),
                    http: http.ok_or_else(|| missing("--http or --godwit"))?,
                    admin_token: admin_token.ok_or_else(|| missing("--admin-token"))?,
                    conversations: Vec::new(),
                })
            }
        };
        let run = format!(
            "{:x}",
            SystemTime::now().duration_since(UNIX_EPOCH).into_diagnostic()?.as_millis()
        );
        Ok(Self { peer, addr, godwit, run })
    }

    /// Where the connections of the run go.
    pub(crate) fn route(&self) -> miette::Result<Route> {
        let tls = match &self.peer.tls_ca {
            Some(ca) => Some(Tls::new(ca, &self.peer.tls_name)?),
            None => None,
        };
        Ok(Route { server: self.addr, sources: self.peer.sources, tls })
    }

    /// The server's address and protocol, for the report.
    pub(crate) fn describe(&self) -> (String, &'static str) {
        let protocol = match (self.peer.xmpp, self.peer.protocol) {
            (true, _) => "xmpp",
            (false, Protocol::Mqtt3) => "mqtt3",
            (false, Protocol::Mqtt5) => "mqtt5",
        };
        (self.addr.to_string(), protocol)
    }

    /// Godwit: creates a conversation for each lane, of its sender and `receivers` receivers.
    /// Errors: REST refuses or is not there.
    pub(crate) fn prepare(&mut self, lanes: usize, receivers: usize) -> miette::Result<()> {
        let run = self.run.clone();
        let Some(godwit) = &mut self.godwit else { return Ok(()) };
        let mut client = http::Client::connect(&godwit.http, &godwit.admin_token)?;
        let kind = if receivers == 1 { "direct" } else { "group" };
        // After what an earlier call has made: lanes are numbered on.
        let first = godwit.conversations.len();
        for lane in first..first + lanes {
            let mut members = vec![sender_name(&run, lane)];
            members.extend((0..receivers).map(|nth| receiver_name(&run, lane, nth)));
            let body = json!({ "kind": kind, "members": members });
            let answer = client.post("/v1/conversations", &body)?;
            let id = answer["id"].as_str();
            let id = id.ok_or_else(|| miette!("no conversation id in {answer}"))?;
            godwit.conversations.push(id.to_owned());
        }
        Ok(())
    }

    /// Errors: it is no Godwit, or not by MQTT 5.
    pub(crate) fn must_be_godwit(&self, command: &str) -> miette::Result<()> {
        let mqtt5 = !self.peer.xmpp && self.peer.protocol == Protocol::Mqtt5;
        if self.godwit.is_none() || !mqtt5 {
            bail!("{command} measures Godwit by MQTT 5: name it by --godwit or --http");
        }
        Ok(())
    }

    /// The session that sends on a lane.
    pub(crate) fn sender(&self, lane: usize) -> Wire {
        if self.peer.xmpp {
            return self.xmpp(2 * lane, Some(2 * lane + 1));
        }
        let (topic, payload) = match &self.godwit {
            None => {
                let text = self.peer.topic.replace("{i}", &lane.to_string());
                (Topic { text, cmid: false }, Payload::Raw)
            }
            Some(_) => {
                let cid = self.conversation(lane);
                match self.peer.publish {
                    Publish::Plain => {
                        (Topic { text: format!("c/{cid}/"), cmid: true }, Payload::Raw)
                    }
                    Publish::Send => {
                        (Topic { text: format!("s/{cid}"), cmid: false }, Payload::Protobuf)
                    }
                }
            }
        };
        self.mqtt(&sender_name(&self.run, lane), Wants::NOTHING, Some(topic), payload)
    }

    /// Godwit: the session that sends on a lane as apps do, whatever `--publish` says.
    pub(crate) fn app_sender(&self, lane: usize) -> Wire {
        let text = format!("s/{}", self.conversation(lane));
        let topic = Some(Topic { text, cmid: false });
        self.mqtt(&sender_name(&self.run, lane), Wants::NOTHING, topic, Payload::Protobuf)
    }

    /// Godwit: a session that receives as apps do, whatever `--receive` says.
    pub(crate) fn app_receiver(&self, lane: usize, nth: usize, declares: Option<Presence>) -> Wire {
        let wants = Wants { filters: vec!["m/#", "n/#"], declares, ..Wants::NOTHING };
        self.mqtt(&receiver_name(&self.run, lane, nth), wants, None, Payload::Protobuf)
    }

    /// Godwit: the session of a lane that types, and the one that sees it.
    pub(crate) fn typists(&self, lane: usize) -> (Wire, Wire) {
        let topic = Topic { text: format!("t/{}", self.conversation(lane)), cmid: false };
        let types =
            self.mqtt(&sender_name(&self.run, lane), Wants::NOTHING, Some(topic), Payload::Raw);
        let wants = Wants { filters: vec!["t/#"], ..Wants::NOTHING };
        (types, self.mqtt(&receiver_name(&self.run, lane, 0), wants, None, Payload::Raw))
    }

    fn conversation(&self, lane: usize) -> &str {
        let known = self.godwit.as_ref().and_then(|godwit| godwit.conversations.get(lane));
        known.map_or("", String::as_str)
    }

    /// The session that receives on a lane, the `nth` of them.
    pub(crate) fn receiver(&self, lane: usize, nth: usize) -> Wire {
        if self.peer.xmpp {
            return self.xmpp(2 * lane + 1, None);
        }
        let (filter, payload) = match &self.godwit {
            None => {
                let filter = self.peer.filter.as_ref().unwrap_or(&self.peer.topic);
                (filter.replace("{i}", &lane.to_string()), Payload::Raw)
            }
            Some(_) => match self.peer.receive {
                Receive::Entries => ("m/#".to_owned(), Payload::Protobuf),
                Receive::Plain => (format!("c/{}", self.conversation(lane)), Payload::Raw),
            },
        };
        let wants = Wants { filter: Some(filter), ..Wants::NOTHING };
        self.mqtt(&receiver_name(&self.run, lane, nth), wants, None, payload)
    }

    /// A session that only connects, and subscribes if `subscribe`; `nth` of them, behind the
    /// users of `lanes` lanes.
    pub(crate) fn idle(&self, nth: usize, lanes: usize, subscribe: bool) -> Wire {
        if self.peer.xmpp {
            return self.xmpp(2 * lanes + nth, None);
        }
        let filter = subscribe.then(|| match &self.godwit {
            Some(_) => "m/#".to_owned(),
            None => {
                let filter = self.peer.filter.as_ref().unwrap_or(&self.peer.topic);
                filter.replace("{i}", &format!("idle{nth}"))
            }
        });
        let wants = Wants { filter, ..Wants::NOTHING };
        self.mqtt(&format!("i{}-{nth}", self.run), wants, None, Payload::Raw)
    }

    fn mqtt(&self, user: &str, wants: Wants, topic: Option<Topic>, payload: Payload) -> Wire {
        let version = match self.peer.protocol {
            Protocol::Mqtt3 => Version::V3,
            Protocol::Mqtt5 => Version::V5,
        };
        let token =
            self.godwit.as_ref().map(|godwit| godwit.issuer.mint(user, DEVICE, godwit.expires_s));
        let client_id = match token {
            Some(_) => format!("{user}:{DEVICE}"),
            None => user.to_owned(),
        };
        let connect = Connect {
            version,
            client_id: &client_id,
            username: if token.is_some() { Some(user) } else { self.peer.username.as_deref() },
            password: token.as_deref().or(self.peer.password.as_deref()),
            keep_alive_s: KEEP_ALIVE_S,
            topic_aliases: if self.peer.no_alias { 0 } else { TOPIC_ALIASES },
            bare_acks: self.peer.bare_acks,
        };
        Wire::Mqtt(Box::new(Mqtt::new(mqtt::Config {
            version,
            connect: connect.encode(),
            filters: wants.filters,
            filter: wants.filter,
            declares: wants.declares,
            topic,
            payload,
            alias: !self.peer.no_alias,
            keep_unread: self.peer.keep_unread,
        })))
    }

    fn xmpp(&self, nth: usize, to: Option<usize>) -> Wire {
        let Peer { xmpp_prefix, xmpp_domain, .. } = &self.peer;
        Wire::Xmpp(Box::new(Xmpp::new(xmpp::Config {
            domain: xmpp_domain.clone(),
            user: format!("{xmpp_prefix}{nth}"),
            password: self.peer.password.clone().unwrap_or_default(),
            to: to.map(|to| format!("{xmpp_prefix}{to}@{xmpp_domain}")),
            ack_every: self.peer.xmpp_ack_every,
            presence: self.peer.xmpp_presence,
        })))
    }
}

/// What a session subscribes, and says of itself.
struct Wants {
    filters: Vec<&'static str>,
    filter: Option<String>,
    declares: Option<Presence>,
}

impl Wants {
    const NOTHING: Self = Self { filters: Vec::new(), filter: None, declares: None };
}

fn sender_name(run: &str, lane: usize) -> String {
    format!("s{run}-{lane}")
}

fn receiver_name(run: &str, lane: usize, nth: usize) -> String {
    format!("r{run}-{lane}-{nth}")
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn read_dev(dir: &Path) -> miette::Result<Value> {
    let path = dir.join("dev.json");
    let text = fs::read_to_string(&path)
        .into_diagnostic()
        .wrap_err_with(|| format!("{} is written by a running `godwit dev`", path.display()))?;
    serde_json::from_str(&text).into_diagnostic().wrap_err_with(|| path.display().to_string())
}

fn read_issuer(path: &Path) -> miette::Result<Issuer> {
    let text = fs::read_to_string(path)
        .into_diagnostic()
        .wrap_err_with(|| format!("cannot read the issuer's secret {}", path.display()))?;
    let secret = unhex(text.trim())
        .ok_or_else(|| miette!("{} is not a text of hexadecimal digits", path.display()))?;
    Issuer::new(&secret)
}
