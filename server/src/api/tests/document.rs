//! What is served is described, what is described is served, and every operation names its errors.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

async fn document(world: &World) -> Value {
    world.get("/openapi.json", "").await.ok(200)
}

/// Path, method and operation.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, item)| {
        METHODS.iter().filter_map(move |method| {
            let operation = item.get(*method)?;
            Some((path.clone(), (*method).to_owned(), operation.clone()))
        })
    });
    each.collect()
}

/// A path with something in place of its parameters.
fn filled(path: &str) -> String {
    path.replace("{cid}", "AAAAAAAAAAAAAAAAAAAAAA").replace("{user}", "u").replace("{device}", "d")
}

#[tokio::test]
async fn what_is_described_is_served_and_the_other_way_round() {
    let world = World::new().await;
    let document = document(&world).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut described: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, method, _) in operations(&document) {
        let reply = world.ask(&method.to_uppercase(), &filled(&path), "", "").await;
        assert!(reply.status != 405 && !reply.text.contains("no such path"), "{method} {path}");
        described.entry(path).or_default().insert(method.to_uppercase());
    }
    // The router itself says which methods a path takes.
    for (path, methods) in &described {
        let reply = world.ask("TRACE", &filled(path), "", "").await;
        reply.refused(405, "method_not_allowed", "/docs");
        let allowed: BTreeSet<String> =
            reply.header("allow").unwrap().split(',').map(str::to_uppercase).collect();
        let mut expected = methods.clone();
        if methods.contains("GET") {
            expected.insert("HEAD".to_owned());
        }
        assert_eq!(allowed, expected, "{path}");
    }
    // Every handler that is written down is routed.
    assert_eq!(operations(&document).len(), sources("#[utoipa::path("));
}

#[tokio::test]
async fn every_operation_names_its_errors() {
    let world = World::new().await;
    let document = document(&world).await;
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let name = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].to_string()), "{name}");
        let known = document["tags"].as_array().unwrap().iter();
        assert!(known.clone().any(|tag| tag["name"] == operation["tags"][0]), "{name}");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        assert!(operation["tags"][0].is_string(), "{name}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{name}");
        if !path.starts_with("/v1/") {
            assert_eq!(operation["security"], json!([{}]), "{name}");
            continue;
        }
        let mut needed = vec!["400", "429", "500", "503"];
        let open = path == "/v1/login";
        if !open {
            needed.push("401");
        }
        if operation.get("requestBody").is_some() {
            needed.push("413");
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let has = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
        if method != "get" && !open {
            needed.push("422");
            assert!(has("Idempotency-Key"), "{name}");
        }
        if path.contains("{cid}") {
            needed.push("404");
        }
        if has("If-Match") {
            needed.push("412");
        }
        for status in needed {
            let content = &responses[status]["content"];
            let schema = &content["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{name} {status}");
            assert_eq!(content.as_object().map(serde_json::Map::len), Some(1), "{name} {status}");
        }
        for parameter in path.split('/').filter_map(|part| part.strip_prefix('{')) {
            let parameter = parameter.trim_end_matches('}');
            let found = parameters.iter().find(|p| p["name"] == parameter && p["in"] == "path");
            assert_eq!(found.map(|p| &p["required"]), Some(&json!(true)), "{name} {parameter}");
        }
    }
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let codes = &document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
    assert!(codes.as_array().unwrap().contains(&json!("key_reused")), "{codes}");
}

#[tokio::test]
async fn every_schema_that_is_pointed_to_is_there() {
    let world = World::new().await;
    let document = document(&world).await;
    let text = document.to_string();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    // Two types of one name would be one schema.
    let schemas = document["components"]["schemas"].as_object().unwrap().len();
    assert_eq!(
        schemas,
        sources("ToSchema)]"),
        "{:?}",
        document["components"]["schemas"].as_object().unwrap().keys()
    );
}

/// How many lines of the handlers' sources end so.
fn sources(line_end: &str) -> usize {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/api")).unwrap();
    files
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok())
        .map(|source| source.lines().filter(|line| line.ends_with(line_end)).count())
        .sum()
}

#[tokio::test]
async fn the_viewer_comes_from_here_alone() {
    let world = World::new().await;
    for (path, kind) in [
        ("/docs", "text/html"),
        ("/docs/viewer.js", "text/javascript"),
        ("/docs/viewer.css", "text/css"),
    ] {
        let reply = world.get(path, "").await;
        assert_eq!(reply.status, 200);
        assert!(reply.header("content-type").unwrap().starts_with(kind), "{path}");
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    }
}

#[tokio::test]
async fn ids_cursors_and_limits_have_patterns() {
    let world = World::new().await;
    let document = document(&world).await;
    for (path, method, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            let what = format!("{method} {path}: {name}: {schema}");
            match name {
                "cid" | "user" | "device" | "cursor" | "Idempotency-Key" => {
                    assert!(schema["pattern"].is_string(), "{what}");
                }
                "limit" => assert_eq!(
                    (&schema["minimum"], &schema["maximum"]),
                    (&json!(1), &json!(100)),
                    "{what}"
                ),
                _ => {}
            }
        }
    }
    for (schema, field) in [("ConversationSummary", "id"), ("Entry", "mid"), ("Device", "device")] {
        let field = &document["components"]["schemas"][schema]["properties"][field];
        assert!(field["pattern"].is_string(), "{schema}: {field}");
    }
}
