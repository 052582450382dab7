//! Secrets that clients send along are masked before they are stored (decisions, Every endpoint).

use serde_json::Value;

/// What stands in place of a secret.
pub const MASK: &str = "********";

const SECRET_WORDS: &[&str] =
    &["password", "passwd", "passphrase", "pwd", "secret", "token", "api_key", "apikey", "credential"];
const SECRET_HEADERS: &[&str] =
    &["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token"];

/// Masks what was typed into a password field, which the selector gives away.
#[must_use]
pub fn input_value(selector: Option<&str>, value: Option<String>) -> Option<String> {
    if selector.is_some_and(is_secret) { value.map(|_| MASK.to_owned()) } else { value }
}

/// Masks the values under password-like keys, at any depth.
#[must_use]
pub fn data_row(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(key, value)| {
                    let value = if is_secret(&key) && !value.is_null() { MASK.into() } else { data_row(value) };
                    (key, value)
                })
                .collect(),
        ),
        Value::Array(rows) => Value::Array(rows.into_iter().map(data_row).collect()),
        other => other,
    }
}

/// Masks headers that carry credentials, given as an object or as a list of `{name, value}`.
#[must_use]
pub fn headers(value: Value) -> Value {
    match value {
        Value::Object(mut fields) => {
            let names_secret = fields.get("name").and_then(Value::as_str).is_some_and(is_secret_header);
            for (key, value) in &mut fields {
                if is_secret_header(key) || (names_secret && key == "value") {
                    *value = MASK.into();
                }
            }
            Value::Object(fields)
        }
        Value::Array(rows) => Value::Array(rows.into_iter().map(headers).collect()),
        other => other,
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

fn is_secret_header(name: &str) -> bool {
    SECRET_HEADERS.iter().any(|header| name.eq_ignore_ascii_case(header))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn password_fields_are_masked_and_others_are_not() {
        assert_eq!(input_value(Some("#Password"), Some("hunter2".into())).as_deref(), Some(MASK));
        assert_eq!(input_value(Some("#name"), Some("Ada".into())).as_deref(), Some("Ada"));
        assert_eq!(input_value(Some("#password"), None), None);
    }

    #[test]
    fn password_like_keys_are_masked_at_any_depth() {
        let row = json!({"username": "ada", "password": "x", "nested": [{"apiToken": 7, "ok": true}], "secret": null});
        assert_eq!(
            data_row(row),
            json!({"username": "ada", "password": MASK, "nested": [{"apiToken": MASK, "ok": true}], "secret": null})
        );
    }

    #[test]
    fn credentials_in_headers_are_masked_in_both_shapes() {
        assert_eq!(headers(json!({"Cookie": "a=b", "Accept": "*/*"})), json!({"Cookie": MASK, "Accept": "*/*"}));
        assert_eq!(
            headers(json!([{"name": "Authorization", "value": "Bearer x"}])),
            json!([{"name": "Authorization", "value": MASK}])
        );
    }
}
