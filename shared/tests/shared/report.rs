//! The report of a run: what it shows, that it is inert, that it stays small in memory, that it is stored once.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::PgPool;
use test_support::{Database, Tenant};
use testrun_shared::actions;
use testrun_shared::db;
use testrun_shared::domain::page::Page;
use testrun_shared::domain::test_run::{NewTestRun, StartTestRun, TestRun};
use testrun_shared::domain::test_run_item::TestRunItem;
use testrun_shared::report::{POLICY, Report};
use uuid::Uuid;

/// A run of test cases with these names, started.
async fn started(db: &PgPool, tenant: &Tenant, run: Value, names: &[&str]) -> anyhow::Result<(Uuid, Vec<TestRunItem>)> {
    let mut cases = Vec::new();
    for name in names {
        let body = serde_json::from_value(json!({"name": name, "suite_path": ["ROOT", "Smoke"]}))?;
        cases.push(actions::test_cases::create(db, &tenant.caller, &body).await?.id);
    }
    let body: NewTestRun = serde_json::from_value(run)?;
    let run_id = actions::test_runs::create(db, &tenant.caller, &body).await?.id;
    actions::test_run_items::add_many(db, &tenant.caller, run_id, &cases).await?;
    let command: StartTestRun =
        serde_json::from_value(json!({"browser_name": "chromium", "browser_version": "120.0"}))?;
    actions::test_runs::start(db, &tenant.caller, run_id, &command).await?;
    let items = db::test_run_items::list(db, run_id, Page { limit: 100, offset: 0 }).await?;
    Ok((run_id, items))
}

/// Submits a result of an item.
async fn submit(db: &PgPool, tenant: &Tenant, item: &TestRunItem, mut result: Value) -> anyhow::Result<()> {
    result["test_run_id"] = json!(item.test_run_id);
    result["test_run_item_id"] = json!(item.id);
    actions::results::submit(db, &tenant.caller, serde_json::from_value(result)?).await?;
    Ok(())
}

/// What the worker does once the last result is in.
async fn finish(db: &PgPool, run_id: Uuid) -> anyhow::Result<()> {
    actions::refresh::refresh(db, run_id).await?;
    actions::finalise::finalise(db, run_id).await?;
    Ok(actions::finalise::write_report(db, run_id).await?)
}

async fn find(db: &PgPool, run_id: Uuid) -> anyhow::Result<TestRun> {
    Ok(db::test_runs::find(db, run_id).await?.expect("the run is there"))
}

/// The pieces of a run's report as a reader gets them, and whether they come from the store.
async fn pieces(db: &PgPool, run_id: Uuid) -> anyhow::Result<(Vec<String>, bool)> {
    let mut report = Report::open(db, find(db, run_id).await?).await?;
    let length = report.length();
    let mut pieces = Vec::new();
    while let Some(piece) = report.next().await? {
        pieces.push(piece);
    }
    if let Some(length) = length {
        assert_eq!(pieces.iter().map(String::len).sum::<usize>(), usize::try_from(length)?);
    }
    Ok((pieces, length.is_some()))
}

async fn page(db: &PgPool, run_id: Uuid) -> anyhow::Result<String> {
    Ok(pieces(db, run_id).await?.0.concat())
}

/// How many reports and parts are stored for a run.
async fn stored(db: &PgPool, run_id: Uuid) -> anyhow::Result<(i64, i64)> {
    let sql = "SELECT (SELECT count(*) FROM test_run_reports WHERE test_run_id = $1),
                      (SELECT count(*) FROM test_run_report_parts WHERE test_run_id = $1)";
    Ok(sqlx::query_as(sql).bind(run_id).fetch_one(db).await?)
}

fn assert_in_order(page: &str, wanted: &[&str]) {
    let mut rest = page;
    for text in wanted {
        let Some(at) = rest.find(text) else {
            panic!("'{text}' is missing, or before what it should follow, in {page}")
        };
        rest = &rest[at + text.len()..];
    }
}

const TAGS: &str = "!doctype html head meta title style body main header section footer article h1 h2 h3 p div span strong \
                    bdi code pre dl dt dd table thead tbody tr th td a svg circle rect text";
const ATTRIBUTES: &str = "class id dir scope href role aria-label aria-hidden viewBox width height rx cx cy r x y pathLength \
                          stroke-dasharray stroke-dashoffset transform";

/// Every tag of the page is one that our templates write, with no attribute but theirs; links lead into the page, the
/// style asks for nothing, and no character is left that terminals or the reading direction obey.
fn assert_inert(page: &str) {
    let (before, rest) = page.split_once("<style>").expect("a style");
    let (style, after) = rest.split_once("</style>").expect("its end");
    assert!(!style.contains("url(") && !style.contains("@import"));
    let (tags, attributes): (BTreeSet<_>, BTreeSet<_>) =
        (TAGS.split_whitespace().collect(), ATTRIBUTES.split_whitespace().collect());
    for tag in [before, after].iter().flat_map(|html| html.split('<').skip(1)) {
        let name = tag.trim_start_matches('/').split([' ', '>', '/', '\n']).next().unwrap_or_default();
        assert!(tags.contains(name), "unknown tag <{name}>");
    }
    for tag in after.split('<').skip(1).filter_map(|tag| tag.split_once('>').map(|(tag, _)| tag)) {
        // Every second piece between quotation marks is a value.
        for attribute in tag.split('"').step_by(2).filter_map(|piece| piece.trim_end().strip_suffix('=')) {
            let name = attribute.split_whitespace().last().unwrap_or_default();
            assert!(attributes.contains(name), "unknown attribute '{name}' in <{tag}>");
        }
    }
    assert!(page.match_indices("href=\"").all(|(at, found)| page[at + found.len()..].starts_with("#f")));
    let is_harmful = |character: char| match character {
        '\n' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    };
    assert_eq!(page.find(is_harmful), None);
}

/// A run with every outcome: passed, failed at the second attempt, failed in one of three iterations, skipped.
async fn eventful(db: &PgPool, tenant: &Tenant) -> anyhow::Result<Uuid> {
    let run = json!({
        "run_name": "Nightly", "suite_path": ["ROOT", "Regression"], "tags": ["daily"], "notes": "Line one\nLine two",
        "retry_on_failure": true, "retry_count": 1,
    });
    let names = ["Sign in", "Check out", "Each currency", "Skipped one", "Search"];
    let (run_id, items) = started(db, tenant, run, &names).await?;
    let passed = json!({"status": "passed", "duration_ms": 1_500, "total_steps": 4, "passed_steps": 4});
    submit(db, tenant, &items[0], passed).await?;
    submit(db, tenant, &items[1], json!({"status": "failed", "error_message": "the first attempt's"})).await?;
    let steps = json!([
        {"step_number": 1, "action": "navigate", "status": "passed"},
        {"step_number": 2, "action": "click", "description": "Pay now", "status": "failed", "duration_ms": 1_200,
         "error_message": "element is covered"},
    ]);
    let failed = json!({
        "status": "failed", "duration_ms": 3_400, "error_message": "Expected 3 items,\n  got 2", "error_step_number": 2,
        "error_screenshot_path": "/shots/check-out.png", "steps": steps,
        "checkpoints": [{"checkpoint_name": "cart", "checkpoint_type": "element", "status": "failed"}],
    });
    submit(db, tenant, &items[1], failed).await?;
    for (iteration, attempt, status) in [(1, 0, "passed"), (2, 0, "failed"), (2, 1, "failed"), (3, 0, "passed")] {
        let message = (status == "failed").then(|| format!("row {iteration}, attempt {attempt}"));
        let result = json!({
            "status": status, "iteration_number": iteration, "total_iterations": 3, "error_message": message,
        });
        submit(db, tenant, &items[2], result).await?;
    }
    submit(db, tenant, &items[3], json!({"status": "skipped"})).await?;
    submit(db, tenant, &items[4], json!({"status": "passed"})).await?;
    finish(db, run_id).await?;
    Ok(run_id)
}

#[tokio::test]
async fn the_head_shows_the_figures_and_the_chart() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let (db, tenant) = (&database.pool, database.tenant("Shop").await?);
    let run_id = eventful(db, &tenant).await?;
    let page = page(db, run_id).await?;
    assert_inert(&page);
    let figures = db::test_run_items::figures(db, run_id).await?;
    assert_eq!((figures.total_tests, figures.passed_tests, figures.failed_tests, figures.skipped_tests), (5, 2, 2, 1));
    assert_in_order(
        &page,
        &[
            "<title>FAILED 2/5: Nightly #1</title>",
            "2 of 5 tests failed",
            "<bdi>Shop</bdi>",
            // The chart: 400 of 1000 passed, as many failed, 200 skipped.
            "arc passed",
            "\"400 1000\" stroke-dashoffset=\"-0\"",
            "arc failed",
            "\"400 1000\" stroke-dashoffset=\"-400\"",
            "arc skipped",
            "\"200 1000\" stroke-dashoffset=\"-800\"",
            ">40 %</text>",
            "Passed</th><td><strong>2</strong></td><td class=\"quiet\">40 %",
            "Failed</th><td><strong>2</strong>",
            "Skipped</th><td><strong>1</strong></td><td class=\"quiet\">20 %",
            "<dt>Tests</dt><dd>5</dd>",
            "<dt>Pass rate</dt><dd>40 %</dd>",
            "<dt>Steps</dt><dd>6</dd><dd class=\"quiet\">5 passed, 1 failed</dd>",
            "<dt>Checkpoints</dt><dd>1</dd><dd class=\"quiet\">0 passed, 1 failed</dd>",
            "completed",
            "ROOT › Regression",
            "chromium 120.0",
            "<bdi>daily</bdi>",
            "Line one\nLine two",
            "Failed tests (2)",
        ],
    );
    Ok(())
}

#[tokio::test]
async fn failures_come_first_then_every_item() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let (db, tenant) = (&database.pool, database.tenant("Shop").await?);
    let page = page(db, eventful(db, &tenant).await?).await?;
    assert_in_order(
        &page,
        &[
            "Failed tests (2)",
            "id=\"f2\"",
            "Check out",
            "took 3.4 s",
            "attempt 2",
            "Expected 3 items,\n  got 2",
            "Failed step",
            "2 <bdi><strong>click</strong></bdi> <bdi>Pay now</bdi>",
            "(1.2 s)",
            "element is covered",
            "Screenshot",
            "/shots/check-out.png",
            "id=\"f3\"",
            "Each currency",
            "2 of 3 iterations passed · iteration 2 failed first · attempt 2",
            "row 2, attempt 1",
            "All tests",
            "Sign in",
            "ROOT › Smoke",
            "Passed",
            "1.5 s",
            "4/4",
            "href=\"#f2\"",
            "Check out",
            "Failed, attempt 2",
            "1/2",
            "0/1",
            "Each currency",
            "Failed (2/3), attempt 2",
            "Skipped one",
            "Skipped",
            "Search",
            "</html>",
        ],
    );
    assert!(!page.contains("the first attempt's"), "only the deciding attempt speaks");
    Ok(())
}

#[tokio::test]
async fn what_clients_wrote_is_inert() -> anyhow::Result<()> {
    const ATTACKS: [&str; 8] = [
        "</title><script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='alert(1)' x='",
        "</pre></style><style>*{display:none}</style><!--",
        "javascript:alert(1)//&lt;script&gt;&#60;b",
        "\u{1b}[31mred\u{1b}[0m \u{1b}]8;;https://evil.example\u{7}link\u{1b}]8;;\u{7} \u{9b}2J",
        "invoice\u{202e}gpj.exe \u{2066}isolated \u{7f}\u{8}",
        "{{ 7*7 }} {% raw %} ]]> <![CDATA[ <svg/onload=alert(1)>",
    ];
    let database = Database::new().await?;
    let (db, tenant) = (&database.pool, database.tenant("\"><img src=x onerror=alert(1)>").await?);
    let all = ATTACKS.join("\n");
    let run = json!({"run_name": ATTACKS[0], "suite_path": ATTACKS, "tags": ["<i>tag</i>"], "notes": all});
    let (run_id, items) = started(db, &tenant, run, &ATTACKS).await?;
    for (item, attack) in items.iter().zip(ATTACKS) {
        let step = json!({
            "step_number": 1, "status": "failed", "action": attack, "description": attack, "error_message": attack,
        });
        let result = json!({
            "status": "failed", "error_message": all, "error_screenshot_path": attack, "steps": [step],
        });
        submit(db, &tenant, item, result).await?;
    }
    sqlx::query("UPDATE test_runs SET failure_reason = $2, browser_name = $3 WHERE id = $1")
        .bind(run_id)
        .bind(&all)
        .bind(ATTACKS[1])
        .execute(db)
        .await?;
    finish(db, run_id).await?;

    let page = page(db, run_id).await?;
    assert_inert(&page);
    assert_in_order(
        &page,
        &[
            "<title>FAILED 8/8: &#60;/title&#62;&#60;script&#62;alert(1)&#60;/script&#62; #1</title>",
            "Project <bdi>&#34;&#62;&#60;img src=x onerror=alert(1)&#62;</bdi>",
            "red link",
            "invoicegpj.exe isolated",
            "{{ 7*7 }}",
            "&#60;i&#62;tag&#60;/i&#62;",
            "<bdi>&#39; onmouseover=&#39;alert(1)&#39; x=&#39;</bdi>",
            "javascript:alert(1)//&#38;lt;script&#38;gt;&#38;#60;b",
        ],
    );
    assert!(!page.contains("evil.example"), "a link that a terminal would hide is gone");
    Ok(())
}

#[tokio::test]
async fn the_pages_own_policy_is_part_of_the_header() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let (db, tenant) = (&database.pool, database.tenant("A").await?);
    let run_id = actions::test_runs::create(db, &tenant.caller, &NewTestRun::default()).await?.id;
    let page = page(db, run_id).await?;
    let (_, own) = page.split_once("http-equiv=\"Content-Security-Policy\" content=\"").expect("a policy");
    let (own, _) = own.split_once('"').expect("its end");
    assert!(own.contains("default-src 'none'") && !own.contains("script"));
    assert!(POLICY.starts_with(own), "{POLICY} begins with {own}");
    Ok(())
}

#[tokio::test]
async fn long_messages_are_cut_and_said_to_be() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let (db, tenant) = (&database.pool, database.tenant("A").await?);
    let (run_id, items) = started(db, &tenant, json!({}), &["wide", "long", "short"]).await?;
    let messages = ["&".repeat(65_536), "line\n".repeat(700), "short".to_owned()];
    for (item, message) in items.iter().zip(&messages) {
        submit(db, &tenant, item, json!({"status": "failed", "error_message": message})).await?;
    }
    finish(db, run_id).await?;
    let page = page(db, run_id).await?;
    let lengths = ["the whole message has 65536 characters", "the whole message has 3500 characters", "All tests"];
    assert_in_order(&page, &lengths);
    assert_eq!(page.matches("Cut here").count(), 2);
    assert_eq!(page.matches("&#38;").count(), 4_000);
    assert_eq!(page.lines().filter(|line| line.trim_end_matches("</pre>") == "line").count(), 80);
    Ok(())
}

#[tokio::test]
async fn a_run_of_ten_thousand_items_comes_in_pieces_of_bounded_size() -> anyhow::Result<()> {
    const ITEMS: usize = 10_000;
    const LARGEST: usize = 2 * 1024 * 1024;
    let database = Database::new().await?;
    let (db, tenant) = (&database.pool, database.tenant("A").await?);
    let body: NewTestRun = serde_json::from_value(json!({"notes": "<".repeat(50_000)}))?;
    let run_id = actions::test_runs::create(db, &tenant.caller, &body).await?.id;
    // Everything as long as it may be, and every character one that has to be escaped.
    let cases: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO test_cases (project_id, name, suite_path)
         SELECT $1, rpad(n::text, 255, '\"'), array_fill(repeat('<', 255), ARRAY[32])
         FROM generate_series(1, $2) AS n
         RETURNING id",
    )
    .bind(tenant.project_id)
    .bind(i32::try_from(ITEMS)?)
    .fetch_all(db)
    .await?;
    actions::test_run_items::add_many(db, &tenant.caller, run_id, &cases).await?;
    actions::test_runs::start(db, &tenant.caller, run_id, &StartTestRun::default()).await?;
    for sql in [
        "UPDATE test_run_items
         SET status = CASE WHEN execution_order % 20 = 0 THEN 'failed' ELSE 'passed' END, completed_at = now(),
             error_message = CASE WHEN execution_order % 20 = 0 THEN repeat('&', 65536) END
         WHERE test_run_id = $1",
        "INSERT INTO test_run_results (test_run_id, test_run_item_id, test_case_id, status)
         SELECT test_run_id, id, test_case_id, 'failed' FROM test_run_items WHERE test_run_id = $1 AND status = 'failed'",
        "INSERT INTO test_step_results (test_run_result_id, step_number, action, description, status, error_message)
         SELECT id, 1, repeat('<', 100), repeat('<', 65536), 'failed', repeat('<', 65536)
         FROM test_run_results
         WHERE test_run_id = $1",
    ] {
        sqlx::query(sql).bind(run_id).execute(db).await?;
    }
    finish(db, run_id).await?;

    let (pieces, is_stored) = pieces(db, run_id).await?;
    assert!(is_stored);
    let largest = pieces.iter().map(String::len).max().unwrap_or_default();
    assert!(largest < LARGEST, "the largest of {} pieces has {largest} bytes", pieces.len());
    let page = pieces.concat();
    assert!(page.len() > 10 * LARGEST, "the page is to be much larger than any piece, and has {} bytes", page.len());
    assert_eq!(page.matches("<tr class=\"passed\"><td").count(), ITEMS / 20 * 19);
    assert_eq!(page.matches("<tr class=\"failed\"><td").count(), ITEMS / 20);
    assert_eq!(page.matches("<article").count(), ITEMS / 20);
    assert!(page.contains("<dt>Tests</dt><dd>10000</dd>") && page.trim_end().ends_with("</html>"));
    assert_inert(&page);
    Ok(())
}

#[tokio::test]
async fn before_the_end_a_report_is_rendered_on_demand_and_not_stored() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let (db, tenant) = (&database.pool, database.tenant("A").await?);
    let (run_id, items) = started(db, &tenant, json!({}), &["one", "two"]).await?;
    submit(db, &tenant, &items[0], json!({"status": "passed"})).await?;
    actions::finalise::write_report(db, run_id).await?;

    let (running, is_stored) = pieces(db, run_id).await?;
    assert!(!is_stored);
    let wanted =
        ["RUNNING 1/2", "The run has not ended", "Not finished</th><td><strong>1</strong>", "Pending", "</html>"];
    assert_in_order(&running.concat(), &wanted);
    assert_eq!(stored(db, run_id).await?, (0, 0));
    assert_eq!(find(db, run_id).await?.report_path, None);
    Ok(())
}

#[tokio::test]
async fn a_run_without_items_has_a_report_too() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let (db, tenant) = (&database.pool, database.tenant("A").await?);
    let run_id = actions::test_runs::create(db, &tenant.caller, &NewTestRun::default()).await?.id;
    let wanted = ["PENDING: Run_001</title>", "<dt>Tests</dt><dd>0</dd>", "Failed tests (0)", "None.", "</html>"];
    assert_in_order(&page(db, run_id).await?, &wanted);
    actions::test_runs::cancel(db, &tenant.caller, run_id).await?;
    finish(db, run_id).await?;
    let (cancelled, is_stored) = pieces(db, run_id).await?;
    assert!(is_stored);
    assert_in_order(&cancelled.concat(), &["CANCELLED: Run_001</title>", "The run was cancelled", "</html>"]);
    Ok(())
}

#[tokio::test]
async fn finalising_twice_and_at_once_leaves_one_report() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let (db, tenant) = (&database.pool, database.tenant("A").await?);
    let (run_id, items) = started(db, &tenant, json!({}), &["one"]).await?;
    submit(db, &tenant, &items[0], json!({"status": "passed"})).await?;
    finish(db, run_id).await?;
    let first = pieces(db, run_id).await?;
    assert!(first.1);
    let run = find(db, run_id).await?;
    assert_eq!(run.report_path, Some(format!("/api/v1/test-runs/{run_id}/report")));

    actions::finalise::finalise(db, run_id).await?;
    actions::finalise::write_report(db, run_id).await?;
    assert_eq!(pieces(db, run_id).await?, first, "nothing was rendered again");
    assert_eq!(stored(db, run_id).await?, (1, 1));
    assert_eq!(find(db, run_id).await?.updated_at, run.updated_at);

    sqlx::query("DELETE FROM test_run_reports").execute(db).await?;
    let write = || actions::finalise::write_report(db, run_id);
    let (a, b, c, d) = tokio::join!(write(), write(), write(), write());
    a.and(b).and(c).and(d)?;
    assert_eq!(stored(db, run_id).await?, (1, 1));
    assert!(pieces(db, run_id).await?.1);
    Ok(())
}

#[tokio::test]
async fn a_change_after_the_end_is_shown_at_once_and_stored_with_the_next_rendering() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let (db, tenant) = (&database.pool, database.tenant("A").await?);
    let (run_id, items) = started(db, &tenant, json!({"run_name": "Before"}), &["one"]).await?;
    submit(db, &tenant, &items[0], json!({"status": "failed"})).await?;
    finish(db, run_id).await?;

    // The last item's steps often come after the result that ended the run.
    let results = db::test_run_results::list_of_run(db, run_id, Page { limit: 1, offset: 0 }).await?;
    let steps = json!([{"step_number": 1, "action": "late click", "status": "failed"}]);
    actions::results::add_steps(db, &tenant.caller, results[0].id, serde_json::from_value(steps)?).await?;
    actions::refresh::refresh(db, run_id).await?;
    let (late, is_stored) = pieces(db, run_id).await?;
    assert!(!is_stored && late.concat().contains("late click"));

    actions::finalise::write_report(db, run_id).await?;
    let (late, is_stored) = pieces(db, run_id).await?;
    assert!(is_stored && late.concat().contains("late click"));
    assert_eq!(stored(db, run_id).await?, (1, 1), "the older parts are gone");

    let patch = serde_json::from_value(json!({"run_name": "After"}))?;
    actions::test_runs::update(db, &tenant.caller, run_id, patch).await?;
    assert!(page(db, run_id).await?.contains("After #1"));
    Ok(())
}
