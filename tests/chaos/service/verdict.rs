//! Whether all is as it was acknowledged, recomputed from what is stored.

pub(crate) mod leftovers;
mod notices;
pub(crate) mod states;
mod writes;

use std::fmt;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::book::Book;
use super::client::Client;
use super::load::Load;
use super::stage::Stage;

/// How many violations of a check are shown.
const SHOWN: usize = 10;

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    checks: Vec<Check>,
    /// What happened meanwhile, for people.
    figures: Vec<String>,
}

#[derive(Debug)]
struct Check {
    name: &'static str,
    /// How many things were looked at.
    count: usize,
    violations: Vec<String>,
}

impl Verdict {
    /// Looks at everything, once nothing is left to do.
    pub(crate) async fn reach(stage: &mut Stage, load: &Load, recipients: &[&str]) -> anyhow::Result<Self> {
        let (client, book) = (&load.client, std::mem::take(&mut *load.book()));
        let verdict = Self::compare(stage, &book, client, recipients).await;
        *load.book() = book;
        verdict
    }

    async fn compare(stage: &mut Stage, book: &Book, client: &Client, recipients: &[&str]) -> anyhow::Result<Self> {
        let mut verdict = Self::default();
        verdict.tell_of(stage, client);
        verdict.check("troubles of clients", 0, book.trouble.clone());
        let faults = client.tally().faults.lock().unwrap_or_else(PoisonError::into_inner).clone();
        verdict.check("answers that no fault excuses", 0, faults);
        stage.fleet.ids().await?;
        verdict.check("services that ended by themselves", 0, stage.fleet.ended().to_vec());
        writes::judge(&mut verdict, &stage.pool, book, client).await?;
        let (changes, illegal) = states::illegal(&stage.pool).await?;
        verdict.check("changes of a status are legal", usize::try_from(changes)?, illegal);
        notices::judge(&mut verdict, stage, book, recipients).await?;
        Ok(verdict)
    }

    fn tell_of(&mut self, stage: &Stage, client: &Client) {
        let tally = client.tally();
        let figures = [
            (&tally.acknowledged, "POSTs acknowledged"),
            (&tally.replayed, "of them by the record of an earlier try that had been committed"),
            (&tally.unavailable, "answers 503"),
            (&tally.unanswered, "tries without an answer"),
        ];
        self.figures = figures.map(|(count, name)| format!("{:8} {name}", count.load(Ordering::Relaxed))).into();
        self.figures.push(format!("{:8} replies to COMMIT lost", stage.proxy.swallowed()));
    }

    fn tell(&mut self, count: usize, name: &str) {
        self.figures.push(format!("{count:8} {name}"));
    }

    pub(crate) fn check(&mut self, name: &'static str, count: usize, violations: Vec<String>) {
        self.checks.push(Check { name, count, violations });
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        let told = |check: &Check| -> Vec<_> {
            check.violations.iter().map(|violation| format!("{}: {violation}", check.name)).collect()
        };
        self.checks.iter().flat_map(told).collect()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for figure in &self.figures {
            writeln!(f, "{figure}")?;
        }
        for Check { name, count, violations } in &self.checks {
            let mark = if violations.is_empty() { "ok" } else { "VIOLATED" };
            writeln!(f, "{mark:8} {count:8} {name}: {} violations", violations.len())?;
            for violation in violations.iter().take(SHOWN) {
                writeln!(f, "             {violation}")?;
            }
        }
        write!(f, "verdict: {} violations", self.violations().len())
    }
}
