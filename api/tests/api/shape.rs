//! Comparing an answer with an example of the specification.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use uuid::Uuid;

/// What in `actual` differs from `example`: every field that it shows has to be there, with its JSON type and, unless it
/// is among `undetermined`, its value. Where the example has a stand-in for an id, any UUID will do; for an instant, any instant.
///
/// Where the example shows a value, `nullable` fields may be null.
pub(crate) fn differences(example: &Value, actual: &Value, undetermined: &[&str], nullable: &[&str]) -> Vec<String> {
    let mut comparison = Comparison { undetermined, nullable, found: Vec::new() };
    comparison.compare("", "", example, actual);
    comparison.found
}

struct Comparison<'a> {
    undetermined: &'a [&'a str],
    nullable: &'a [&'a str],
    found: Vec<String>,
}

impl Comparison<'_> {
    fn compare(&mut self, path: &str, name: &str, example: &Value, actual: &Value) {
        match (example, actual) {
            (Value::Object(example), Value::Object(actual)) => {
                for (name, value) in example {
                    match actual.get(name) {
                        Some(actual) => self.compare(&format!("{path}.{name}"), name, value, actual),
                        None => self.found.push(format!("{path}.{name} is missing")),
                    }
                }
            }
            (Value::Array(example), Value::Array(actual)) => {
                if actual.len() < example.len() && !self.undetermined.contains(&name) {
                    self.found.push(format!("{path}: {} elements instead of {}", actual.len(), example.len()));
                }
                for (index, (example, actual)) in example.iter().zip(actual).enumerate() {
                    self.compare(&format!("{path}[{index}]"), name, example, actual);
                }
            }
            (example, Value::Null) if self.nullable.contains(&name) || example.is_null() => {}
            (Value::Null, _) => {}
            (example, actual) => {
                if !self.equal(name, example, actual) {
                    self.found.push(format!("{path}: {actual} instead of {example}"));
                }
            }
        }
    }

    fn equal(&self, name: &str, example: &Value, actual: &Value) -> bool {
        match (example, actual) {
            (Value::Number(example), Value::Number(actual)) => {
                self.undetermined.contains(&name) || example.as_f64() == actual.as_f64()
            }
            (Value::Bool(_), Value::Bool(_)) => self.undetermined.contains(&name) || example == actual,
            (Value::String(example), Value::String(actual)) => {
                if is_instant(example) {
                    return is_instant(actual);
                }
                if example == "uuid" || (example.contains("-uuid") && Uuid::parse_str(example).is_err()) {
                    return Uuid::parse_str(actual).is_ok();
                }
                self.undetermined.contains(&name) || example == actual
            }
            _ => false,
        }
    }
}

/// Whether the text is an RFC 3339 instant in UTC with `Z`.
pub(crate) fn is_instant(text: &str) -> bool {
    text.ends_with('Z') && text.parse::<DateTime<Utc>>().is_ok()
}

/// Where the fields of `actual` come in another order than those of `example`. Both are JSON texts.
pub(crate) fn disorder(example: &str, actual: &[u8]) -> Vec<String> {
    let example: Fields = serde_json::from_str(example).expect("the example is JSON");
    let actual: Fields = serde_json::from_slice(actual).expect("the answer is JSON");
    let mut found = Vec::new();
    compare_order("", &example, &actual, &mut found);
    found
}

fn compare_order(path: &str, example: &Fields, actual: &Fields, found: &mut Vec<String>) {
    match (example, actual) {
        (Fields::Object(example), Fields::Object(actual)) => {
            let names = |fields: &[(String, Fields)], others: &[(String, Fields)]| -> Vec<String> {
                let in_both = |name: &String| others.iter().any(|(other, _)| other == name);
                fields.iter().map(|(name, _)| name.clone()).filter(in_both).collect()
            };
            let (wanted, got) = (names(example, actual), names(actual, example));
            if wanted != got {
                found.push(format!("{path}: the order is {got:?} instead of {wanted:?}"));
            }
            for (name, value) in example {
                if let Some((_, other)) = actual.iter().find(|(other, _)| other == name) {
                    compare_order(&format!("{path}.{name}"), value, other, found);
                }
            }
        }
        (Fields::List(example), Fields::List(actual)) => {
            for (index, (example, actual)) in example.iter().zip(actual).enumerate() {
                compare_order(&format!("{path}[{index}]"), example, actual, found);
            }
        }
        _ => {}
    }
}

/// The fields of a JSON text in their order, which `Value` does not keep.
enum Fields {
    Object(Vec<(String, Fields)>),
    List(Vec<Fields>),
    Leaf,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Order;
        impl<'de> Visitor<'de> for Order {
            type Value = Fields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields::Object(fields))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Fields, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Fields::List(elements))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Fields, E> {
                Ok(Fields::Leaf)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Fields, E> {
                Ok(Fields::Leaf)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Fields, E> {
                Ok(Fields::Leaf)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Fields, E> {
                Ok(Fields::Leaf)
            }
            fn visit_str<E>(self, _: &str) -> Result<Fields, E> {
                Ok(Fields::Leaf)
            }
            fn visit_unit<E>(self) -> Result<Fields, E> {
                Ok(Fields::Leaf)
            }
        }
        deserializer.deserialize_any(Order)
    }
}

#[test]
fn a_missing_field_a_wrong_type_a_wrong_value_and_a_wrong_order_are_all_found() {
    let example =
        serde_json::json!({"id": "run-uuid-1", "n": 1, "at": "2026-01-17T10:00:00Z", "s": "x", "list": [1, 2]});
    let good = serde_json::json!({"id": Uuid::nil(), "n": 1.0, "at": "2030-01-01T00:00:00Z", "s": "x", "list": [1, 2]});
    assert_eq!(differences(&example, &good, &[], &[]), Vec::<String>::new());
    let bad = serde_json::json!({"id": "x", "n": "1", "at": "2030-01-01T00:00:00+00:00", "list": [1]});
    assert_eq!(differences(&example, &bad, &[], &[]).len(), 5);
    assert_eq!(differences(&example, &good, &["n"], &["s"]).len(), 0);
    assert_eq!(disorder(r#"{"a":1,"b":{"c":[],"d":2}}"#, br#"{"x":0,"a":1,"b":{"d":2,"c":[]}}"#).len(), 1);
}
