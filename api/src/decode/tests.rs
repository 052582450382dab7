use serde::Deserialize;
use testrun_shared::domain::test_run_result::ResultStatus;
use uuid::Uuid;

use super::*;

#[derive(Debug, Deserialize, Validate)]
#[garde(allow_unvalidated)]
#[expect(dead_code, reason = "only decoded")]
struct Body {
    id: Uuid,
    status: ResultStatus,
    #[garde(range(min = 1))]
    count: Option<i32>,
    #[garde(length(min = 1))]
    name: Option<String>,
    at: Option<chrono::DateTime<chrono::Utc>>,
    #[serde(default)]
    #[garde(dive)]
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize, Validate)]
#[garde(allow_unvalidated)]
#[expect(dead_code, reason = "only decoded")]
struct Row {
    number: i32,
    flag: bool,
    #[garde(length(min = 1))]
    text: String,
}

/// The names of what is wrong, sorted.
fn wrong(text: &str) -> Vec<String> {
    let mut names: Vec<_> = decode::<Body>(text.as_bytes()).err().into_iter().flatten().map(|e| e.field).collect();
    names.sort_unstable();
    names
}

const GOOD: &str = r#""id": "00000000-0000-0000-0000-000000000001", "status": "passed""#;

#[test]
fn a_good_body_has_no_wrong_fields() {
    assert_eq!(wrong(&format!(r#"{{{GOOD}, "rows": [{{"number": 1, "flag": true, "text": "x"}}]}}"#)), [""; 0]);
}

#[test]
fn missing_fields_and_wrong_types_and_broken_rules_are_named_together() {
    assert_eq!(wrong("{}"), ["id", "status"]);
    assert_eq!(wrong(r#"{"id": 5, "status": "bogus", "count": "x", "at": "soon"}"#), ["at", "count", "id", "status"]);
    assert_eq!(wrong(r#"{"status": [], "count": 0, "name": ""}"#), ["count", "id", "name", "status"]);
    let rows = r#""rows": [{"number": "x", "text": ""}, {"number": 2, "flag": 3, "text": "x"}]"#;
    let expected = ["count", "rows[0].flag", "rows[0].number", "rows[0].text", "rows[1].flag"];
    assert_eq!(wrong(&format!(r#"{{{GOOD}, {rows}, "count": 0}}"#)), expected);
}

#[test]
fn a_row_that_is_none_is_named_itself() {
    assert_eq!(wrong(&format!(r#"{{{GOOD}, "rows": [5, {{"number": 1, "flag": true, "text": "x"}}]}}"#)), ["rows[0]"]);
    assert_eq!(wrong(&format!(r#"{{{GOOD}, "rows": 5, "count": 0}}"#)), ["count", "rows"]);
}

#[test]
fn a_double_field_is_named_and_the_search_goes_on() {
    assert_eq!(wrong(&format!(r#"{{{GOOD}, "count": 1, "count": 2, "name": 7}}"#)), ["count", "name"]);
}

#[test]
fn what_is_no_object_or_ends_too_early_is_the_body() {
    for text in
        ["", " ", "null", "[]", "5", "{", r#"{"id": "#, r#"{"rows": [{"number": 1"#, &format!("{{{GOOD}}} {{}}")]
    {
        assert_eq!(wrong(text), ["body"], "{text}");
    }
    assert_eq!(
        decode::<Body>(b"{\"x\": \"\xff\"}").err().map(|errors| errors[0].message.clone()),
        Some("Must be UTF-8".into())
    );
}

#[test]
fn nul_is_found_wherever_it_is_and_named_beside_broken_rules() {
    assert_eq!(wrong(&format!(r#"{{{GOOD}, "name": "\u0000", "count": 0}}"#)), ["count", "name"]);
    assert_eq!(
        wrong(&format!(r#"{{{GOOD}, "unknown": {{"a": ["x", "\u0000"], "b\u0000": 1}}}}"#)),
        ["unknown.a[1]", "unknown.b\u{fffd}"]
    );
    assert_eq!(wrong(&format!(r#"{{{GOOD}, "name": "\\u0000"}}"#)), [""; 0], "a backslash and a word are no NUL");
}

#[test]
fn messages_do_not_name_types_of_ours() {
    let errors = decode::<Body>(format!(r#"{{{GOOD}, "rows": [5]}}"#).as_bytes()).expect_err("a row of 5");
    assert_eq!(errors[0].message, "Invalid type: integer `5`, expected an object");
}

#[test]
fn any_text_is_answered() {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        "\"id\"",
        ":",
        ",",
        "null",
        "\"rows\"",
        "1e999",
        "\"\\ud800\"",
        "\"\\u0000\"",
        "[[",
        "\"x",
    ];
    let mut state = 1_u32;
    for _ in 0..5_000 {
        let mut text = String::from("{");
        for _ in 0..12 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text += pieces[(state >> 16) as usize % pieces.len()];
        }
        let errors = decode::<Body>(text.as_bytes()).expect_err("none of these has a status");
        assert!(!errors.is_empty(), "{text}");
    }
}
