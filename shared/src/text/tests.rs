use rstest::rstest;

use super::*;

#[rstest]
#[case::plain("Nightly", "Nightly")]
#[case::header("a\r\nBcc: evil@example.com\n\n b", "a Bcc: evil@example.com b")]
#[case::breaks("a\r\nb\n\n c\u{2028}d\u{85}e", "a b c d e")]
#[case::controls("a\u{7}b\u{0}c\td", "a b c d")]
#[case::blanks_at_the_ends("  \t a  b \r\n", "a b")]
#[case::colours("\u{1b}[31mexpected\u{1b}[39;49m 1 \u{9b}1mbold\u{9b}0m", "expected 1 bold")]
#[case::colour_without_an_end("a\u{1b}[31", "a")]
#[case::colour_that_is_none("a\u{1b}[31Über", "aÜber")]
#[case::character_set("a\u{1b}(Bb", "ab")]
#[case::lone_escape("a\u{1b}b\u{1b}", "ab")]
#[case::link("\u{1b}]8;;https://evil.example\u{1b}\\name\u{1b}]8;;\u{7}", "name")]
#[case::link_without_an_end("a\u{1b}]8;;text", "a8;;text")]
#[case::direction("abc\u{202e}fed\u{2066}", "abcfed")]
#[case::other_scripts("Überprüfung テスト 🚀 שלום", "Überprüfung テスト 🚀 שלום")]
#[case::markup_is_left_to_the_template("<b>&amp;", "<b>&amp;")]
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
}

#[test]
fn an_unended_sequence_swallows_a_bounded_part_and_costs_linear_time() {
    let text = "\u{1b}]".repeat(100_000);
    assert_eq!(one_line(&text, 10), "");
    let text = format!("\u{1b}]{}\u{7}end", "x".repeat(LONGEST_SEQUENCE));
    assert!(one_line(&text, 5_000).ends_with("x end"), "too far away to be the sequence's end");
}

#[test]
fn excerpts_keep_the_shape_of_a_message_and_tell_of_more() {
    let message = "\n\nError: no  \r\n\r\n  \u{1b}[2mat a\u{1b}[22m\n\n";
    assert_eq!(excerpt(message, 10), Excerpt { text: "Error: no\n\n  at a".to_owned(), is_cut: false });
    assert_eq!(excerpt("a\nb\nc", 2), Excerpt { text: "a\nb".to_owned(), is_cut: true });
    assert_eq!(excerpt("a\nb\n\n \n", 2), Excerpt { text: "a\nb".to_owned(), is_cut: false });
    assert_eq!(excerpt(" \n", 2), Excerpt { text: String::new(), is_cut: false });
}

#[rstest]
#[case(-5, "0 ms")]
#[case(999, "999 ms")]
#[case(1_000, "1.0 s")]
#[case(59_999, "59.9 s")]
#[case(925_000, "15 min 25 s")]
#[case(3_600_000, "1 h 0 min")]
#[case(90_000_000, "1 d 1 h")]
fn durations_read_well(#[case] milliseconds: i64, #[case] text: &str) {
    assert_eq!(duration(milliseconds), text);
}
