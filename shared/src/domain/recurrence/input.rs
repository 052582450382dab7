//! Reading what clients write for a schedule's times and zone (scheduling.md, Input).

use chrono::{FixedOffset, NaiveDateTime, Timelike};
use chrono_tz::Tz;

/// The longest zone name that is stored, in characters.
const MAX_ZONE_LENGTH: usize = 50;

const NOT_A_TIME: &str = "Must be a date and time such as 2026-01-18T02:00:00 (wall clock in the timezone) \
                          or 2026-01-18T02:00:00-05:00 (an instant)";

/// Reads a time zone by its exact IANA name, such as `America/New_York`; upper and lower case matter.
///
/// # Errors
/// A message for the client if the name is longer than 50 characters or no zone has it.
pub fn parse_timezone(text: &str) -> Result<Tz, String> {
    if text.chars().count() > MAX_ZONE_LENGTH {
        return Err(format!("Must have at most {MAX_ZONE_LENGTH} characters"));
    }
    text.parse().map_err(|_| "Must be an IANA time zone name such as 'Europe/London' or 'UTC'".to_owned())
}

/// Reads `scheduled_datetime` or `repeat_end_date` into wall clock digits of `zone`.
///
/// Accepts `YYYY-MM-DDTHH:MM[:SS[.fraction]]` with or without an offset. Digits with `Z`, a zero offset or none are
/// the wall clock; any other offset makes an instant, which is converted to the zone's wall clock. A fraction of a
/// second is dropped: schedules have whole seconds.
///
/// # Errors
/// A message for the client if the text has another form, or names a date or time that does not exist.
pub fn parse_wall_clock(text: &str, zone: Tz) -> Result<NaiveDateTime, String> {
    let (digits, offset) = split_offset(text).ok_or(NOT_A_TIME)?;
    let wall = parse_digits(digits)?;
    if offset.local_minus_utc() == 0 {
        return Ok(wall);
    }
    wall.checked_sub_offset(offset)
        .map(|instant| instant.and_utc().with_timezone(&zone).naive_local())
        .ok_or_else(|| NOT_A_TIME.to_owned())
}

/// Parts the digits from the offset; no offset is the same as a zero one.
fn split_offset(text: &str) -> Option<(&str, FixedOffset)> {
    let zero = FixedOffset::east_opt(0)?;
    if let Some(digits) = text.strip_suffix(['Z', 'z']) {
        return Some((digits, zero));
    }
    // The date has dashes of its own: only a sign that ends the text this way is an offset's.
    let Some(offset) = text.len().checked_sub(6).and_then(|at| text.get(at..)) else {
        return Some((text, zero));
    };
    let sign = match offset.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return Some((text, zero)),
    };
    if !has_form(&offset[1..], "00:00") {
        return Some((text, zero));
    }
    let hours: i32 = offset.get(1..3)?.parse().ok()?;
    let minutes: i32 = offset.get(4..6)?.parse().ok()?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60))?;
    Some((&text[..text.len() - 6], offset))
}

fn parse_digits(digits: &str) -> Result<NaiveDateTime, String> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let fraction_is_sound = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let form = match whole.len() {
        16 if !digits.contains('.') => "0000-00-00T00:00",
        _ => "0000-00-00T00:00:00",
    };
    if !has_form(whole, form) || !fraction_is_sound {
        return Err(NOT_A_TIME.to_owned());
    }
    let seconds = if whole.len() == 16 { ":00" } else { "" };
    let (date, time) = whole.split_at(10);
    NaiveDateTime::parse_from_str(&format!("{date}T{}{seconds}", &time[1..]), "%Y-%m-%dT%H:%M:%S")
        .ok()
        // chrono keeps a leap second as an overlong fraction
        .filter(|wall| wall.nanosecond() == 0)
        .ok_or_else(|| "Must be a date and time that exists".to_owned())
}

/// Whether the text has a digit wherever the form has `0`, `T`, `t` or a space for `T`, and else the same characters.
fn has_form(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(byte, wanted)| match wanted {
            b'0' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b't' | b' '),
            _ => byte == wanted,
        })
}
