//! What `/metrics` tells of requests.

use serde_json::json;

use crate::app::App;

async fn shown(app: &App) -> anyhow::Result<String> {
    Ok(app.server.send("GET", "/metrics", &[], Vec::new()).await?.text())
}

/// The value of a line that begins like this.
fn value(metrics: &str, line: &str) -> f64 {
    let rest = metrics.lines().find_map(|one| one.strip_prefix(line));
    rest.and_then(|rest| rest.trim().parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn requests_are_counted_and_timed_by_method_pattern_and_status() -> anyhow::Result<()> {
    testrun_shared::ops::start_metrics();
    let app = App::start().await?;
    let case = app.client.post("/api/v1/test-cases", &json!({"name": "A"})).await?.expect(201)?;
    let path = format!("/api/v1/test-cases/{}/history", case["id"].as_str().unwrap_or_default());
    let line = "testrun_http_requests_total{method=\"GET\",route=\"/api/v1/test-cases/{test_case_id}/history\",status=\"200\"}";
    let took = "testrun_http_request_duration_seconds_count{method=\"GET\",route=\"/api/v1/test-cases/{test_case_id}/history\"}";
    let before = shown(&app).await?;
    app.client.get(&path).await?.expect(200)?;
    app.client.get(&path).await?.expect(200)?;
    let after = shown(&app).await?;
    // Other tests of this process may ask as well.
    assert!(value(&after, line) >= value(&before, line) + 2.0, "{after}");
    assert!(value(&after, took) >= value(&before, took) + 2.0, "{after}");
    Ok(())
}

#[tokio::test]
async fn what_clients_make_up_becomes_no_label() -> anyhow::Result<()> {
    testrun_shared::ops::start_metrics();
    let app = App::start().await?;
    // A word, and no number: some figure among all the others may have any digits.
    app.send("GET", "/made/up/path-of-mine", "").await?;
    app.send("BREW-OF-MINE", "/api/v1/test-runs", "").await?;
    let metrics = shown(&app).await?;
    assert!(!metrics.to_lowercase().contains("of-mine"), "{metrics}");
    let unmatched = "testrun_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"}";
    assert!(value(&metrics, unmatched) >= 1.0, "{metrics}");
    let other = "testrun_http_requests_total{method=\"other\",route=\"/api/v1/test-runs\",status=\"405\"}";
    assert!(value(&metrics, other) >= 1.0, "{metrics}");
    Ok(())
}

#[tokio::test]
async fn every_metric_that_is_shown_says_what_it_is() -> anyhow::Result<()> {
    testrun_shared::ops::start_metrics();
    let app = App::start().await?;
    app.client.get("/api/v1/test-runs").await?.expect(200)?;
    let metrics = shown(&app).await?;
    for metric in testrun_shared::ops::catalogue::METRICS {
        let is_shown = metrics.lines().any(|line| line.starts_with(metric.name));
        let help = format!("# HELP {} {}", metric.name, metric.help);
        assert!(!is_shown || metrics.lines().any(|line| line == help), "no line {help:?} in\n{metrics}");
    }
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"] {
        assert!(!cfg!(target_os = "linux") || value(&metrics, name) > 0.0, "{name} in\n{metrics}");
    }
    Ok(())
}
