//! What lists have in common: the page, and query parameters that are refused all at once.

use std::fmt;

use axum::Json;
use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::header::LINK;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use testrun_shared::domain::page::{Page, Paged};
use testrun_shared::error::FieldError;
use utoipa::IntoParams;

use crate::decode::capitalised;
use crate::error::ApiError;

const DEFAULT_LIMIT: i64 = 20;
const MAX_LIMIT: i64 = 100;

/// The page that a client gets who asks for none.
pub(crate) const FIRST_PAGE: Page = Page { limit: DEFAULT_LIMIT, offset: 0 };

/// The page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// Rows at most
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<i64>,
    /// Rows to pass over
    #[param(minimum = 0, default = 0)]
    offset: Option<i64>,
}

/// No filters.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct NoFilter {}

/// The query of a route that is no list.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

/// The query of a list: its page and its filters.
#[derive(Debug)]
pub(crate) struct List<F> {
    pub(crate) page: Page,
    pub(crate) filter: F,
    /// Where the neighbouring pages are.
    pub(crate) links: Links,
}

/// The address of a list, from which those of its other pages follow.
#[derive(Debug)]
pub(crate) struct Links {
    page: Page,
    path: String,
    /// Every parameter but the page.
    query: Vec<(String, String)>,
}

impl Links {
    fn new(uri: &Uri, page: Page) -> Self {
        let query = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .filter(|(name, _)| name != "limit" && name != "offset")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        Self { page, path: uri.path().to_owned(), query }
    }

    /// The page, with the addresses of its neighbours in a `Link` header (RFC 8288).
    pub(crate) fn answer<T: Serialize>(&self, items: Vec<T>, total: i64) -> ListAnswer<T> {
        ListAnswer { link: self.header(total), body: Paged::new(items, total, self.page) }
    }

    /// `first`, `prev`, `next` and `last`, as far as there are such pages.
    pub(crate) fn header(&self, total: i64) -> Option<HeaderValue> {
        let Page { limit, offset } = self.page;
        let last = if total > 0 { (total - 1) / limit * limit } else { 0 };
        let mut links = vec![(0, "first"), (last, "last")];
        if offset > 0 {
            links.push(((offset - limit).max(0), "prev"));
        }
        if offset.saturating_add(limit) < total {
            links.push((offset + limit, "next"));
        }
        let links: Vec<_> =
            links.into_iter().map(|(offset, rel)| format!("<{}>; rel=\"{rel}\"", self.address(offset))).collect();
        HeaderValue::from_str(&links.join(", ")).ok()
    }

    fn address(&self, offset: i64) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.query);
        query.append_pair("limit", &self.page.limit.to_string()).append_pair("offset", &offset.to_string());
        format!("{}?{}", self.path, query.finish())
    }
}

/// A page of a list, on its way to the client.
#[derive(Debug)]
pub(crate) struct ListAnswer<T> {
    link: Option<HeaderValue>,
    body: Paged<T>,
}

impl<T: Serialize> IntoResponse for ListAnswer<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        if let Some(link) = self.link {
            response.headers_mut().insert(LINK, link);
        }
        response
    }
}

impl<F: DeserializeOwned + Default, S: Send + Sync> FromRequestParts<S> for List<F> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let mut errors = Vec::new();
        let pairs = pairs(query, &mut errors);
        let page: PageParams = decode(pairs.clone(), &mut errors);
        let filter = decode(pairs, &mut errors);
        let (limit, offset) = (page.limit.unwrap_or(DEFAULT_LIMIT), page.offset.unwrap_or(0));
        if !(1..=MAX_LIMIT).contains(&limit) {
            errors.push(FieldError::new("limit", format!("Must be between 1 and {MAX_LIMIT}")));
        }
        if offset < 0 {
            errors.push(FieldError::new("offset", "Must be at least 0"));
        }
        if !errors.is_empty() {
            return Err(ApiError::invalid(errors));
        }
        let page = Page { limit, offset };
        // The route's own URI lacks what it is nested under.
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
        Ok(Self { page, filter, links: Links::new(uri, page) })
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        let pairs = pairs(parts.uri.query().unwrap_or_default(), &mut errors);
        let value = decode(pairs, &mut errors);
        if errors.is_empty() { Ok(Self(value)) } else { Err(ApiError::invalid(errors)) }
    }
}

type Pairs = Vec<(String, String)>;

/// The parameters that were given and can be text in PostgreSQL; each other one is named.
fn pairs(query: &str, errors: &mut Vec<FieldError>) -> Pairs {
    let mut pairs: Pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    pairs.retain(|(name, value)| {
        let has_nul = value.contains('\0');
        if has_nul && !errors.iter().any(|error| error.field == *name) {
            errors.push(FieldError::new(name, "Must not contain the NUL character"));
        }
        !has_nul
    });
    pairs
}

/// Decodes parameters, and collects every one that cannot be: each is taken out and the rest tried again.
fn decode<T: DeserializeOwned + Default>(mut pairs: Pairs, errors: &mut Vec<FieldError>) -> T {
    loop {
        let Ok(encoded) = serde_urlencoded::to_string(&pairs) else { return T::default() };
        let deserializer = serde_urlencoded::Deserializer::new(url::form_urlencoded::parse(encoded.as_bytes()));
        let error = match serde_path_to_error::deserialize::<_, T>(deserializer) {
            Ok(value) => return value,
            Err(error) => error,
        };
        let (field, message) = (error.path().to_string(), error.inner().to_string());
        let before = pairs.len();
        pairs.retain(|(name, _)| *name != field);
        let duplicate = message.strip_prefix("duplicate field `").and_then(|rest| rest.strip_suffix('`'));
        match duplicate {
            Some(name) => {
                errors.push(FieldError::new(name, "Must be given once"));
                pairs.retain(|(other, _)| other != name);
            }
            None => errors.push(FieldError::new(field, capitalised(&message))),
        }
        if pairs.len() == before {
            return T::default();
        }
    }
}

/// A comma-separated list: `a,b`.
#[derive(Debug, Clone)]
pub(crate) struct CommaList(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for CommaList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()))
    }
}

/// A date, which means the whole day in UTC, or an RFC 3339 instant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DateBound {
    Day(NaiveDate),
    Instant(DateTime<Utc>),
}

impl DateBound {
    /// The first instant that belongs to it.
    pub(crate) fn begin(self) -> DateTime<Utc> {
        match self {
            Self::Day(day) => day.and_time(chrono::NaiveTime::MIN).and_utc(),
            Self::Instant(at) => at,
        }
    }

    /// The first instant that no longer belongs to it. PostgreSQL's instants are microseconds apart.
    pub(crate) fn end(self) -> DateTime<Utc> {
        match self {
            Self::Day(day) => {
                day.checked_add_days(Days::new(1)).unwrap_or(day).and_time(chrono::NaiveTime::MIN).and_utc()
            }
            Self::Instant(at) => at.checked_add_signed(TimeDelta::microseconds(1)).unwrap_or(at),
        }
    }
}

/// The instants between two bounds, both included, as "from" and "before".
pub(crate) type Between = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// The instants between `from_date` and `to_date`.
///
/// # Errors
/// If they are the wrong way round.
pub(crate) fn between(from: Option<DateBound>, to: Option<DateBound>) -> Result<Between, ApiError> {
    let (from, before) = (from.map(DateBound::begin), to.map(DateBound::end));
    if matches!((from, before), (Some(from), Some(before)) if from >= before) {
        return Err(ApiError::invalid(vec![FieldError::new("from_date", "Must not be after to_date")]));
    }
    Ok((from, before))
}

impl<'de> Deserialize<'de> for DateBound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = DateBound;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a date such as 2026-01-18 or an instant such as 2026-01-18T07:00:00Z")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DateBound, E> {
                let in_range = |year: i32| (1..=9998).contains(&year);
                if let Ok(day) = text.parse::<NaiveDate>()
                    && in_range(chrono::Datelike::year(&day))
                {
                    return Ok(DateBound::Day(day));
                }
                match DateTime::parse_from_rfc3339(text) {
                    Ok(at) if in_range(chrono::Datelike::year(&at)) => Ok(DateBound::Instant(at.to_utc())),
                    _ => Err(E::custom("must be a date such as 2026-01-18 or an instant such as 2026-01-18T07:00:00Z")),
                }
            }
        }
        deserializer.deserialize_str(Text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    struct Filter {
        number: Option<i32>,
        date: Option<DateBound>,
        list: Option<CommaList>,
    }

    fn decoded(query: &str) -> (Filter, Vec<FieldError>) {
        let mut errors = Vec::new();
        let filter = decode(pairs(query, &mut errors), &mut errors);
        (filter, errors)
    }

    #[test]
    fn every_wrong_parameter_is_named_at_once() {
        let (_, errors) = decoded("number=&date=yesterday&list=a,b");
        let mut names: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["date", "number"], "{errors:?}");
    }

    #[test]
    fn good_parameters_are_decoded_and_others_passed_over() {
        let (filter, errors) = decoded("date=2026-01-18&list=a,%20b&other=1");
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(filter.number, None);
        assert_eq!(filter.list.expect("a list").0, ["a", "b"]);
        let day = filter.date.expect("a date");
        assert_eq!(day.end() - day.begin(), TimeDelta::days(1));
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        let (_, errors) = decoded("number=1&number=2");
        assert_eq!(errors[0].field, "number");
    }

    #[test]
    fn links_lead_to_the_neighbours_and_keep_the_filters() {
        let uri: Uri = "/api/v1/test-runs?status=completed&limit=20&offset=20".parse().expect("a URI");
        let header = |offset, total| {
            let links = Links::new(&uri, Page { limit: 20, offset });
            links.header(total).and_then(|value| value.to_str().map(str::to_owned).ok()).expect("a header")
        };
        let middle = header(20, 50);
        assert!(middle.contains("</api/v1/test-runs?status=completed&limit=20&offset=0>; rel=\"prev\""), "{middle}");
        assert!(middle.contains("offset=40>; rel=\"next\"") && middle.contains("offset=40>; rel=\"last\""), "{middle}");
        assert!(!header(40, 50).contains("next"), "the last page has none after it");
        assert!(!header(0, 0).contains("next") && !header(0, 0).contains("prev"), "an empty list has no neighbours");
    }

    #[test]
    fn bounds_the_wrong_way_round_are_refused_and_one_day_is_not() {
        let day = |text: &str| DateBound::Day(text.parse().expect("a date"));
        assert!(between(Some(day("2026-01-19")), Some(day("2026-01-18"))).is_err());
        assert!(between(Some(day("2026-01-18")), Some(day("2026-01-18"))).is_ok());
    }
}
