//! Cron expressions: the five standard fields and nothing else.
//!
//! croner reads the fields, but it is not asked for times: its own treatment of clock changes differs from ours (it
//! skips or moves a time in a gap and may repeat one in a fold), and all kinds of schedule share one rule.

use chrono::NaiveTime;
use croner::CronPattern;
use croner::parser::{CronParser, Seconds, Year};

use super::calendar::{Calendar, CronDays, Days, Weekdays, weekday};

/// The longest expression that is read, in characters.
pub(super) const MAX_LENGTH: usize = 255;

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The five fields in order, each with the names that may stand for its numbers.
const FIELDS: [(&str, &[&str]); 5] =
    [("minute", &[]), ("hour", &[]), ("day-of-month", &[]), ("month", &MONTHS), ("day-of-week", &WEEKDAYS)];

/// Reads a cron expression; the message of an error names the field at fault.
pub(super) fn parse(expression: &str) -> Result<Calendar, String> {
    if expression.len() > MAX_LENGTH {
        return Err(format!("Must have at most {MAX_LENGTH} characters"));
    }
    let fields: Vec<&str> = expression.split_ascii_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "Must have five fields (minute, hour, day of month, month, day of week), not {}",
            fields.len()
        ));
    }
    for (field, (name, names)) in fields.iter().zip(FIELDS) {
        check_field(field, names).map_err(|problem| format!("The {name} field '{field}' is not valid: {problem}"))?;
    }
    match croner_parse(&fields.join(" ")) {
        Ok(pattern) => Ok(calendar(&pattern)),
        Err(problem) => Err(name_culprit(&fields).unwrap_or(problem)),
    }
}

/// Accepts the standard grammar only: croner alone would also take `L`, `W`, `#`, `?`, `+`, nicknames, empty list
/// items, and names in any field.
fn check_field(field: &str, names: &[&str]) -> Result<(), &'static str> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_value = |text: &str| is_number(text) || names.iter().any(|name| name.eq_ignore_ascii_case(text));
    for item in field.split(',') {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if !is_number(step) {
            return Err("a step is a number after '/'");
        }
        if range != "*" && !(is_value(first) && is_value(last)) {
            return Err("use numbers, names of months or days in their field, and '*' ',' '-' '/' only");
        }
    }
    Ok(())
}

fn croner_parse(expression: &str) -> Result<CronPattern, String> {
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(expression)
        .map(|cron| cron.pattern)
        .map_err(|error| format!("Is not a valid cron expression: {error}"))
}

/// croner does not say which field it dislikes: reads each one alone to find out.
fn name_culprit(fields: &[&str]) -> Option<String> {
    fields.iter().enumerate().find_map(|(at, field)| {
        let mut alone = ["*"; 5];
        *alone.get_mut(at)? = field;
        croner_parse(&alone.join(" ")).err()?;
        let (name, _) = FIELDS.get(at)?;
        Some(format!(
            "The {name} field '{field}' is not valid: a number is out of range or a range or step is malformed"
        ))
    })
}

fn calendar(pattern: &CronPattern) -> Calendar {
    let values = |values: Vec<u16>| values.into_iter().map(u32::from).collect::<Vec<_>>();
    let minutes = values(pattern.minutes.values());
    let times = values(pattern.hours.values())
        .into_iter()
        .flat_map(|hour| minutes.iter().filter_map(move |minute| NaiveTime::from_hms_opt(hour, *minute, 0)))
        .collect();
    let weekdays = || values(pattern.days_of_week.values()).into_iter().map(weekday).collect::<Weekdays>();
    let days = CronDays {
        days: (!pattern.is_dom_wildcard()).then(|| values(pattern.days.values())),
        months: values(pattern.months.values()),
        weekdays: (!pattern.is_dow_wildcard()).then(weekdays),
    };
    Calendar { days: Days::Cron(days), times }
}
