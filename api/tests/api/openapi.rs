//! The OpenAPI document, the committed copy of it, and the page that shows it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::app::{Server, none_wrong};
use crate::document::{document, operations};

#[test]
fn the_committed_document_is_the_services() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let current = testrun_api::document().to_pretty_json().expect("the document is JSON") + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &current).expect("docs/openapi.json can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let line = committed.lines().zip(current.lines()).position(|(old, new)| old != new);
    let line = line.unwrap_or_else(|| committed.lines().count().min(current.lines().count()));
    assert!(
        committed == current,
        "docs/openapi.json is not the service's document; the first difference is in line {}:\n\
         committed: {}\nservice:   {}\n\
         If the change is meant, look at it after: UPDATE_OPENAPI=1 cargo test -p testrun-api --test api openapi",
        line + 1,
        committed.lines().nth(line).unwrap_or("(end)"),
        current.lines().nth(line).unwrap_or("(end)"),
    );
}

#[test]
fn every_operation_says_what_it_does_who_may_and_what_can_go_wrong() {
    let document = document();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")), "{}", document["openapi"]);
    assert_eq!(document["security"], serde_json::json!([{"token": []}]));
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    let tags: BTreeSet<_> =
        document["tags"].as_array().into_iter().flatten().filter_map(|tag| tag["name"].as_str()).collect();
    let (mut wrong, mut ids) = (Vec::new(), BTreeSet::new());
    for operation in operations() {
        let described = &operation.described;
        let mut say = |what: &str| wrong.push(format!("{}: {what}", operation.name()));
        if described["summary"].as_str().is_none_or(str::is_empty) {
            say("no summary");
        }
        match described["tags"].as_array().map(Vec::as_slice) {
            Some([tag]) if tag.as_str().is_some_and(|tag| tags.contains(tag)) => {}
            other => say(&format!("the tags are {other:?}")),
        }
        if operation.id.is_empty() || !ids.insert(operation.id.clone()) {
            say("its id is missing or taken");
        }
        if described.get("security").is_some() {
            say("it has security of its own");
        }
        for status in expected_statuses(&operation) {
            let content = &described["responses"][status]["content"]["application/json"]["schema"]["$ref"];
            if content != "#/components/schemas/ErrorBody" {
                say(&format!("{status} is not documented as an error body: {content}"));
            }
        }
        let answers = described["responses"].as_object().expect("responses");
        if !answers.iter().any(|(status, answer)| {
            let has_schema =
                ["application/json", "text/html"].iter().any(|kind| answer["content"][kind]["schema"].is_object());
            status == "204" || (status.starts_with('2') && has_schema)
        }) {
            say("no answer of success with a schema");
        }
        for name in &operation.parameters {
            let parameters = described["parameters"].as_array();
            let parameter = parameters.into_iter().flatten().find(|p| p["name"] == **name && p["in"] == "path");
            let schema = parameter.map_or(&serde_json::Value::Null, |parameter| &parameter["schema"]);
            let is_right = match name.as_str() {
                "step_number" => schema["type"] == "integer",
                "job_id" => schema["format"] == "ulid",
                "queue" => schema["$ref"] == "#/components/schemas/QueueName",
                _ => schema["format"] == "uuid",
            };
            if !is_right {
                say(&format!("{name} is not described as the id that it is: {schema}"));
            }
        }
    }
    none_wrong(&wrong);
}

fn expected_statuses(operation: &crate::document::Operation) -> Vec<&'static str> {
    let mut statuses = vec!["400", "401", "403", "429", "500", "503"];
    // All queues are in the document, and always there.
    if operation.parameters.iter().any(|name| name != "queue") {
        statuses.push("404");
    }
    if operation.has_body() {
        statuses.extend(["413", "415"]);
    }
    statuses
}

#[test]
fn every_reference_leads_somewhere_and_every_field_is_described() {
    let document = document();
    let mut wrong = Vec::new();
    for path in references(&document) {
        if document.pointer(path.trim_start_matches('#')).is_none() {
            wrong.push(format!("{path} leads nowhere"));
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            // A reference that may be null has its description inside.
            let inside = property["oneOf"].as_array().into_iter().flatten();
            if !std::iter::once(property).chain(inside).any(|schema| schema["description"].is_string()) {
                wrong.push(format!("{name}.{field} is not described"));
            }
        }
    }
    none_wrong(&wrong);
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(elements) => elements.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn the_document_is_served_without_a_token() -> anyhow::Result<()> {
    let server = Server::without_database().await?;
    let served = server.client(None)?.get("/openapi.json").await?.expect(200)?;
    assert_eq!(served, document());
    Ok(())
}

#[tokio::test]
async fn the_page_that_shows_it_needs_nothing_from_elsewhere() -> anyhow::Result<()> {
    let server = Server::without_database().await?;
    let page = server.send("GET", "/docs", &[], Vec::new()).await?;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.header("content-type"));
    let html = page.text();
    let files: Vec<&str> = ["src=\"", "href=\""]
        .iter()
        .flat_map(|attribute| html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()))
        .collect();
    assert!(files.len() >= 4, "{files:?}");
    let mut scripts = String::new();
    for file in files {
        assert!(!file.contains("//"), "{file} is somewhere else");
        let answer = server.send("GET", &format!("/docs/{}", file.trim_start_matches("./")), &[], Vec::new()).await?;
        assert_eq!(answer.status, 200, "{file}");
        assert!(!answer.bytes.is_empty(), "{file} is empty");
        if file.contains("initializer") {
            scripts += &answer.text();
        }
    }
    assert!(scripts.contains("\"/openapi.json\""), "{scripts}");
    assert!(!scripts.contains("http"), "{scripts}");
    Ok(())
}
