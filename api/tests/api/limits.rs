//! The bounds in the OpenAPI document are those that the service keeps.

use serde_json::{Map, Value, json};

use crate::app::{App, none_wrong};
use crate::document::{body, document, operations};
use crate::world::{World, with};

/// A body with one field at a bound or just beyond it.
struct Probe {
    field: String,
    body: Value,
    refused: bool,
}

#[tokio::test]
async fn each_documented_bound_is_kept_exactly() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let document = document();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for operation in operations().iter().filter(|operation| operation.has_body()) {
        let schema = &operation.described["requestBody"]["content"]["application/json"]["schema"];
        let good = body(&operation.id).expect("every operation has a body");
        for probe in probes(&document, schema, &good) {
            count += 1;
            let text = world.fill(&probe.body.to_string());
            let answer = app.send(&operation.method, &operation.path_in(&world), text).await?;
            let named = answer.status == 400
                && answer.json()["errors"].as_array().into_iter().flatten().any(|error| {
                    error["field"]
                        .as_str()
                        .is_some_and(|field| field == probe.field || probe.field == element_of(field))
                });
            if named != probe.refused || answer.status >= 500 {
                let expected = if probe.refused { "beyond a bound" } else { "at a bound" };
                let shown: String = answer.text().chars().take(200).collect();
                wrong.push(format!("{}: {} {expected}: {} {shown}", operation.name(), probe.field, answer.status));
            }
        }
    }
    assert!(count > 200, "only {count} bounds");
    none_wrong(&wrong);
    Ok(())
}

/// The list that a field such as `tags[3]` is an element of.
fn element_of(field: &str) -> &str {
    field.rsplit_once('[').map_or(field, |(list, _)| list)
}

/// Fields whose values need more than a length or a size to be good; the good body has a step, so no total of 0.
const HAVE_RULES_OF_THEIR_OWN: &[&str] = &[
    "timezone",
    "cron_expression",
    "repeat_interval",
    "repeat_day_of_month",
    "max_occurrences",
    "test_case_ids",
    "total_steps",
    "execution_order",
    "item_ids",
    "suite_path",
];

fn probes(document: &Value, schema: &Value, good: &Value) -> Vec<Probe> {
    let schema = resolved(document, schema);
    let no_fields = Map::new();
    let mut probes = Vec::new();
    for (name, property) in schema["properties"].as_object().unwrap_or(&no_fields) {
        let property = resolved(document, property);
        for (value, refused) in values(document, property) {
            if refused || !HAVE_RULES_OF_THEIR_OWN.contains(&name.as_str()) {
                probes.push(Probe { field: name.clone(), body: with(good.clone(), &json!({name: value})), refused });
            }
        }
        if let Some(sample) = sample(property) {
            for probe in self::probes(document, &property["items"], &sample) {
                let body = with(good.clone(), &json!({name: [probe.body]}));
                probes.push(Probe { field: format!("{name}[0].{}", probe.field), body, refused: probe.refused });
            }
        }
    }
    probes
}

/// Values at the bounds of a property and beyond them, and whether they are to be refused.
fn values(document: &Value, property: &Value) -> Vec<(Value, bool)> {
    let number = |name: &str| property[name].as_i64();
    let length = |name: &str| number(name).and_then(|length| usize::try_from(length).ok());
    let mut values = Vec::new();
    if let Some(length) = length("maxLength") {
        let (start, end) = match property["format"].as_str() {
            Some("email") => ("", "@x"),
            Some("uri") => ("http://x/", ""),
            _ => ("", ""),
        };
        let text = |length: usize| json!(format!("{start}{}{end}", "x".repeat(length - start.len() - end.len())));
        values.extend([(text(length), false), (text(length + 1), true)]);
    }
    if length("minLength").is_some() {
        values.push((json!(""), true));
    }
    if let Some(maximum) = number("maximum") {
        values.extend([(json!(maximum), false), (json!(maximum + 1), true)]);
    }
    if let Some(minimum) = number("minimum") {
        values.extend([(json!(minimum), false), (json!(minimum - 1), true)]);
    }
    let element = sample(property).unwrap_or_else(|| match resolved(document, &property["items"])["format"].as_str() {
        Some("uuid") => json!("$spare_case"),
        _ => json!("x"),
    });
    if let Some(length) = property["items"]["maxLength"].as_u64().and_then(|length| usize::try_from(length).ok()) {
        let end = if property["items"]["format"] == "email" { "@x" } else { "" };
        let text = |length: usize| json!(["x".repeat(length - end.len()) + end]);
        values.extend([(text(length), false), (text(length + 1), true)]);
    }
    if let Some(length) = length("maxItems") {
        values.push((json!(vec![element; length + 1]), true));
    }
    if length("minItems").is_some() {
        values.push((json!([]), true));
    }
    values
}

/// The schema behind a reference, or the one that is not null of two.
pub(crate) fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(path) = schema["$ref"].as_str() {
        return document.pointer(path.trim_start_matches('#')).unwrap_or_else(|| panic!("{path} leads nowhere"));
    }
    match schema["oneOf"].as_array() {
        Some(choices) => {
            choices.iter().find(|choice| choice["type"] != "null").map_or(schema, |choice| resolved(document, choice))
        }
        None => schema,
    }
}

/// A good element of a list of objects; none if it is another list, or none at all.
pub(crate) fn sample(property: &Value) -> Option<Value> {
    let at = "2026-01-17T10:05:05Z";
    let name = property["items"]["$ref"].as_str()?.rsplit('/').next()?;
    Some(match name {
        "NewTestStepResult" => json!({"step_number": 7, "action": "click", "status": "passed"}),
        "NewCheckpointResult" => json!({"checkpoint_name": "C", "checkpoint_type": "element", "status": "passed"}),
        "NewScriptResult" => json!({"script_name": "s", "script_type": "on_demand", "status": "passed"}),
        "NewConsoleLog" => json!({"log_level": "info", "message": "m", "timestamp": at}),
        "NewNetworkLog" => json!({"url": "u", "method": "GET", "timestamp": at}),
        "NewTestCase" => json!({"name": "N", "external_key": "k"}),
        "EventType" => json!("run.created"),
        other => panic!("no sample of {other}; add one here"),
    })
}
