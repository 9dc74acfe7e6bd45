//! docs/asyncapi.json against what the code knows: the topics that the bridge serves, and the
//! messages of proto/. Each comparison goes both ways.

use std::collections::BTreeSet;

use godwit_bridge::{TOPICS, Way};
use serde_json::Value;

use super::{files, read, root};

/// What the document calls a protobuf payload.
const PROTOBUF: &str = "application/vnd.google.protobuf;version=3";

fn document() -> Value {
    let text = read(&root().join("docs/asyncapi.json"));
    serde_json::from_str(&text).expect("docs/asyncapi.json is JSON")
}

/// What a `$ref` names.
fn target<'a>(document: &'a Value, reference: &Value) -> &'a Value {
    let path = reference["$ref"].as_str().unwrap_or_else(|| panic!("no $ref in {reference}"));
    let pointer = path.strip_prefix('#').expect("references stay in the document");
    document.pointer(pointer).unwrap_or_else(|| panic!("{path} leads nowhere"))
}

/// Follows references until there is something.
fn resolve<'a>(document: &'a Value, mut value: &'a Value) -> &'a Value {
    while value.get("$ref").is_some() {
        value = target(document, value);
    }
    value
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).iter()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key} in {value}"))
}

/// `up s/{cid} godwit.conversation.v1.Send` for every operation and message; raw bytes: no name.
fn described(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, operation) in object(&document["operations"]) {
        let way = match text(operation, "action") {
            "send" => "up",
            "receive" => "down",
            other => panic!("{name}: {other}"),
        };
        let address = text(target(document, &operation["channel"]), "address");
        for message in list(&operation["messages"]) {
            found.insert(line(way, address, payload(resolve(document, message))));
        }
    }
    found
}

/// The full name of a message's payload; empty: raw bytes.
fn payload(message: &Value) -> &str {
    let payload = &message["payload"];
    match payload["schemaFormat"].as_str() {
        None => {
            assert_eq!(payload["format"], "binary", "{message}");
            ""
        }
        Some(format) => {
            assert_eq!(format, PROTOBUF, "{message}");
            assert_eq!(message["name"], payload["schema"], "a message is named as its payload");
            text(payload, "schema")
        }
    }
}

fn line(way: &str, address: &str, payload: &str) -> String {
    format!("{way} {address} {payload}").trim_end().to_owned()
}

/// The same of the bridge's table.
fn served() -> BTreeSet<String> {
    let way = |way| if way == Way::Up { "up" } else { "down" };
    TOPICS.iter().map(|topic| line(way(topic.way), topic.name, topic.payload)).collect()
}

/// What proto/ declares.
#[derive(Default)]
struct Declared {
    /// Full names of messages that stand alone.
    messages: BTreeSet<String>,
    /// Those of them that are a field of another.
    parts: BTreeSet<String>,
}

impl Declared {
    fn read_all() -> Self {
        let mut declared = Self::default();
        for path in files(".proto") {
            declared.take(&read(&path));
        }
        assert!(declared.messages.contains("godwit.conversation.v1.Send"), "proto/ is read at all");
        declared
    }

    /// Reads one file: statements end with `;`, `{` or `}`.
    fn take(&mut self, source: &str) {
        let bare: String = source
            .lines()
            .map(|line| line.split("//").next().unwrap_or(line))
            .collect::<Vec<_>>()
            .join(" ");
        let (mut package, mut depth) = (String::new(), 0);
        for statement in bare.split_inclusive([';', '{', '}']) {
            let words: Vec<&str> =
                statement.trim_end_matches([';', '{', '}']).split_whitespace().collect();
            match words.as_slice() {
                ["package", name] => package = (*name).to_owned(),
                ["message", name] if depth == 0 => {
                    self.messages.insert(format!("{package}.{name}"));
                }
                ["repeated" | "optional", kind, _, "=", _] | [kind, _, "=", _] => {
                    let full = if kind.contains('.') {
                        (*kind).to_owned()
                    } else {
                        format!("{package}.{kind}")
                    };
                    self.parts.insert(full);
                }
                _ => {}
            }
            depth += match statement.chars().last() {
                Some('{') => 1,
                Some('}') => -1,
                _ => 0,
            };
        }
        assert_eq!(depth, 0, "unbalanced braces in {package}");
    }

    /// Messages that are a part of no other: each must travel by itself.
    fn whole(&self) -> BTreeSet<String> {
        self.messages.difference(&self.parts).cloned().collect()
    }
}

/// What is wrong between the names that the document has and those of proto/.
fn strays(named: &BTreeSet<String>, declared: &Declared) -> Vec<String> {
    let unknown = named.difference(&declared.messages).map(|name| format!("proto/ has no {name}"));
    let whole = declared.whole();
    let missing =
        whole.difference(named).map(|name| format!("docs/asyncapi.json says nothing of {name}"));
    unknown.chain(missing).collect()
}

fn named(document: &Value) -> BTreeSet<String> {
    let messages = object(&document["components"]["messages"]).map(|(_, message)| payload(message));
    messages.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[test]
fn topics_are_those_that_the_bridge_serves() {
    let (described, served) = (described(&document()), served());
    let unserved: Vec<_> = described.difference(&served).collect();
    let undescribed: Vec<_> = served.difference(&described).collect();
    assert!(unserved.is_empty(), "docs/asyncapi.json only: {unserved:#?}");
    assert!(undescribed.is_empty(), "bridge/src/topic.rs only: {undescribed:#?}");
}

#[test]
fn payloads_are_the_messages_of_proto() {
    let wrong = strays(&named(&document()), &Declared::read_all());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is added in one place only is seen.
#[test]
fn an_addition_in_one_place_is_seen() {
    let mut document = document();
    let mut declared = Declared::read_all();
    declared.take("package godwit.new.v1; message Ask { repeated Part part = 1; } message Part {}");
    let seen = strays(&named(&document), &declared);
    assert_eq!(seen, ["docs/asyncapi.json says nothing of godwit.new.v1.Ask"]);

    document["channels"]["fates"]["address"] = "b".into();
    let fates = "godwit.conversation.v1.Fates";
    let (described, served) = (described(&document), served());
    assert_eq!(described.difference(&served).collect::<Vec<_>>(), [&line("down", "b", fates)]);
    assert_eq!(served.difference(&described).collect::<Vec<_>>(), [&line("down", "a", fates)]);

    let message = &mut document["components"]["messages"]["Fates"];
    message["name"] = "godwit.conversation.v1.Fate2".into();
    message["payload"]["schema"] = "godwit.conversation.v1.Fate2".into();
    let seen = strays(&named(&document), &Declared::read_all());
    assert_eq!(seen.len(), 2, "{seen:?}");
}

/// A document that tools can read: references, parameters, bindings, version, codes.
#[test]
fn the_document_is_whole() {
    let document = document();
    walk(&document, &mut |value| {
        if value.get("$ref").is_some() {
            target(&document, value);
        }
    });
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().expect("TOML");
    let version = manifest["workspace"]["package"]["version"].as_str();
    assert_eq!(document["info"]["version"].as_str(), version, "the document's version");

    let mut used = BTreeSet::new();
    for (name, operation) in object(&document["operations"]) {
        let qos = operation["bindings"]["mqtt"]["qos"].as_u64();
        assert!(matches!(qos, Some(0 | 1)), "{name}: QoS {qos:?}");
        let codes = [&operation["x-puback"], &operation["x-reply"]];
        for code in codes.into_iter().filter_map(Value::as_array).flatten() {
            let code = code.as_str().expect("a code");
            assert!(document["x-codes"].get(code).is_some(), "{name}: {code} is explained nowhere");
        }
        used.insert(text(&operation["channel"], "$ref").to_owned());
    }
    for (name, channel) in object(&document["channels"]) {
        assert!(used.contains(&format!("#/channels/{name}")), "no operation uses {name}");
        let asked: BTreeSet<&str> =
            text(channel, "address").split(['{', '}']).skip(1).step_by(2).collect();
        let given = channel["parameters"].as_object().into_iter().flatten();
        let given: BTreeSet<&str> = given.map(|(name, _)| name.as_str()).collect();
        assert_eq!(asked, given, "{name}: parameters");
    }
}

fn walk(value: &Value, look: &mut impl FnMut(&Value)) {
    look(value);
    match value {
        Value::Object(map) => map.values().for_each(|inner| walk(inner, look)),
        Value::Array(list) => list.iter().for_each(|inner| walk(inner, look)),
        _ => {}
    }
}
