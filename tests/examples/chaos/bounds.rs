//! How fast the service recovers, each measured on a PostgreSQL and services of its own.

mod database_away;
mod poisonous_job;
mod rolling_restart;
mod worker_gone;
mod world;

use std::fmt;
use std::time::Duration;

pub(crate) use poisonous_job::answer_jobs;

/// How long anything may take before it is called a failure of the measurement.
const PATIENCE: Duration = Duration::from_secs(180);

/// A measured value and what it may be at most.
#[derive(Debug)]
pub(crate) struct Bound {
    name: &'static str,
    value: f64,
    limit: f64,
    unit: &'static str,
}

impl Bound {
    fn seconds(name: &'static str, took: Duration, limit: f64) -> Self {
        Self { name, value: took.as_secs_f64(), limit, unit: "s" }
    }

    fn count(name: &'static str, value: usize, limit: u32) -> Self {
        // Exact far beyond what is counted here.
        let value = u32::try_from(value).map_or(f64::INFINITY, f64::from);
        Self { name, value, limit: f64::from(limit), unit: "" }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.value <= self.limit
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, limit, unit } = self;
        let mark = if self.is_kept() { "ok" } else { "EXCEEDED" };
        let decimals = if unit.is_empty() { 0 } else { 2 };
        write!(f, "{mark:8} {value:8.decimals$} {unit:1} (at most {limit} {unit}) {name}")
    }
}

/// Measures all, one after the other, and tells each as soon as it is known.
pub(crate) async fn measure(say: impl Fn(&str)) -> anyhow::Result<Vec<Bound>> {
    let mut bounds = Vec::new();
    let mut add = |measured: Vec<Bound>| {
        measured.iter().for_each(|bound| say(&bound.to_string()));
        bounds.extend(measured);
    };
    add(database_away::measure().await?);
    add(worker_gone::killed_in_a_delivery().await?);
    add(worker_gone::killed_in_a_refresh().await?);
    add(rolling_restart::measure().await?);
    add(worker_gone::frozen().await?);
    add(poisonous_job::measure().await?);
    Ok(bounds)
}
