//! Bodies, from bytes to checked values, naming every wrong field at once.

use std::collections::HashMap;

use garde::Validate;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;
use testrun_shared::error::FieldError;

use crate::error::MAX_ERRORS;

/// Where a larger body cannot be decoded, only its first wrong field is named: looking for more takes time.
const MAX_SEARCHED: usize = 1024 * 1024;
/// How often a body is tried again in search of further wrong fields.
const MAX_TRIES: usize = 64;

/// Decodes a body and checks its type's rules.
///
/// # Errors
/// Every wrong field.
pub(crate) fn decode<T: DeserializeOwned + Validate<Context = ()>>(bytes: &[u8]) -> Result<T, Vec<FieldError>> {
    let body = |message: &str| vec![FieldError::new("body", message)];
    let text = std::str::from_utf8(bytes).map_err(|_| body("Must be UTF-8"))?;
    // serde would take a list of the fields' values as well.
    if !text.trim_start().starts_with('{') {
        return Err(body("Must be a JSON object"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value: T =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| wrong_fields::<T>(text, &error))?;
    deserializer.end().map_err(|_| body("Must be one JSON object"))?;
    let mut errors = nul_errors(text);
    errors.extend(rule_errors(&value));
    if errors.is_empty() { Ok(value) } else { Err(errors) }
}

/// Every rule of the type that was broken, with the path of its field.
fn rule_errors<T: Validate<Context = ()>>(value: &T) -> Vec<FieldError> {
    let report = value.validate().err();
    let errors = report.iter().flat_map(garde::Report::iter);
    errors.map(|(path, error)| FieldError::new(path.to_string(), error.to_string())).collect()
}

/// A field that cannot be decoded.
struct Undecodable {
    path: Vec<Step>,
    message: String,
    /// The field occurs twice, which is seen in the text only.
    is_double: bool,
}

/// One step of the way to a field.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Step {
    Field(String),
    Element(usize),
}

impl Undecodable {
    /// Names the field in a decoding error. serde puts the name of a missing or double field into the message only.
    fn new(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let steps = error.path().iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Element(*index)),
            Segment::Map { key } => Some(Step::Field(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        let message = error.inner().to_string();
        let message = message.split(" at line ").next().unwrap_or(&message);
        let named = |kind: &str| message.strip_prefix(kind).and_then(|rest| rest.strip_suffix('`'));
        let (missing, double) = (named("missing field `"), named("duplicate field `"));
        // A text that ends too early says nothing of the field that it ends in.
        let path: Vec<Step> = if error.inner().is_eof() { Vec::new() } else { steps.collect() };
        Self {
            path: path.into_iter().chain(missing.or(double).map(|name| Step::Field(name.to_owned()))).collect(),
            message: match (missing, double) {
                (Some(_), _) => "Is required".to_owned(),
                (_, Some(_)) => "Must be given once".to_owned(),
                _ => capitalised(&without_type_names(message)),
            },
            is_double: double.is_some(),
        }
    }

    fn into_error(self) -> FieldError {
        FieldError { field: name(&self.path), message: self.message }
    }
}

/// What we call a type in Rust is none of the client's business.
fn without_type_names(message: &str) -> String {
    let known = message.split_once("expected struct ");
    known.map_or_else(|| message.to_owned(), |(before, _)| format!("{before}expected an object"))
}

fn name(path: &[Step]) -> String {
    let mut name = String::new();
    for step in path {
        match step {
            Step::Field(field) if name.is_empty() => name.push_str(field),
            Step::Field(field) => name += &format!(".{field}"),
            Step::Element(index) => name += &format!("[{index}]"),
        }
    }
    if name.is_empty() { "body".to_owned() } else { name }
}

/// Every field that cannot be decoded, and every rule that the others break: what is wrong is replaced by a stand-in and
/// the body tried again, as long as that leads on.
fn wrong_fields<T: DeserializeOwned + Validate<Context = ()>>(
    text: &str,
    first: &serde_path_to_error::Error<serde_json::Error>,
) -> Vec<FieldError> {
    let first = Undecodable::new(first);
    let body = if text.len() <= MAX_SEARCHED { serde_json::from_str(text).ok() } else { None };
    let Some(mut body) = body else { return vec![first.into_error()] };
    // Stand-ins take the place of what is there.
    let nul = nul_errors(text);
    let mut stand_ins: HashMap<Vec<Step>, usize> = HashMap::new();
    let mut errors = Vec::new();
    let mut next = first;
    for _ in 0..MAX_TRIES {
        if !next.is_double {
            let tried = stand_ins.entry(next.path.clone()).and_modify(|tried| *tried += 1).or_default();
            let Some(stand_in) = stand_in(*tried, &next.message) else { return errors };
            if *tried == 0 {
                errors.push(FieldError::new(name(&next.path), next.message));
            }
            if !put(&mut body, &next.path, stand_in) {
                return errors;
            }
        } else {
            errors.push(next.into_error());
        }
        match serde_path_to_error::deserialize::<_, T>(&body) {
            Ok(value) => {
                let replaced: Vec<String> = stand_ins.keys().map(|path| name(path)).collect();
                let is_ours = |error: &FieldError| {
                    replaced.iter().any(|field| is_within(&error.field, field) || is_within(field, &error.field))
                };
                errors.extend(nul.into_iter().chain(rule_errors(&value)).filter(|error| !is_ours(error)));
                return errors;
            }
            Err(error) => next = Undecodable::new(&error),
        }
    }
    errors
}

fn is_within(field: &str, outer: &str) -> bool {
    field.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Something for a field that nothing is known of; the message tells an enum's values.
fn stand_in(tried: usize, message: &str) -> Option<Value> {
    let variant = || message.split_once("expected ").and_then(|(_, names)| names.split('`').nth(1)).map(Value::from);
    match tried {
        0 => Some(Value::Null),
        1 => Some("".into()),
        2 => Some(variant().unwrap_or_else(|| 1.into())),
        3 => Some(1.into()),
        4 => Some(false.into()),
        5 => Some(Value::Array(Vec::new())),
        6 => Some("00000000-0000-0000-0000-000000000000".into()),
        7 => Some("2000-01-01T00:00:00Z".into()),
        _ => None,
    }
}

/// Puts a value where a path leads; false if it leads nowhere.
fn put(body: &mut Value, path: &[Step], value: Value) -> bool {
    let Some((last, way)) = path.split_last() else { return false };
    let mut place = body;
    for step in way {
        let next = match step {
            Step::Field(name) => place.get_mut(name),
            Step::Element(index) => place.get_mut(index),
        };
        let Some(next) = next else { return false };
        place = next;
    }
    match (last, place) {
        (Step::Field(name), Value::Object(fields)) => {
            fields.insert(name.clone(), value);
            true
        }
        (Step::Element(index), Value::Array(elements)) => {
            elements.get_mut(*index).map(|element| *element = value).is_some()
        }
        _ => false,
    }
}

/// A decoder's message as a sentence.
pub(crate) fn capitalised(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// PostgreSQL cannot store NUL, neither in text nor in JSON; one anywhere in the body refuses it, naming the place.
fn nul_errors(text: &str) -> Vec<FieldError> {
    if !text.contains(r"\u0000") {
        return Vec::new();
    }
    // Fields that nobody knows were passed over so far, and may hold what cannot be decoded.
    match serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text)) {
        Ok(value) => {
            let mut errors = Vec::new();
            find_nul(&value, "", &mut errors);
            errors
        }
        Err(error) => vec![Undecodable::new(&error).into_error()],
    }
}

fn find_nul(value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let refuse = |path: &str| FieldError::new(path, "Must not contain the NUL character");
    match value {
        _ if errors.len() >= MAX_ERRORS => {}
        Value::String(text) if text.contains('\0') => errors.push(refuse(path)),
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                find_nul(element, &format!("{path}[{index}]"), errors);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let separator = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{separator}{}", name.replace('\0', "\u{fffd}"));
                if name.contains('\0') {
                    errors.push(refuse(&path));
                }
                find_nul(field, &path, errors);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
