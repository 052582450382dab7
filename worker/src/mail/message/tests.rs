use mailparse::{MailHeaderMap, ParsedMail, parse_mail};
use rstest::rstest;

use super::*;
use crate::mail::{
    FailedTest, NoticeSchedule, RunEnd, RunNotice,
    sample::{MESSAGE_ID, after_failures, at, failed, mail_to, passed},
};

const TO: &str = "team@example.com";

fn bytes(notice: &RunNotice) -> Vec<u8> {
    mail_to(TO, notice).formatted()
}

fn header(mail: &ParsedMail<'_>, name: &str) -> String {
    let values = mail.headers.get_all_values(name);
    assert_eq!(values.len(), 1, "{name}: {values:?}");
    values[0].clone()
}

/// The text part and the HTML part.
fn bodies(notice: &RunNotice) -> [String; 2] {
    let raw = bytes(notice);
    let mail = parse_mail(&raw).unwrap();
    assert_eq!(mail.ctype.mimetype, "multipart/alternative");
    assert_eq!(mail.subparts.len(), 2);
    ["text/plain", "text/html"].map(|mimetype| {
        // In order of increasing faithfulness (RFC 2046, 5.1.4): the text first.
        let part = &mail.subparts[usize::from(mimetype == "text/html")];
        assert_eq!(part.ctype.mimetype, mimetype);
        assert_eq!(part.ctype.charset, "utf-8");
        part.get_body().unwrap()
    })
}

#[test]
fn headers_are_complete() {
    let raw = bytes(&failed());
    let mail = parse_mail(&raw).unwrap();
    assert_eq!(header(&mail, "Message-ID"), MESSAGE_ID);
    assert_eq!(header(&mail, "Date"), "Sun, 22 Nov 2026 02:15:29 +0000");
    assert_eq!(header(&mail, "From"), "Testrun <ci@testrun.example.com>");
    assert_eq!(header(&mail, "To"), TO);
    assert_eq!(header(&mail, "Subject"), "FAILED 3/120: Nightly Regression #42");
    assert_eq!(header(&mail, "Auto-Submitted"), "auto-generated");
    assert_eq!(header(&mail, "MIME-Version"), "1.0");
}

#[test]
fn all_mails_of_a_schedule_are_one_thread() {
    let thread = "<schedule.00000000-0000-0000-0000-000000000005@testrun.example.com>";
    for notice in [failed(), passed()] {
        let raw = bytes(&notice);
        let mail = parse_mail(&raw).unwrap();
        assert_eq!([header(&mail, "In-Reply-To"), header(&mail, "References")], [thread, thread]);
        assert_ne!(header(&mail, "Message-ID"), thread);
    }
    let raw = bytes(&RunNotice { schedule: None, ..failed() });
    let mail = parse_mail(&raw).unwrap();
    for name in ["In-Reply-To", "References"] {
        assert_eq!(mail.headers.get_all_values(name), Vec::<String>::new());
    }
}

#[rstest]
#[case::https(Some("https://testrun.example.com/api/v1/unsubscribe/9"), true)]
#[case::http(Some("http://127.0.0.1:8080/api/v1/unsubscribe/9"), false)]
#[case::no_address(None, false)]
fn one_click_is_promised_where_it_can_be_kept(#[case] url: Option<&str>, #[case] one_click: bool) {
    let notice = RunNotice { unsubscribe_url: url.map(|url| url.parse().unwrap()), ..failed() };
    let raw = bytes(&notice);
    let mail = parse_mail(&raw).unwrap();
    let wanted: Vec<String> = url.iter().map(|url| format!("<{url}>")).collect();
    assert_eq!(mail.headers.get_all_values("List-Unsubscribe"), wanted);
    let wanted: &[&str] = if one_click { &["List-Unsubscribe=One-Click"] } else { &[] };
    assert_eq!(mail.headers.get_all_values("List-Unsubscribe-Post"), wanted);
    for body in bodies(&notice) {
        assert_eq!(body.contains("Unsubscribe from the mails of this schedule"), url.is_some(), "{body}");
        assert!(url.is_none_or(|url| body.contains(url)), "{body}");
    }
}

#[test]
fn without_an_address_of_the_service_the_mail_has_no_links_and_still_names_the_run() {
    let notice = RunNotice { run_url: None, report_url: None, unsubscribe_url: None, ..failed() };
    for body in bodies(&notice) {
        assert!(!body.contains("http") && !body.contains("href"), "{body}");
        assert!(body.contains("00000000-0000-0000-0000-000000000007"), "{body}");
    }
}

#[test]
fn the_first_line_tells_how_it_went_before() {
    for (notice, expected) in [
        (after_failures(3, failed()), "3 of 120 tests failed, still failing (4th run)"),
        (after_failures(2, passed()), "All 120 tests passed, recovered after 2 failed runs"),
    ] {
        let [text, html] = bodies(&notice);
        assert_eq!(text.lines().next(), Some(expected));
        assert!(html.contains(&format!(">{expected}</div>")), "{html}");
    }
}

#[test]
fn both_parts_tell_the_run() {
    for body in bodies(&failed()) {
        for fact in [
            "3 of 120 tests failed",
            "Nightly Regression #42",
            "Web shop",
            "Nightly",
            "95 %",
            "15 min 25 s",
            "2026-11-22 02:00:03 UTC",
            "2026-11-22 02:15:28 UTC",
            "Checkout with an expired card",
            "at checkout.spec.ts:41:7",
            "Log out",
            "and 1 more",
            "https://testrun.example.com/api/v1/test-runs/7",
            "https://testrun.example.com/api/v1/test-runs/7/report",
        ] {
            assert!(body.contains(fact), "{fact} is missing in:\n{body}");
        }
        assert!(!body.contains("Reason"), "{body}");
    }
}

#[test]
fn the_text_part_reads_well() {
    let expected = "\
3 of 120 tests failed
Nightly Regression #42

Status:    completed
Tests:     114 passed, 3 failed, 2 skipped, 1 not run; 120 in total
Pass rate: 95 %
Duration:  15 min 25 s
Started:   2026-11-22 02:00:03 UTC
Ended:     2026-11-22 02:15:28 UTC
Project:   Web shop
Schedule:  Nightly
Run id:    00000000-0000-0000-0000-000000000007

Failed tests

1. Checkout with an expired card
   TimeoutError: locator('#pay') not visible
   at checkout.spec.ts:41:7

2. Log out

and 1 more

Run:       https://testrun.example.com/api/v1/test-runs/7
Report:    https://testrun.example.com/api/v1/test-runs/7/report
These two are for programs: they answer requests with an API token only.

--\x20
The schedule named above reports failures to this address.
Unsubscribe from the mails of this schedule: https://testrun.example.com/api/v1/unsubscribe/9
";
    assert_eq!(bodies(&failed())[0].replace("\r\n", "\n"), expected);
}

#[test]
fn an_infrastructure_failure_tells_its_reason() {
    let reason = "No sign of life from the client for 30 min";
    let notice = RunNotice {
        end: RunEnd::Failed,
        failure_reason: Some(reason.to_owned()),
        schedule: None,
        started_at: None,
        report_url: None,
        unsubscribe_url: None,
        failures: Vec::new(),
        ..failed()
    };
    for body in bodies(&notice) {
        assert!(body.contains(reason) && body.contains("The run could not be carried out"), "{body}");
        for absent in ["Schedule", "Started", "report", "Failed tests", "None"] {
            assert!(!body.contains(absent), "{absent} in:\n{body}");
        }
    }
}

#[test]
fn a_passed_run_has_no_list_of_failures() {
    for body in bodies(&passed()) {
        assert!(body.contains("All 120 tests passed"), "{body}");
        assert!(!body.contains("Failed tests") && !body.contains(" more"), "{body}");
    }
}

#[test]
fn html_loads_nothing_and_is_made_for_small_and_dark_screens() {
    let [_, html] = bodies(&failed());
    for loader in ["<img", "<link", "<script", "@import", "url(", "src="] {
        assert!(!html.contains(loader), "{loader} in:\n{html}");
    }
    for wanted in ["max-width:600px", "width=device-width", "prefers-color-scheme: dark", r#"content="light dark""#] {
        assert!(html.contains(wanted), "{wanted} is missing in:\n{html}");
    }
    assert_eq!(html.matches("<table").count(), html.matches("</table>").count());
    assert_eq!(html.matches("<td").count(), html.matches("</td>").count());
    assert_eq!(html.matches("<div").count(), html.matches("</div>").count());
}

const HOSTILE: &str = "x\"'><script>alert(1)</script>&\r\nBcc: evil@example.com\r\n\r\n\u{0}<b>\u{202e}";

fn hostile() -> RunNotice {
    RunNotice {
        project_name: HOSTILE.to_owned(),
        run_name: HOSTILE.to_owned(),
        schedule: failed().schedule.map(|schedule| NoticeSchedule { name: HOSTILE.to_owned(), ..schedule }),
        failure_reason: Some(HOSTILE.to_owned()),
        failures: vec![FailedTest { test_case_name: HOSTILE.to_owned(), error_message: Some(HOSTILE.to_owned()) }],
        ..failed()
    }
}

#[test]
fn names_cannot_add_headers_or_markup() {
    let raw = bytes(&hostile());
    let mail = parse_mail(&raw).unwrap();
    let mut names: Vec<String> = mail.headers.iter().map(mailparse::MailHeader::get_key).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "Auto-Submitted",
            "Content-Type",
            "Date",
            "From",
            "In-Reply-To",
            "List-Unsubscribe",
            "List-Unsubscribe-Post",
            "MIME-Version",
            "Message-ID",
            "References",
            "Subject",
            "To"
        ]
    );
    let subject = header(&mail, "Subject");
    assert!(subject.contains("</script>& Bcc: evil@example.com <b> #42"), "{subject}");

    let [text, html] = bodies(&hostile());
    for markup in ["<script", "<b>", "x\"'"] {
        assert!(!html.contains(markup), "{html}");
    }
    assert_eq!(html.matches("&#60;script&#62;").count(), 7, "{html}");
    for body in [text, html] {
        assert!(!body.contains(['\u{0}', '\u{202e}']), "{body}");
        assert!(body.lines().all(|line| !line.starts_with("Bcc:")), "{body}");
    }
}

#[rstest]
#[case::empty("")]
#[case::no_at("team")]
#[case::two("a@example.com, b@example.com")]
#[case::named("Team <team@example.com>")]
#[case::header("team@example.com\r\nBcc: evil@example.com")]
#[case::header_in_front("Bcc: evil@example.com\r\nteam@example.com")]
#[case::quoted_break("\"a\r\nBcc: b\"@example.com")]
#[case::nul("te\u{0}am@example.com")]
#[case::angle("team@example.com>")]
fn what_is_no_address_is_refused(#[case] to: &str) {
    let from = "ci@testrun.example.com".parse().unwrap();
    let error = message(&failed(), to, &from, MESSAGE_ID, at("2026-11-22T02:15:29Z")).unwrap_err();
    assert!(matches!(error, MessageError::Recipient(..)), "{error}");
}

#[rstest]
#[case::bare("id@example.com")]
#[case::no_domain("<id>")]
#[case::empty_id("<@example.com>")]
#[case::empty_domain("<id@>")]
#[case::two_ats("<a@b@example.com>")]
#[case::header("<id@example.com>\r\nBcc: <evil@example.com>")]
#[case::inner_break("<id\r\n@example.com>")]
#[case::blank("<i d@example.com>")]
#[case::foreign("<ïd@example.com>")]
#[case::long(&format!("<{}@example.com>", "i".repeat(300)))]
fn malformed_message_ids_are_refused(#[case] message_id: &str) {
    let from = "ci@testrun.example.com".parse().unwrap();
    let error = message(&failed(), TO, &from, message_id, at("2026-11-22T02:15:29Z")).unwrap_err();
    assert!(matches!(error, MessageError::MessageId(_)), "{error}");
}

#[test]
fn no_line_is_longer_than_smtp_allows_and_all_is_ascii() {
    let long = FailedTest { test_case_name: "ö".repeat(500), error_message: Some("x".repeat(5000)) };
    let notice = RunNotice { run_name: "w".repeat(255), failures: vec![long; 10], ..failed() };
    let raw = bytes(&notice);
    assert!(raw.is_ascii());
    for line in raw.split(|byte| *byte == b'\n') {
        // RFC 5322, 2.1.1: 998 characters without CRLF.
        assert!(line.len() <= 999, "{}", String::from_utf8_lossy(line));
    }
    assert!(raw.windows(2).all(|pair| pair[1] != b'\n' || pair[0] == b'\r'), "every line ends with CRLF");
}

#[test]
fn subjects_survive_folding_and_encoding_at_every_length() {
    for words in
        [["lorem ", "ipsum "], ["löre ", "ipsum "], ["ключ ", "テスト "], ["🚀", "a "], ["wwwwwwwwwwwwwwww", "ä"]]
    {
        for length in 1..130 {
            let name: String = words.concat().chars().cycle().take(length).collect();
            let notice = RunNotice { run_name: name.clone(), ..passed() };
            let raw = bytes(&notice);
            let mail = parse_mail(&raw).unwrap();
            let expected = format!("PASSED 120/120: {} #42", testrun_shared::text::one_line(&name, 120));
            assert_eq!(header(&mail, "Subject"), expected, "{}", String::from_utf8_lossy(&raw));
        }
    }
}

#[test]
fn names_of_all_scripts_arrive_in_both_parts() {
    let name = "Überprüfung – テスト 🚀 «проверка»";
    let notice = RunNotice { run_name: name.to_owned(), project_name: "Prüfstand".to_owned(), ..failed() };
    for body in bodies(&notice) {
        assert!(body.contains(name) && body.contains("Prüfstand"), "{body}");
    }
}
