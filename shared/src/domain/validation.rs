//! Field rules in the specification's wording, for use in `#[garde(custom(…))]`.
//!
//! Lengths count characters, as PostgreSQL's `VARCHAR(n)` does.

use chrono::{DateTime, Datelike, SubsecRound as _, Utc};
use garde::Error;
use rust_decimal::Decimal;
use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer};

/// Longest label list of a resource.
pub const MAX_TAGS: usize = 50;
/// Longest label, in characters.
pub const MAX_TAG_CHARS: usize = 64;
/// Longest name in a suite path, in characters.
pub const MAX_SUITE_NAME_CHARS: usize = 255;
/// Longest mail address, in characters.
pub const MAX_ADDRESS_CHARS: usize = 320;
/// Deepest suite path, in elements.
pub const MAX_SUITE_DEPTH: usize = 32;
/// Most rows of one kind in a bulk request or nested in a result.
pub const MAX_ROWS: usize = 1_000;
/// Most log lines in a request.
pub const MAX_LOG_LINES: usize = 10_000;
/// Most recipients of a schedule's mails.
pub const MAX_RECIPIENTS: usize = 50;

/// A value that holds text: itself, an optional one, or a list.
pub trait Texts {
    /// Calls `check` for each text in the value and stops at the first error.
    ///
    /// # Errors
    /// What `check` returned.
    fn each(&self, check: &mut dyn FnMut(&str) -> garde::Result) -> garde::Result;
}

impl Texts for String {
    fn each(&self, check: &mut dyn FnMut(&str) -> garde::Result) -> garde::Result {
        check(self)
    }
}

impl<T: Texts> Texts for Option<T> {
    fn each(&self, check: &mut dyn FnMut(&str) -> garde::Result) -> garde::Result {
        self.as_ref().map_or(Ok(()), |value| value.each(check))
    }
}

impl<T: Texts> Texts for Vec<T> {
    fn each(&self, check: &mut dyn FnMut(&str) -> garde::Result) -> garde::Result {
        self.iter().try_for_each(|value| value.each(check))
    }
}

/// Text of at most `max` characters.
pub fn text<T: Texts>(max: usize) -> impl FnOnce(&T, &()) -> garde::Result {
    move |value, ()| value.each(&mut |text| at_most(text, max))
}

/// Text of 1 to `max` characters that is not only white space.
pub fn filled<T: Texts>(max: usize) -> impl FnOnce(&T, &()) -> garde::Result {
    move |value, ()| {
        value.each(&mut |text| {
            if text.trim().is_empty() {
                return Err(Error::new("Must not be empty"));
            }
            at_most(text, max)
        })
    }
}

/// A value that holds a list of texts, or none.
pub trait List {
    /// The list, if there is one.
    fn list(&self) -> Option<&[String]>;
}

impl List for Option<Vec<String>> {
    fn list(&self) -> Option<&[String]> {
        self.as_deref()
    }
}

impl List for Option<Option<Vec<String>>> {
    fn list(&self) -> Option<&[String]> {
        self.as_ref().and_then(|list| list.as_deref())
    }
}

/// Labels: at most [`MAX_TAGS`] names of at most [`MAX_TAG_CHARS`] characters.
pub fn labels<T: List>(value: &T, (): &()) -> garde::Result {
    names(value.list(), MAX_TAGS, MAX_TAG_CHARS, "tags")
}

/// A suite path: at most [`MAX_SUITE_DEPTH`] names of at most [`MAX_SUITE_NAME_CHARS`] characters.
pub fn suite<T: List>(value: &T, (): &()) -> garde::Result {
    names(value.list(), MAX_SUITE_DEPTH, MAX_SUITE_NAME_CHARS, "elements")
}

fn names(value: Option<&[String]>, max: usize, max_chars: usize, what: &str) -> garde::Result {
    let Some(value) = value else { return Ok(()) };
    if value.len() > max {
        return Err(Error::new(format!("Must have at most {max} {what}")));
    }
    value.iter().try_for_each(|element| filled(max_chars)(element, &()))
}

/// A list of at most `max` elements.
pub fn at_most_rows<T>(max: usize) -> impl FnOnce(&Vec<T>, &()) -> garde::Result {
    move |value, ()| {
        if value.len() > max {
            return Err(Error::new(format!("Must have at most {max} elements")));
        }
        Ok(())
    }
}

/// A list of 1 to `max` elements.
pub fn some_rows<T>(max: usize) -> impl FnOnce(&Vec<T>, &()) -> garde::Result {
    move |value, ()| {
        if value.is_empty() || value.len() > max {
            return Err(Error::new(format!("Must have between 1 and {max} elements")));
        }
        Ok(())
    }
}

/// Mail addresses: at most [`MAX_RECIPIENTS`], each with exactly one `@`, a host, and no white space.
pub fn recipients<T: List>(value: &T, (): &()) -> garde::Result {
    let Some(value) = value.list() else { return Ok(()) };
    if value.len() > MAX_RECIPIENTS {
        return Err(Error::new(format!("Must have at most {MAX_RECIPIENTS} recipients")));
    }
    value.iter().try_for_each(|address| email(address))
}

/// A mail address in a body.
pub fn address<T: Texts>(value: &T, (): &()) -> garde::Result {
    value.each(&mut email)
}

/// One mail address of at most [`MAX_ADDRESS_CHARS`] characters.
///
/// # Errors
/// If it is none, showing what was given.
pub fn email(address: &str) -> garde::Result {
    let valid = address.chars().count() <= MAX_ADDRESS_CHARS
        && !address.chars().any(|c| c.is_whitespace() || c.is_control() || "<>,;\"".contains(c))
        && matches!(address.split_once('@'), Some((local, host)) if !local.is_empty()
            && !host.is_empty() && !host.contains('@') && !host.starts_with('.') && !host.ends_with('.'));
    if valid {
        return Ok(());
    }
    let shown: String = address.chars().take(80).collect();
    Err(Error::new(format!("'{shown}' is not a mail address")))
}

/// A value that holds numbers: itself, or an optional one, to any depth.
pub trait Numbers<N> {
    /// The number, if there is one.
    fn number(&self) -> Option<N>;
}

macro_rules! numbers {
    ($($number:ty),+) => {
        $(
            impl Numbers<$number> for $number {
                fn number(&self) -> Option<$number> {
                    Some(*self)
                }
            }

            impl Numbers<$number> for Option<$number> {
                fn number(&self) -> Option<$number> {
                    *self
                }
            }

            impl Numbers<$number> for Option<Option<$number>> {
                fn number(&self) -> Option<$number> {
                    self.flatten()
                }
            }
        )+
    };
}

numbers!(i32, i64, Decimal, DateTime<Utc>);

/// A number, or none, between `min` and `max`, both included.
pub fn between<T: Numbers<N>, N: PartialOrd + std::fmt::Display>(
    min: N,
    max: N,
) -> impl FnOnce(&T, &()) -> garde::Result {
    move |value, ()| match value.number() {
        Some(number) if number < min || number > max => Err(Error::new(format!("Must be between {min} and {max}"))),
        _ => Ok(()),
    }
}

/// A number that counts up from 0, to the largest 32-bit integer.
pub fn count(value: &Option<i32>, (): &()) -> garde::Result {
    between(0, i32::MAX)(value, &())
}

/// A count of rows, small enough for sums of such counts.
pub fn row_count(value: &Option<i32>, (): &()) -> garde::Result {
    between(0, 1_000_000)(value, &())
}

/// A duration in milliseconds: 0 to a hundred years.
pub fn duration(value: &Option<i64>, (): &()) -> garde::Result {
    between(0, 3_155_760_000_000)(value, &())
}

/// Reads a decimal that is a JSON number: in quotes it would be a text.
///
/// # Errors
/// If the value is of another type, or too large.
pub fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    let number = Option::<f64>::deserialize(deserializer)?;
    number.map(|number| number.to_string().parse().map_err(D::Error::custom)).transpose()
}

/// A rate in percent: 0 to 100.
pub fn rate(value: &Option<Decimal>, (): &()) -> garde::Result {
    between(Decimal::ZERO, Decimal::ONE_HUNDRED)(value, &())
}

/// An instant of the years 1970 to 9999, which PostgreSQL and every client can hold.
pub fn instant<T: Numbers<DateTime<Utc>>>(value: &T, (): &()) -> garde::Result {
    match value.number() {
        Some(at) if !(1970..=9999).contains(&at.year()) => Err(Error::new("Must be between the years 1970 and 9999")),
        _ => Ok(()),
    }
}

/// An instant as PostgreSQL stores it, in microseconds, so that an answer shows what a later one will.
#[must_use]
pub fn stored(at: DateTime<Utc>) -> DateTime<Utc> {
    at.trunc_subsecs(6)
}

fn at_most(text: &str, max: usize) -> garde::Result {
    if text.chars().count() > max {
        return Err(Error::new(format!("Must be at most {max} characters")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(result: garde::Result) -> String {
        result.expect_err("the value must be refused").to_string()
    }

    #[test]
    fn lengths_count_characters_not_bytes() {
        assert!(text(3)(&"äöü".to_owned(), &()).is_ok());
        assert_eq!(message(text(2)(&"äöü".to_owned(), &())), "Must be at most 2 characters");
    }

    #[test]
    fn a_number_out_of_range_names_both_bounds() {
        assert_eq!(message(between(1, 10)(&11, &())), "Must be between 1 and 10");
        assert!(between(1, 10)(&None::<i32>, &()).is_ok());
    }

    #[test]
    fn addresses_that_could_break_a_mail_header_are_refused() {
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\r\nBcc: x@y", "<a@b>", "a@.b", "a,b@c"] {
            assert!(email(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(email("team@example.com").is_ok());
    }
}
