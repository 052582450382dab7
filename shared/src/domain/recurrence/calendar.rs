//! The civil side of a rule: which days, and which times of those days, as a wall clock shows them.

use std::iter;

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Weekday};

/// A rule that has no day in this many days has none at all: 29 February is at most 2,921 days away, the longest
/// interval is [`super::timing::MAX_INTERVAL_DAYS`].
const SEARCH_DAYS: usize = 3_700;

/// The days of a civil rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Days {
    /// Every so many days, counted from the anchor in both directions.
    Every { days: i64, anchor: NaiveDate },
    /// Days of the week.
    Weekly(Weekdays),
    /// One day of each month, or the month's last day if it is shorter.
    Monthly(u32),
    /// The three day fields of a cron expression.
    Cron(CronDays),
}

/// A set of days of the week.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weekdays(u8);

/// The day-of-month, month and day-of-week fields of a cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CronDays {
    /// Days of the month; `None` for `*`.
    pub(super) days: Option<Vec<u32>>,
    pub(super) months: Vec<u32>,
    /// `None` for `*`.
    pub(super) weekdays: Option<Weekdays>,
}

/// All wall times of a civil rule: each of `times` on each of `days`, without beginning or end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    pub(super) days: Days,
    /// Ascending, without duplicates, at least one.
    pub(super) times: Vec<NaiveTime>,
}

impl Weekdays {
    pub(super) fn contains(self, weekday: Weekday) -> bool {
        self.0 & (1 << weekday.num_days_from_sunday()) != 0
    }
}

impl FromIterator<Weekday> for Weekdays {
    fn from_iter<T: IntoIterator<Item = Weekday>>(weekdays: T) -> Self {
        Self(weekdays.into_iter().fold(0, |set, weekday| set | 1 << weekday.num_days_from_sunday()))
    }
}

impl CronDays {
    fn includes(&self, date: NaiveDate) -> bool {
        let in_days = |days: &Vec<u32>| days.contains(&date.day());
        let in_weekdays = |weekdays: &Weekdays| weekdays.contains(date.weekday());
        self.months.contains(&date.month())
            && match (&self.days, &self.weekdays) {
                (None, None) => true,
                (Some(days), None) => in_days(days),
                (None, Some(weekdays)) => in_weekdays(weekdays),
                // Both restricted: either will do, as cron has always had it.
                (Some(days), Some(weekdays)) => in_days(days) || in_weekdays(weekdays),
            }
    }
}

impl Days {
    fn includes(&self, date: NaiveDate) -> bool {
        match self {
            Self::Every { days, anchor } => date.signed_duration_since(*anchor).num_days() % days == 0,
            Self::Weekly(weekdays) => weekdays.contains(date.weekday()),
            Self::Monthly(day) => date.day() == (*day).min(u32::from(date.num_days_in_month())),
            Self::Cron(days) => days.includes(date),
        }
    }

    fn next(&self, date: NaiveDate) -> Option<NaiveDate> {
        iter::successors(date.succ_opt(), NaiveDate::succ_opt).take(SEARCH_DAYS).find(|date| self.includes(*date))
    }

    fn previous(&self, date: NaiveDate) -> Option<NaiveDate> {
        iter::successors(date.pred_opt(), NaiveDate::pred_opt).take(SEARCH_DAYS).find(|date| self.includes(*date))
    }
}

impl Calendar {
    /// The first wall time after the given one.
    pub(super) fn after(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let later = self.times.partition_point(|time| *time <= wall.time());
        match self.times.get(later) {
            Some(time) if self.days.includes(wall.date()) => Some(wall.date().and_time(*time)),
            _ => Some(self.days.next(wall.date())?.and_time(*self.times.first()?)),
        }
    }

    /// The last wall time before the given one.
    pub(super) fn before(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let earlier = self.times.partition_point(|time| *time < wall.time());
        match self.times[..earlier].last() {
            Some(time) if self.days.includes(wall.date()) => Some(wall.date().and_time(*time)),
            _ => Some(self.days.previous(wall.date())?.and_time(*self.times.last()?)),
        }
    }

    /// How many wall times there are from `from` to just before `to`.
    pub(super) fn count(&self, from: NaiveDateTime, to: NaiveDateTime) -> u64 {
        let before = |wall: NaiveDateTime| self.times.partition_point(|time| *time < wall.time());
        let on = |date: NaiveDate| {
            let skipped = if date == from.date() { before(from) } else { 0 };
            let reached = if date == to.date() { before(to) } else { self.times.len() };
            reached.saturating_sub(skipped) as u64
        };
        iter::successors(Some(from.date()), NaiveDate::succ_opt)
            .take_while(|date| *date <= to.date())
            .filter(|date| self.days.includes(*date))
            .map(on)
            .sum()
    }
}

/// The day of the week by its number: 1 is Monday, 0 and 7 are Sunday.
pub(super) fn weekday(number: u32) -> Weekday {
    match number % 7 {
        1 => Weekday::Mon,
        2 => Weekday::Tue,
        3 => Weekday::Wed,
        4 => Weekday::Thu,
        5 => Weekday::Fri,
        6 => Weekday::Sat,
        _ => Weekday::Sun,
    }
}
