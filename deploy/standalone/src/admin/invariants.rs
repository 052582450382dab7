//! `testrun admin check`

use clap::Args;
use serde_json::json;
use sqlx::PgPool;
use testrun_shared::db::invariants::{self, CHECKS};

use super::print;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Fails if something is violated.
pub(super) async fn run(pool: &PgPool, Check { json: as_json }: Check) -> anyhow::Result<()> {
    let findings = invariants::check(pool, None).await?;
    let violated = findings.iter().filter(|finding| finding.violations > 0).count();
    let rows = CHECKS.iter().zip(&findings);
    if as_json {
        let row = |(check, finding): (&invariants::Check, &invariants::Finding)| json!({"check": check.name, "rule": check.rule, "violations": finding.violations, "examples": finding.examples});
        print::json(&rows.map(row).collect::<Vec<_>>())?;
    } else {
        let row = |(check, finding): (&invariants::Check, &invariants::Finding)| {
            let violations = finding.violations.to_string();
            vec![check.name.to_owned(), violations, check.rule.to_owned(), finding.examples.join(" ")]
        };
        print::table(&["CHECK", "VIOLATIONS", "RULE", "EXAMPLES"], rows.map(row));
    }
    anyhow::ensure!(violated == 0, "{violated} of {} rules are violated", findings.len());
    Ok(())
}
