//! What clients write, and what is read from it.

use chrono_tz::Tz;
use proptest::prelude::*;

use super::{wall, zones};
use crate::domain::recurrence::{ZONE_DATA_VERSION, parse_timezone, parse_wall_clock};

const NEW_YORK: Tz = Tz::America__New_York;

#[test]
fn a_zero_offset_and_none_are_the_wall_clock() {
    for text in [
        "2026-01-18T02:00:00Z",
        "2026-01-18T02:00:00z",
        "2026-01-18T02:00:00+00:00",
        "2026-01-18T02:00:00-00:00",
        "2026-01-18T02:00:00",
        "2026-01-18T02:00",
        "2026-01-18T02:00Z",
        "2026-01-18t02:00:00",
        "2026-01-18 02:00:00Z",
        "2026-01-18T02:00:00.0Z",
        "2026-01-18T02:00:00.999999999999Z",
    ] {
        assert_eq!(parse_wall_clock(text, NEW_YORK), Ok(wall("2026-01-18T02:00:00")), "{text}");
    }
}

#[test]
fn any_other_offset_is_an_instant() {
    for (text, expected) in [
        ("2026-01-18T02:00:00-08:00", "2026-01-18T05:00:00"),
        ("2026-01-18T02:00-05:00", "2026-01-18T02:00:00"),
        ("2026-01-18T02:00:00+05:30", "2026-01-17T15:30:00"),
        ("2026-01-18T02:00:00.25+14:00", "2026-01-17T07:00:00"),
        ("2026-07-18T02:00:00-23:59", "2026-07-18T21:59:00"),
        ("2026-01-18T02:00:00+00:01", "2026-01-17T20:59:00"),
    ] {
        assert_eq!(parse_wall_clock(text, NEW_YORK), Ok(wall(expected)), "{text}");
    }
}

#[test]
fn other_forms_are_refused() {
    for text in [
        "",
        " ",
        "Z",
        "+00:00",
        "T",
        "now",
        "2026-01-18",
        "2026-01-18Z",
        "02:00:00",
        "2026-01-18T02",
        "2026-01-18T02:00:",
        "2026-01-18T2:00:00",
        "2026-1-18T02:00:00",
        "26-01-18T02:00:00",
        "12026-01-18T02:00:00",
        "+2026-01-18T02:00:00",
        "-2026-01-18T02:00:00",
        "2026-01-18T02:00:00 Z",
        " 2026-01-18T02:00:00",
        "2026-01-18T02:00:00ZZ",
        "2026-01-18T02:00:00.Z",
        "2026-01-18T02:00.5",
        "2026-01-18T02:00:00.5.5",
        "2026-01-18T02:00:00,5",
        "2026-01-18T02:00:00+24:00",
        "2026-01-18T02:00:00+05:60",
        "2026-01-18T02:00:00+0530",
        "2026-01-18T02:00:00+05",
        "2026-01-18T02:00:00+05:30Z",
        "2026-01-18T02:00:00 America/New_York",
        "2026-01-18T02:00:00[UTC]",
        "20260118T020000Z",
        "1768701600",
        "２０２６-01-18T02:00:00",
        "2026-01-18T02:00:00−05:00",
        "2026-01-18T02:00:0é",
        "\u{0}",
    ] {
        let message = parse_wall_clock(text, NEW_YORK).unwrap_err();
        assert!(message.starts_with("Must be a date and time such as 2026-01-18T02:00:00"), "{text}: {message}");
    }
    for text in [
        "2026-02-30T02:00:00Z",
        "2026-13-01T02:00:00Z",
        "2026-00-01T02:00:00Z",
        "2026-01-18T24:00:00Z",
        "2026-01-18T02:60:00Z",
        "2026-01-18T02:00:60Z",
        "2026-01-18T02:00:61Z",
    ] {
        assert_eq!(parse_wall_clock(text, NEW_YORK), Err("Must be a date and time that exists".to_owned()), "{text}");
    }
}

#[test]
fn a_zone_is_known_by_its_exact_name() {
    for zone in zones() {
        assert_eq!(parse_timezone(zone.name()), Ok(*zone));
    }
    for text in
        ["", " UTC", "utc", "europe/london", "Europe/london", "Mars/Olympus", "+02:00", "UTC+2", "EDT", "Z", "\u{0}"]
    {
        let message = parse_timezone(text).unwrap_err();
        assert!(message.starts_with("Must be an IANA time zone name"), "{text}: {message}");
    }
    assert_eq!(parse_timezone(&"x".repeat(51)), Err("Must have at most 50 characters".to_owned()));
    assert!(parse_timezone(&"é".repeat(50)).unwrap_err().starts_with("Must be an IANA"));
}

#[test]
fn the_zone_data_have_a_version() {
    assert!(ZONE_DATA_VERSION.len() == 5 && ZONE_DATA_VERSION.starts_with("20"), "{ZONE_DATA_VERSION}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_a_panic(text in prop_oneof![
        r"[-+0-9TZ:. ]{0,30}",
        r"\PC{0,30}",
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}\PC{0,9}",
    ]) {
        if let Ok(read) = parse_wall_clock(&text, NEW_YORK) {
            prop_assert_eq!(read.and_utc().timestamp_subsec_nanos(), 0);
        }
        let _ = parse_timezone(&text);
    }
}
