//! The metrics: what the source records, what the catalogue has, what the documentation says, and what `/metrics` shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use testrun_shared::ops::catalogue::METRICS;

/// How a metric is recorded, or described: its kind and its labels.
type Facts = (String, BTreeSet<String>);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn catalogue() -> BTreeMap<String, Facts> {
    let labels = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
    METRICS
        .iter()
        .map(|metric| (metric.name.to_owned(), (metric.kind.as_str().to_owned(), labels(metric.labels))))
        .collect()
}

#[test]
fn every_name_is_taken_once_has_its_prefix_its_unit_and_sorted_labels() {
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    for metric in METRICS {
        let kind = metric.kind.as_str();
        let ends = metric.name.ends_with("_total") == (kind == "counter")
            && (kind != "histogram" || metric.name.ends_with("_seconds"));
        let prefixed = metric.name.starts_with("testrun_") || metric.name.starts_with("process_");
        if !names.insert(metric.name) || !ends || !prefixed || !metric.labels.is_sorted() || metric.help.is_empty() {
            wrong.push(metric.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_documentation_lists_the_metrics_that_there_are() -> anyhow::Result<()> {
    let text = std::fs::read_to_string(root().join("docs/operations.md"))?;
    let (_, metrics) = text.split_once("\n## Metrics\n").ok_or_else(|| anyhow::anyhow!("no chapter Metrics"))?;
    let (metrics, _) = metrics.split_once("\n## ").unwrap_or((metrics, ""));
    let mut documented = BTreeMap::new();
    for line in metrics.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, unit, meaning, alarming] = cells[..] else { anyhow::bail!("not six cells: {line}") };
        anyhow::ensure!(!unit.is_empty() && !meaning.is_empty() && !alarming.is_empty(), "an empty cell: {line}");
        let labels = labels.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let before = documented.insert(name.trim_matches('`').to_owned(), (kind.to_owned(), labels));
        anyhow::ensure!(before.is_none(), "twice: {line}");
    }
    similar(&documented, &catalogue(), "docs/operations.md", "shared/src/ops/catalogue.rs");
    Ok(())
}

#[test]
fn the_source_records_the_metrics_that_there_are() -> anyhow::Result<()> {
    let mut recorded = BTreeMap::new();
    let mut wrong = Vec::new();
    for file in sources()? {
        let text = std::fs::read_to_string(&file)?;
        for kind in ["counter", "gauge", "histogram"] {
            for call in text.split(&format!("metrics::{kind}!(")).skip(1) {
                let Some((name, labels)) = arguments(call) else {
                    wrong.push(format!("{}: the name is no literal: {:.60}", file.display(), call));
                    continue;
                };
                let facts = (kind.to_owned(), labels);
                let before = recorded.insert(name.clone(), facts.clone());
                if before.is_some_and(|before| before != facts) {
                    wrong.push(format!("{}: {name} is recorded in two ways", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    similar(&recorded, &catalogue(), "the source", "shared/src/ops/catalogue.rs");
    Ok(())
}

/// The name and the labels in what follows a macro's parenthesis.
fn arguments(call: &str) -> Option<(String, BTreeSet<String>)> {
    let mut depth = 1;
    let end = call.find(|character| {
        depth += match character {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    })?;
    let call = call[..end].trim();
    let (name, labels) = call.strip_prefix('"')?.split_once('"')?;
    // What follows the last arrow is a value.
    let before_arrows = labels.rsplit("=>").skip(1);
    let labels = before_arrows.filter_map(|text| text.trim().strip_suffix('"')?.rsplit_once('"'));
    Some((name.to_owned(), labels.map(|(_, label)| label.to_owned()).collect()))
}

/// The source files of the programs, without their tests.
fn sources() -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = ["api/src", "deploy/standalone/src", "scheduler/src", "shared/src", "worker/src"]
        .map(|folder| root().join(folder))
        .into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    anyhow::ensure!(found.len() > 100, "files are missing: {found:?}");
    Ok(found)
}

fn similar(one: &BTreeMap<String, Facts>, other: &BTreeMap<String, Facts>, where_one: &str, where_other: &str) {
    let missing = |in_one: &BTreeMap<String, Facts>, in_other: &BTreeMap<String, Facts>| -> Vec<String> {
        in_one.iter().filter(|(name, facts)| in_other.get(*name) != Some(facts)).map(|one| format!("{one:?}")).collect()
    };
    let (only_one, only_other) = (missing(one, other), missing(other, one));
    assert!(
        only_one.is_empty() && only_other.is_empty(),
        "only in {where_one}:\n{}\nonly in {where_other}:\n{}",
        only_one.join("\n"),
        only_other.join("\n")
    );
}
