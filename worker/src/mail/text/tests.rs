use rstest::rstest;

use super::*;

#[rstest]
#[case::plain("Nightly", "Nightly")]
#[case::breaks("a\r\nBcc: evil@example.com\n\n b", "a Bcc: evil@example.com b")]
#[case::controls("a\u{0}b\u{7}c\u{85}d\u{2028}e\tf", "a b c d e f")]
#[case::blanks_at_the_ends("  \t a  b \r\n", "a b")]
#[case::colours("\u{1b}[31mexpected\u{1b}[39m 1", "expected 1")]
#[case::colour_without_an_end("a\u{1b}[31", "a")]
#[case::lone_escape("a\u{1b}b", "ab")]
#[case::direction("abc\u{202e}fed\u{2066}", "abcfed")]
#[case::other_scripts("Überprüfung テスト 🚀", "Überprüfung テスト 🚀")]
fn text_becomes_one_clean_line(#[case] text: &str, #[case] line: &str) {
    assert_eq!(one_line(text, 100), line);
}

#[rstest]
#[case("abcde", 5, "abcde")]
#[case("abcdef", 5, "abcd…")]
#[case("abc def", 5, "abc…")]
#[case("abcde   \n", 5, "abcde")]
#[case("ääääää", 5, "ääää…")]
#[case("🚀🚀🚀", 2, "🚀…")]
fn long_lines_are_cut_at_characters(#[case] text: &str, #[case] limit: usize, #[case] line: &str) {
    assert_eq!(one_line(text, limit), line);
    assert!(one_line(text, limit).chars().count() <= limit);
}

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

#[rstest]
#[case(-5, "0 ms")]
#[case(0, "0 ms")]
#[case(999, "999 ms")]
#[case(1_000, "1.0 s")]
#[case(59_999, "59.9 s")]
#[case(60_000, "1 min 0 s")]
#[case(925_000, "15 min 25 s")]
#[case(3_599_999, "59 min 59 s")]
#[case(3_600_000, "1 h 0 min")]
#[case(90_000_000, "1 d 1 h")]
fn durations_read_well(#[case] milliseconds: i64, #[case] text: &str) {
    assert_eq!(duration(milliseconds), text);
}
