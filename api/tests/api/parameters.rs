//! What is wrong with a path or a query is refused: each wrong parameter is named, and nothing changes.

use serde_json::{Value, json};

use crate::app::{App, Raw, none_wrong};
use crate::document::operations;
use crate::world::World;

#[tokio::test]
async fn wrong_parameters_of_lists_are_named_all_at_once() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let long = format!("status={}", "x".repeat(30_000));
    let runs: &[(&str, &[&str])] = &[
        ("status=bogus", &["status"]),
        ("status=&created_by=&from_date=", &["created_by", "from_date", "status"]),
        ("status=Running", &["status"]),
        (&long, &["status"]),
        ("created_by=me", &["created_by"]),
        ("sort_by=name", &["sort_by"]),
        ("sort_order=up", &["sort_order"]),
        ("from_date=yesterday", &["from_date"]),
        ("from_date=2026-02-30", &["from_date"]),
        ("to_date=2026-01-18T25:00:00Z", &["to_date"]),
        ("from_date=2026-01-18T07:00:00+00:00", &["from_date"]),
        ("to_date=99999-01-01", &["to_date"]),
        ("from_date=2026-01-19&to_date=2026-01-18", &["from_date"]),
        ("status=running&status=pending", &["status"]),
        ("search=%00", &["search"]),
        ("tags=a,%00&suite_path=%00", &["tags", "suite_path"]),
        (
            "status=bogus&created_by=me&limit=0&offset=-1&sort_by=x",
            &["created_by", "limit", "offset", "sort_by", "status"],
        ),
        ("limit=x&status=bogus", &["limit", "status"]),
    ];
    let paging: &[(&str, &[&str])] = &[
        ("limit=0", &["limit"]),
        ("limit=101", &["limit"]),
        ("limit=-1", &["limit"]),
        ("limit=1.5", &["limit"]),
        ("limit=ten", &["limit"]),
        ("limit=99999999999999999999", &["limit"]),
        ("offset=-1", &["offset"]),
        ("offset=x", &["offset"]),
        ("offset=9223372036854775808", &["offset"]),
        ("limit=0&offset=-1", &["limit", "offset"]),
        ("limit=1&limit=2", &["limit"]),
        ("limit=%00", &["limit"]),
    ];
    let mut wrong = Vec::new();
    let before = app.contents().await?;
    for (query, fields) in runs {
        wrong.extend(refused(&app, "/api/v1/test-runs", query, fields).await?);
    }
    let lists = operations();
    let lists = lists.iter().filter(|operation| operation.described["parameters"].to_string().contains("\"offset\""));
    let mut count = 0;
    for operation in lists {
        count += 1;
        for (query, fields) in paging {
            wrong.extend(refused(&app, &operation.path_in(&world), query, fields).await?);
        }
    }
    assert!(count >= 6, "only {count} lists");
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

/// Values that a query parameter does not take, by what the document says of it.
fn bad_values(name: &str, schema: &Value) -> Vec<&'static str> {
    let is = |kind: &str| {
        schema["type"] == kind || schema["type"].as_array().is_some_and(|kinds| kinds.contains(&json!(kind)))
    };
    let mut bad = vec!["%00", "a%00b"];
    if is("integer") {
        bad.extend(["x", "1.5", "99999999999999999999", "-99999999999999999999", "1e3", "0x10"]);
    } else if is("boolean") {
        bad.extend(["maybe", "1", "True"]);
    } else if schema["format"] == "uuid" {
        bad.extend(["me", "1", "00000000-0000-0000-0000-00000000000"]);
    } else if ["from_date", "to_date"].contains(&name) {
        bad.extend(["yesterday", "2026-02-30", "2026-01-18T25:00:00Z", "1768644305"]);
    } else if !["suite_path", "tags", "search", "external_key"].contains(&name) {
        // What is left are names out of a list.
        bad.extend(["bogus", "ACTIVE", "a,b", "%F0%9F%98%80"]);
    }
    bad
}

#[tokio::test]
async fn every_documented_parameter_refuses_what_it_does_not_take() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let before = app.contents().await?;
    let (mut wrong, mut count) = (Vec::new(), 0);
    for operation in operations() {
        for parameter in operation.described["parameters"].as_array().into_iter().flatten() {
            let Some(name) = parameter["name"].as_str().filter(|_| parameter["in"] == "query") else { continue };
            let path = operation.path_in(&world);
            for bad in bad_values(name, &parameter["schema"]) {
                count += 1;
                wrong.extend(refused(&app, &path, &format!("{name}={bad}"), &[name]).await?);
            }
            wrong.extend(refused(&app, &path, &format!("{name}=1&{name}=1"), &[name]).await?);
        }
        if operation.described["parameters"].to_string().contains("\"from_date\"") {
            let round = "from_date=2026-01-18T00:00:00.000001Z&to_date=2026-01-18T00:00:00Z";
            wrong.extend(refused(&app, &operation.path_in(&world), round, &["from_date"]).await?);
        }
    }
    none_wrong(&wrong);
    assert!(count > 250, "only {count} queries");
    assert_eq!(app.contents().await?, before);
    Ok(())
}

async fn refused(app: &App, path: &str, query: &str, fields: &[&str]) -> anyhow::Result<Option<String>> {
    let answer: Raw = app.send("GET", &format!("{path}?{query}"), "").await?;
    let shown: String = query.chars().take(100).collect();
    Ok(answer.not_invalid(fields).map(|what| format!("{path}?{shown}: {what}")))
}

#[tokio::test]
async fn a_path_with_something_that_is_no_id_names_its_parameter() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let mut wrong = Vec::new();
    let before = app.contents().await?;
    for operation in operations() {
        for parameter in &operation.parameters {
            for bad in ["x", "1", "00000000-0000-0000-0000-00000000000", "%00", "%ff", "%F0%9F%98%80", "null"] {
                let path = operation.path_with(|name| {
                    if name == parameter { bad.to_owned() } else { operation.parameter(&world, name) }
                });
                if parameter == "step_number" && bad == "1" {
                    continue;
                }
                let answer = app.send(&operation.method, &path, operation.body_in(&world)).await?;
                let what = answer.not_invalid(&[parameter.as_str()]);
                wrong.extend(what.map(|what| format!("{} with {bad}: {what}", operation.name())));
            }
        }
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_path_to_nothing_says_what_was_not_found() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let absent = world.absent();
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    for operation in operations().iter().filter(|operation| !operation.parameters.is_empty()) {
        // Its values are in the document, and what is none of them is refused.
        if operation.parameters == ["queue"] {
            continue;
        }
        let path = operation.path_in(&absent);
        let what = match operation.parameters[0].as_str() {
            "run_id" => "Test run",
            "item_id" => "Test run item",
            "result_id" => "Test run result",
            "test_case_id" => "Test case",
            "schedule_id" => "Schedule",
            "test_script_id" => "Test script",
            "project_id" => "Project",
            "user_id" => "User",
            "token_id" => "Token",
            "webhook_id" => "Webhook",
            "job_id" => "Job",
            other => panic!("{}: what is a {other} called?", operation.name()),
        };
        let detail = format!("{what} not found: {}", operation.parameter(&absent, &operation.parameters[0]));
        let answer = app.send(&operation.method, &path, operation.body_in(&world)).await?;
        wrong.extend(answer.not_detail(404, &detail).map(|what| format!("{}: {what}", operation.name())));
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}
