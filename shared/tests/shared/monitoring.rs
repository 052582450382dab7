//! The dashboard and the alert rules in `deploy/grafana`: what they ask for exists, and what they tell is explained.

use std::collections::BTreeSet;

use testrun_shared::ops::catalogue::{Kind, METRICS};

const DASHBOARD: &str = include_str!("../../../deploy/grafana/dashboard.json");
const ALERTS: &str = include_str!("../../../deploy/grafana/alerts.yaml");
const ALERT_TESTS: &str = include_str!("../../../deploy/grafana/alerts.test.yaml");
const OPERATIONS: &str = include_str!("../../../docs/operations.md");

/// Labels that Prometheus adds, and that of the buckets.
const LABELS_OF_PROMETHEUS: &[&str] = &["job", "instance", "le"];

/// The series that a metric shows.
fn series() -> BTreeSet<String> {
    let of = |name: &str, kind| match kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"].iter().map(|end| format!("{name}{end}")).collect(),
        Kind::Counter | Kind::Gauge => vec![name.to_owned()],
    };
    METRICS.iter().flat_map(|metric| of(metric.name, metric.kind)).collect()
}

/// Everything in a text that is called as our metrics are.
fn metrics_in(text: &str) -> BTreeSet<String> {
    text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'))
        .filter(|word| word.starts_with("testrun_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_metric_of_the_dashboard_and_of_the_alerts_exists() {
    let known = series();
    for (file, text) in [("dashboard.json", DASHBOARD), ("alerts.yaml", ALERTS), ("alerts.test.yaml", ALERT_TESTS)] {
        let asked = metrics_in(text);
        assert!(asked.len() > 5, "{file}: {asked:?}");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}");
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let shown = metrics_in(DASHBOARD);
    let missing: Vec<_> = METRICS
        .iter()
        .map(|metric| metric.name)
        .filter(|name| !shown.iter().any(|series| series.strip_suffix("_bucket").unwrap_or(series) == *name))
        // How long those waited that had to: for whoever looks closer.
        .filter(|name| *name != "testrun_http_wait_seconds")
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_label_that_the_dashboard_and_the_alerts_group_by_is_one_of_a_metric() {
    let known: BTreeSet<&str> =
        METRICS.iter().flat_map(|metric| metric.labels).chain(LABELS_OF_PROMETHEUS).copied().collect();
    for text in [DASHBOARD, ALERTS] {
        let grouped = text.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
        let labels: BTreeSet<&str> = grouped.flat_map(|list| list.split(", ")).collect();
        assert!(labels.len() > 2, "{labels:?}");
        let unknown: Vec<_> = labels.difference(&known).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}

#[test]
fn every_alert_has_an_entry_in_the_runbook_and_the_other_way_round() {
    let alerts: BTreeSet<&str> = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let entries: BTreeSet<&str> = OPERATIONS.lines().filter_map(|line| line.strip_prefix("### Testrun")).collect();
    let alerts: BTreeSet<&str> = alerts.iter().filter_map(|name| name.strip_prefix("Testrun")).collect();
    assert!(!alerts.is_empty());
    assert_eq!(entries, alerts);
}
