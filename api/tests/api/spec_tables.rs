//! The specification's endpoint tables, word for word in `spec/endpoints.md`: each endpoint is described and works.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::app::{App, none_wrong};
use crate::document::{Operation, document, operations};
use crate::world::World;

const TABLES: &str = include_str!("spec/endpoints.md");

/// Method and path of each row.
fn endpoints() -> Vec<(&'static str, &'static str)> {
    let rows = TABLES.lines().map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>());
    rows.filter(|cells| cells.len() == 5 && cells[2].starts_with("/api/")).map(|cells| (cells[1], cells[2])).collect()
}

#[test]
fn each_endpoint_of_the_specification_is_described() {
    let described: BTreeSet<String> = operations().iter().map(Operation::name).collect();
    let endpoints = endpoints();
    assert_eq!(endpoints.len(), TABLES.matches("/api/v1/").count(), "a row could not be read");
    assert!(endpoints.len() > 40, "only {} endpoints", endpoints.len());
    let names = endpoints.iter().map(|(method, path)| format!("{method} {path}"));
    let missing: Vec<String> = names.filter(|name| !described.contains(name)).collect();
    none_wrong(&missing);
}

#[tokio::test]
async fn each_endpoint_of_the_specification_is_there() -> anyhow::Result<()> {
    let app = App::start().await?;
    let mut wrong = Vec::new();
    for (method, path) in endpoints() {
        // Without a token the router's own refusals differ from those of what it leads to.
        let answer = app.server.send(method, &path.replace(['{', '}'], ""), &[], Vec::new()).await?;
        wrong.extend((answer.status != 401).then(|| format!("{method} {path}: {}", answer.text())));
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn every_operation_does_its_work_and_answers_as_described() -> anyhow::Result<()> {
    let app = App::start().await?;
    let document = document();
    let mut operations = operations();
    operations.sort_by_key(|operation| operation.id == "delete_project");
    let mut wrong = Vec::new();
    for operation in &operations {
        // A world for each: what one operation does is in the way of another.
        let world = World::new(&app.client).await?;
        let answer = app.send(&operation.method, &operation.path_in(&world), operation.body_in(&world)).await?;
        let described = &operation.described["responses"][answer.status.to_string()];
        let mut say = |what: &str| wrong.push(format!("{}: {} {what}", operation.name(), answer.status));
        if !(200..300).contains(&answer.status) || described.is_null() {
            say(&answer.text());
            continue;
        }
        let schema = &described["content"]["application/json"]["schema"];
        if let Some(name) = schema["$ref"].as_str() {
            for what in misdescribed(&document, name, &answer.json()) {
                say(&what);
            }
        } else if !answer.bytes.is_empty() && described["content"]["text/html"].is_null() {
            say("is described without a schema");
        }
    }
    none_wrong(&wrong);
    Ok(())
}

/// What is in one of an answer and its schema, and not in the other.
fn misdescribed(document: &Value, name: &str, answer: &Value) -> Vec<String> {
    let schema = document.pointer(name.trim_start_matches('#')).unwrap_or(&Value::Null);
    let parts: Vec<&Value> = schema["allOf"].as_array().map_or_else(|| vec![schema], |parts| parts.iter().collect());
    let parts = parts.into_iter().map(|part| match part["$ref"].as_str() {
        Some(name) => document.pointer(name.trim_start_matches('#')).unwrap_or(&Value::Null),
        None => part,
    });
    let described: BTreeSet<&str> = parts
        .flat_map(|part| part["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()))
        .collect();
    let shown: BTreeSet<&str> = answer.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let only = |what: &str, names: Vec<&&str>| (!names.is_empty()).then(|| format!("only {what}: {names:?}"));
    let in_answer = only("in the answer", shown.difference(&described).collect());
    let in_schema = only("in the schema", described.difference(&shown).collect());
    in_answer.into_iter().chain(in_schema).collect()
}
