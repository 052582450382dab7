//! Every field of every body with every kind of JSON that it does not take.

use serde_json::{Value, json};

use crate::app::{App, none_wrong};
use crate::document::{body, document, operations};
use crate::limits::{resolved, sample};
use crate::world::{World, with};

/// A body with one wrong value, as text: some of them are no values of ours.
struct Probe {
    field: String,
    body: String,
}

/// Stands for a value that is put in as text.
const HERE: &str = "-put it here-";

#[tokio::test]
async fn each_field_names_itself_when_its_value_is_of_the_wrong_kind() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let document = document();
    let before = app.contents().await?;
    let (mut wrong, mut count) = (Vec::new(), 0);
    for operation in operations().iter().filter(|operation| operation.has_body()) {
        let schema = &operation.described["requestBody"]["content"]["application/json"]["schema"];
        let good = body(&operation.id).expect("every operation has a body");
        for Probe { field, body } in probes(&document, schema, &good) {
            count += 1;
            let answer = app.send(&operation.method, &operation.path_in(&world), world.fill(&body)).await?;
            let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
            let named = errors.iter().filter_map(|error| error["field"].as_str()).any(|named| {
                named.strip_prefix(field.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
            });
            if answer.status != 400 || !named {
                let shown: String = answer.text().chars().take(200).collect();
                wrong.push(format!("{} {field} {body:.160}: {} {shown}", operation.name(), answer.status));
            }
        }
    }
    none_wrong(&wrong);
    assert!(count > 1_000, "only {count} bodies");
    assert_eq!(app.contents().await?, before);
    Ok(())
}

fn probes(document: &Value, schema: &Value, good: &Value) -> Vec<Probe> {
    let mut probes = Vec::new();
    for (name, property) in resolved(document, schema)["properties"].as_object().into_iter().flatten() {
        let frame = with(good.clone(), &json!({name: HERE})).to_string();
        for bad in bad_values(document, property) {
            probes.push(Probe { field: name.clone(), body: frame.replace(&format!("\"{HERE}\""), &bad) });
        }
        if let Some(sample) = sample(property) {
            for probe in self::probes(document, &property["items"], &sample) {
                let frame = with(good.clone(), &json!({name: [HERE]})).to_string();
                let body = frame.replace(&format!("\"{HERE}\""), &probe.body);
                probes.push(Probe { field: format!("{name}[0].{}", probe.field), body });
            }
        }
    }
    probes
}

/// The kinds of JSON that a property takes; none if it takes all.
fn kinds(document: &Value, property: &Value) -> Vec<String> {
    let choices = property["oneOf"].as_array().map_or_else(|| vec![property], |choices| choices.iter().collect());
    let types = choices.into_iter().map(|choice| &resolved(document, choice)["type"]);
    let types = types.flat_map(|types| types.as_array().cloned().unwrap_or_else(|| vec![types.clone()]));
    types.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

fn bad_values(document: &Value, property: &Value) -> Vec<String> {
    let kinds = kinds(document, property);
    let takes = |kind: &str| kinds.iter().any(|known| known == kind);
    let mut bad: Vec<String> = Vec::new();
    if kinds.is_empty() {
        // Free-form JSON: what PostgreSQL cannot keep.
        return [r#""\u0000""#, r#"{"a": ["\u0000"]}"#, r#"{"\u0000": 1}"#].map(str::to_owned).to_vec();
    }
    let numeric = takes("integer") || takes("number");
    for (kind, value) in
        [("null", "null"), ("boolean", "true"), ("string", r#""text""#), ("array", "[]"), ("object", "{}")]
    {
        if !takes(kind) {
            bad.push(value.to_owned());
        }
    }
    if numeric {
        bad.extend(["1e999", "99999999999999999999999", "-99999999999999999999999", r#""1""#].map(str::to_owned));
    } else {
        bad.extend(["5", "-1.5", "1e300"].map(str::to_owned));
    }
    if takes("integer") {
        bad.extend(["1.5", "1e99"].map(str::to_owned));
    }
    if takes("string") {
        bad.extend([r#""a\u0000b""#, r#""\ud800""#, r#""\udc00 \ud800""#].map(str::to_owned));
        let known = resolved(document, property);
        if known["enum"].is_array() || known["format"] == "uuid" || known["format"] == "date-time" {
            bad.extend([String::from(r#""bogus""#), String::from(r#""""#), format!("\"{}\"", "x".repeat(64 * 1024))]);
        }
    }
    if takes("array") {
        let inside = resolved(document, &property["items"])["type"].as_str().unwrap_or_default().to_owned();
        let elements =
            [("null", "[null]"), ("string", r#"["text", 5]"#), ("integer", r#"[1, "1"]"#), ("object", "[{}, 5]")];
        bad.extend(
            elements.iter().filter(|(kind, _)| *kind == "null" || *kind == inside).map(|(_, bad)| (*bad).to_owned()),
        );
    }
    bad
}
