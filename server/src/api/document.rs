//! The OpenAPI document: generated from the handlers, completed by what stands around all of them.

use axum::Extension;
use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};

use super::asked::IDEMPOTENCY_KEY;
use super::problem::Kind;
use crate::limits::PAGE_ITEMS_MAX;

/// The document as it is served, one for all answers under way.
#[derive(Debug, Clone)]
pub(super) struct Document(Bytes);

impl Document {
    /// Completes what the handlers say.
    pub(super) fn new(generated: OpenApi) -> Self {
        // A document of texts always becomes JSON.
        let mut document = serde_json::to_value(described(generated)).unwrap_or_default();
        let paths = document.get_mut("paths").and_then(Value::as_object_mut);
        for (path, item) in paths.into_iter().flatten() {
            for (method, operation) in item.as_object_mut().into_iter().flatten() {
                let Some(operation) = operation.as_object_mut() else { continue };
                name(operation);
                patterns(operation);
                if path.starts_with("/v1/") {
                    complete(path, method, operation);
                }
            }
        }
        for (pointer, pattern) in FIELDS {
            let pointer = format!("/components/schemas/{pointer}");
            if let Some(field) = document.pointer_mut(&pointer).and_then(Value::as_object_mut) {
                field.insert("pattern".to_owned(), json!(pattern));
            }
        }
        let tags = TAGS.map(|(name, about)| json!({"name": name, "description": about}));
        document["tags"] = json!(tags);
        let codes: Vec<&str> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        if let Some(code) = document.pointer_mut("/components/schemas/Problem/properties/code") {
            code["enum"] = json!(codes);
        }
        Self(document.to_string().into())
    }
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operation", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub(super) async fn openapi(Extension(document): Extension<Document>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document.0)
}

/// Adds title, version, and how to show a token.
fn described(mut document: OpenApi) -> OpenApi {
    document.info.title = "Godwit".to_owned();
    document.info.contact = None;
    document.info.license = None;
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.info.description = Some(
        "Conversations, members, inboxes, receipts, users and devices, for apps' servers, devices \
         and operators. Messages are delivered over MQTT; they may be sent here, too.\n\nA device's token \
         does what its user may; the admin token does all, and names the user by ?user= where \
         something is a user's own. Refusals are problem+json (RFC 9457); `code` is for programs. \
         Lists come by pages: ask on with cursor set to next.\n\nA change may be repeated safely \
         with the same Idempotency-Key for a day: it is made once, and the repetition is answered \
         as the first one was, with things as they are by then (a PATCH of a user or of settings \
         with If-Match excepted: its state is over, 412)."
            .into(),
    );
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The admin token, or a device's own token (a JWT)."))
        .build();
    document
        .components
        .get_or_insert_default()
        .add_security_scheme("token", SecurityScheme::Http(bearer));
    document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    document
}

/// The groups of operations, in the order in which they are read.
const TAGS: [(&str, &str); 10] = [
    ("conversations", "Create, list, look at, change title and settings."),
    ("members", "Who is in, with which role; owners and admins change it."),
    ("messages", "The log of a conversation by pages, and what is pinned."),
    ("receipts", "How far members have got."),
    ("inbox", "A user's conversations by latest activity, and the user's own marks."),
    ("users", "Names, and local accounts with passwords."),
    ("settings", "What a user lets others see."),
    ("devices", "List, name, revoke."),
    ("blocks", "Whom a user does not want to hear from."),
    ("operation", "Health, metrics, and this document."),
];

/// 16 bytes in base64url without padding: the last character holds two bits only.
const ID16: &str = "^[A-Za-z0-9_-]{21}[AQgw]$";

/// A user id, a device id.
const NAME: &str = r"^(?!\.{1,2}$)[A-Za-z0-9_.-]{1,64}$";

/// What parameters of these names look like, wherever they stand.
const PARAMETERS: [(&str, &str); 5] = [
    ("cid", ID16),
    ("user", NAME),
    ("device", NAME),
    ("peer", NAME),
    ("cursor", "^[A-Za-z0-9_-]+$"),
];

/// What fields of answers and requests look like.
const FIELDS: [(&str, &str); 11] = [
    ("InboxItem/properties/id", ID16),
    ("ConversationSummary/properties/id", ID16),
    ("Entry/properties/mid", ID16),
    ("Entry/properties/from", NAME),
    ("Entry/properties/device", NAME),
    ("SentMessage/properties/conversation", ID16),
    ("SentMessage/properties/mid", ID16),
    ("User/properties/id", NAME),
    ("NewUser/properties/id", NAME),
    ("Profile/properties/id", NAME),
    ("Device/properties/device", NAME),
];

/// Says what ids, cursors and limits look like.
fn patterns(operation: &mut Map<String, Value>) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default().to_owned();
        let Some(schema) = parameter["schema"].as_object_mut() else { continue };
        if let Some((_, pattern)) = PARAMETERS.iter().find(|(known, _)| *known == name) {
            schema.insert("pattern".to_owned(), json!(pattern));
        }
        if name == "limit" {
            schema.insert("minimum".to_owned(), json!(1));
            schema.insert("maximum".to_owned(), json!(PAGE_ITEMS_MAX));
        }
    }
}

/// Handlers have short names, each within its module: with the group's they are unique.
fn name(operation: &mut Map<String, Value>) {
    let group = operation.get("tags").and_then(|tags| tags[0].as_str()).unwrap_or_default();
    let own = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
    let whole = format!("{group}_{own}");
    operation.insert("operationId".to_owned(), Value::String(whole));
}

/// What every operation below `/v1` may answer, and the header that all changes take.
fn complete(path: &str, method: &str, operation: &mut Map<String, Value>) {
    // A handler without `security` has the document's; one with `security(())` needs no token.
    let needs_token = operation.get("security").is_none_or(|s| *s != json!([{}]));
    let has_body = operation.contains_key("requestBody");
    let changes = method != "get" && path != "/v1/login";
    let mut errors = vec![
        ("400", "not understood"),
        ("429", "too much, too fast: wait as long as Retry-After says"),
        ("500", "the server failed"),
        ("503", "not now: wait as long as Retry-After says"),
    ];
    if needs_token {
        errors.push(("401", "no valid token"));
    }
    if has_body {
        errors.push(("413", "the body is too large"));
    }
    if changes {
        errors.push(("422", "the idempotency key was used for another request"));
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        if let Some(parameters) = parameters.as_array_mut() {
            parameters.push(json!({
                "name": IDEMPOTENCY_KEY, "in": "header", "required": false,
                "description": "makes a repetition of the same request safe",
                "schema": {
                    "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[!-~]{1,64}$",
                },
            }));
        }
    }
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    let Some(responses) = responses.as_object_mut() else { return };
    for (status, description) in errors {
        let known = responses.entry(status).or_insert_with(|| json!({"description": description}));
        known["content"] = json!({"application/json": {"schema": {"$ref": PROBLEM}}});
    }
    for (status, response) in responses.iter_mut() {
        if status.starts_with(['4', '5']) {
            as_problem(status, response);
        }
    }
}

const PROBLEM: &str = "#/components/schemas/Problem";

/// The handlers' macro knows JSON alone; a refusal has a type of its own, and some have headers.
fn as_problem(status: &str, response: &mut Value) {
    if let Some(content) = response.get_mut("content").and_then(Value::as_object_mut)
        && let Some(schema) = content.remove("application/json")
    {
        content.insert("application/problem+json".to_owned(), schema);
    }
    let header = match status {
        "429" | "503" => ("Retry-After", "seconds to wait", "integer"),
        "412" => ("ETag", "the state that is there now", "string"),
        _ => return,
    };
    let (name, description, kind) = header;
    response["headers"][name] = json!({"description": description, "schema": {"type": kind}});
}
