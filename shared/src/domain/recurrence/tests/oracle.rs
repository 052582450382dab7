//! An oracle of another kind: around a change of the clock, walk the UTC minutes one by one and write down what the
//! wall shows and fires by definition. It shares no code with the engine and asks the zone data for offsets only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use super::{IntervalUnit, RepeatType, Timing, cron, every, recurrence, timing, utc, zones};

/// One change of a zone's clock; offsets in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Change {
    at: i64,
    before: i64,
    after: i64,
}

/// What happens in the days around a change: which wall time fires at which minute.
struct Days {
    zone: Tz,
    change: Change,
    begin: DateTime<Utc>,
    end: DateTime<Utc>,
    fires: BTreeMap<NaiveTime, Vec<(NaiveDateTime, DateTime<Utc>)>>,
}

fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn offset(zone: Tz, seconds: i64) -> i64 {
    i64::from(zone.offset_from_utc_datetime(&instant(seconds).naive_utc()).fix().local_minus_utc())
}

/// The changes between two instants, found by a look at each day and then by halving.
fn changes(zone: Tz, from: &str, to: &str) -> Vec<Change> {
    let (from, to) = (utc(from).timestamp(), utc(to).timestamp());
    let mut found = Vec::new();
    let mut before = offset(zone, from);
    for day in (from..to).step_by(86_400) {
        let (mut low, mut high) = (day, day + 86_400);
        let after = offset(zone, high);
        if before != after {
            while high - low > 1 {
                let middle = low.midpoint(high);
                if offset(zone, middle) == before { low = middle } else { high = middle }
            }
            found.push(Change { at: high, before, after });
        }
        before = after;
    }
    found
}

/// Every zone with the changes of two decades.
fn all_changes() -> &'static [(Tz, Vec<Change>)] {
    static ALL: LazyLock<Vec<(Tz, Vec<Change>)>> = LazyLock::new(|| {
        let of = |zone: &Tz| (*zone, changes(*zone, "2018-01-01T00:00:00Z", "2038-01-01T00:00:00Z"));
        zones().iter().map(of).collect()
    });
    &ALL
}

impl Days {
    fn walk(zone: Tz, change: Change) -> Self {
        let gap = change.after - change.before;
        let (begin, end) = (change.at - 20 * 3_600, change.at + 30 * 3_600);
        let mut fires: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut fire = |offset: i64, at| {
            let wall = instant(at + offset).naive_utc();
            fires.entry(wall.time()).or_default().push((wall, instant(at)));
        };
        for at in (begin..end).step_by(60) {
            if at < change.at {
                fire(change.before, at);
                continue;
            }
            // What the old clock would have shown and nobody saw fires now.
            if gap > 0 && at < change.at + gap {
                fire(change.before, at);
            }
            // What the wall shows fires, unless it was shown before the clock went back.
            if at + change.after >= change.at + change.before {
                fire(change.after, at);
            }
        }
        Self { zone, change, begin: instant(begin), end: instant(end), fires }
    }

    /// The instants of the wall times at some times of day, on some days.
    fn expected(&self, times: impl Fn(NaiveTime) -> bool, days: impl Fn(NaiveDate) -> bool) -> Vec<DateTime<Utc>> {
        let fires = self.fires.iter().filter(|(time, _)| times(**time)).flat_map(|(_, fires)| fires);
        let on_days: BTreeSet<_> = fires.filter(|(wall, _)| days(wall.date())).map(|(_, at)| *at).collect();
        on_days.into_iter().collect()
    }

    /// Compares the engine with the list, forwards, backwards and counted.
    fn check(&self, timing: &Timing, expected: &[DateTime<Utc>]) {
        let recurrence = recurrence(timing);
        let context = || format!("{timing:?} around {}", instant(self.change.at));
        let fires: Vec<_> =
            recurrence.fires_after(self.begin - TimeDelta::seconds(1)).take_while(|at| *at < self.end).collect();
        assert_eq!(fires, expected, "{}", context());

        let mut backwards = Vec::new();
        let mut limit = self.end - TimeDelta::seconds(1);
        while let Some(at) = recurrence.latest_at_or_before(limit).filter(|at| *at >= self.begin) {
            backwards.push(at);
            limit = at - TimeDelta::seconds(1);
        }
        backwards.reverse();
        assert_eq!(backwards, expected, "backwards, {}", context());

        if let [first, .., last] = expected {
            let due = recurrence.due(*first, *last).unwrap();
            assert_eq!(due.fire, *last);
            assert_eq!(due.missed.len() as u64 + due.missed_more + 1, expected.len() as u64, "{}", context());
        }
    }

    /// Wall times at and around the edges of the change.
    fn edges(&self) -> BTreeSet<NaiveDateTime> {
        let (old, new) = (self.change.at + self.change.before, self.change.at + self.change.after);
        let middle = (old + new) / 2 / 60 * 60;
        [old - 60, old, old + 60, middle, new - 60, new, new + 60, 2 * new - old, old + 40_000 / 60 * 60]
            .map(|local| instant(local).naive_utc())
            .into()
    }

    fn check_all(&self, seed: usize) {
        for (index, wall) in self.edges().into_iter().enumerate() {
            self.check_civil(wall, seed * 37 + index * 11);
        }
        self.check_elapsed(seed);
        // Many fires a day: not around every change, that is slow.
        let (early, any) = ("1900-01-01T00:00:00", |_| true);
        if seed.is_multiple_of(3) {
            let few = cron(early, self.zone.name(), "5-59/25 0-4 * * *");
            self.check(&few, &self.expected(|at| [5, 30, 55].contains(&at.minute()) && at.hour() <= 4, any));
        }
        if seed.is_multiple_of(16) {
            let many = cron(early, self.zone.name(), "*/7 * * * *");
            self.check(&many, &self.expected(|at| at.minute().is_multiple_of(7), any));
        }
    }

    /// The kinds that keep a wall time; their anchors lie years back, so that only the change matters.
    fn check_civil(&self, wall: NaiveDateTime, seed: usize) {
        let anchor = wall.with_year(wall.year() - 8).unwrap_or(wall - TimeDelta::days(8 * 365));
        let (text, zone) = (digits(anchor), self.zone.name());
        let expected = |days: &dyn Fn(NaiveDate) -> bool| self.expected(|time| time == wall.time(), days);
        self.check(&timing(&text, zone, RepeatType::Daily), &expected(&|_| true));

        let set = 1 + seed % 127;
        let days: Vec<i32> = (1..=7).filter(|day| set >> (day - 1) & 1 == 1).collect();
        let weekly = Timing { repeat_days_of_week: Some(days.clone()), ..timing(&text, zone, RepeatType::Weekly) };
        let listed = |date: NaiveDate| days.contains(&date.weekday().number_from_monday().cast_signed());
        self.check(&weekly, &expected(&listed));

        if seed.is_multiple_of(2) {
            let monthly = timing(&text, zone, RepeatType::Monthly);
            self.check(&monthly, &expected(&|date| date.day() == anchor.day().min(last_day(date))));
        } else {
            let third = every(&text, zone, 3, IntervalUnit::Days);
            self.check(&third, &expected(&|date| (date - anchor.date()).num_days() % 3 == 0));
        }
    }

    /// The kinds of elapsed time, anchored at one of the wall times near the change.
    fn check_elapsed(&self, seed: usize) {
        let fires = |wall: &NaiveDateTime| self.fires[&wall.time()].iter().find(|(shown, _)| shown == wall);
        let anchors: Vec<_> = self.edges().iter().filter_map(fires).collect();
        let (wall, anchor) = anchors[seed % anchors.len()];
        let (text, zone) = (digits(*wall), self.zone.name());
        for (timing, hours) in
            [(timing(&text, zone, RepeatType::Hourly), 1), (every(&text, zone, 5, IntervalUnit::Hours), 5)]
        {
            let minutes = (self.begin.timestamp()..self.end.timestamp()).step_by(60).map(instant);
            let passed = |at: &DateTime<Utc>| (*at - *anchor).num_minutes();
            let expected: Vec<_> = minutes.filter(|at| passed(at) >= 0 && passed(at) % (60 * hours) == 0).collect();
            self.check(&timing, &expected);
        }
    }
}

fn digits(wall: NaiveDateTime) -> String {
    wall.format("%Y-%m-%dT%H:%M:%S").to_string()
}

fn last_day(date: NaiveDate) -> u32 {
    (28..=31).rev().find(|day| date.with_day(*day).is_some()).unwrap()
}

#[test]
fn every_change_of_two_decades_fires_as_the_minutes_say() {
    let mut seen = BTreeSet::new();
    let mut checked = 0;
    for (zone, changes) in all_changes() {
        // Many names share one clock.
        if changes.is_empty() || !seen.insert(changes) {
            continue;
        }
        checked += changes.len();
        for (seed, change) in changes.iter().enumerate() {
            Days::walk(*zone, *change).check_all(seed);
        }
    }
    assert!(seen.len() >= 50 && checked >= 1_000, "{} clocks, {checked} changes", seen.len());
}

#[test]
fn moves_over_the_date_line_fire_as_the_minutes_say() {
    for (zone, from, to) in [
        ("Pacific/Apia", "2011-12-25T00:00:00Z", "2012-01-05T00:00:00Z"),
        ("Pacific/Fakaofo", "2011-12-25T00:00:00Z", "2012-01-05T00:00:00Z"),
        ("Pacific/Kwajalein", "1969-09-20T00:00:00Z", "1969-10-10T00:00:00Z"),
        ("Pacific/Kwajalein", "1993-08-10T00:00:00Z", "1993-08-30T00:00:00Z"),
        ("Pacific/Kanton", "1994-12-25T00:00:00Z", "1995-01-05T00:00:00Z"),
        ("Antarctica/Casey", "2018-03-01T00:00:00Z", "2018-03-20T00:00:00Z"),
    ] {
        let zone = zone.parse().unwrap();
        let changes = changes(zone, from, to);
        assert_eq!(changes.len(), 1, "{zone}");
        (0..9).for_each(|seed| Days::walk(zone, changes[0]).check_all(seed));
    }
}

/// The search looks a good day back and the count probes every few days: both need changes to lie further apart.
#[test]
fn no_zone_changes_its_clock_twice_within_six_days() {
    for (zone, changes) in all_changes() {
        for pair in changes.windows(2) {
            assert!(pair[1].at - pair[0].at > 6 * 86_400, "{zone} {pair:?}");
        }
    }
}
