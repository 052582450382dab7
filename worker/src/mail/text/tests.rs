use super::*;

#[test]
fn excerpts_skip_empty_lines_and_tell_of_more() {
    let message = "Error: no\n\n  \u{1b}[2mat a\u{1b}[22m\r\n\r\n  at b\n";
    assert_eq!(excerpt(message), ["Error: no", "at a", "at b"]);

    let long: String = (0..1000).map(|line| format!("line {line}\n")).collect();
    let quoted = excerpt(&long);
    assert_eq!(quoted.len(), EXCERPT_LINES + 1);
    assert_eq!(quoted.first().map(String::as_str), Some("line 0"));
    assert_eq!(quoted.last().map(String::as_str), Some("…"));

    let wide = excerpt(&"x".repeat(1_000_000));
    assert_eq!(wide.len(), 1);
    assert_eq!(wide[0].chars().count(), EXCERPT_WIDTH);
}
