//! Real reports of public test suites, sent as an agent would send them, count what is in them.

use std::path::Path;

use e2e::junit::{self, Report};
use e2e::replay::{Options, RunStatus, replay};
use serde_json::json;

use crate::world::{PATIENCE, World, pick};

/// File, and the "counted" row of the data's README: total, passed, failed, errors, skipped.
const COUNTED: [(&str, [u64; 5]); 7] = [
    ("notify-nextest-42tests.xml", [42, 40, 0, 0, 2]),
    ("hickory-resolver-nextest-94tests.xml", [94, 80, 11, 0, 3]),
    ("turbo-playwright-481tests.xml", [481, 472, 9, 0, 0]),
    ("requests-pytest-671tests.xml", [671, 624, 9, 23, 15]),
    ("markdown-it-py-pytest-1190tests.xml", [1190, 1157, 0, 0, 33]),
    ("express-mocha-1256tests.xml", [1256, 1256, 0, 0, 0]),
    ("networkx-pytest-5220tests.xml", [5220, 5080, 126, 0, 14]),
];

/// All but the largest file, which a fleet replays.
#[tokio::test(flavor = "multi_thread")]
async fn every_report_counts_what_its_file_has() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _worker = world.worker().await?;
    for (number, (file, [total, passed, failed, errors, skipped])) in (1..).zip(COUNTED) {
        let mut options = Options::new(&world.base_url, &world.tenant.token, file);
        options.deadline = PATIENCE;
        let summary = replay(options, report(file)?, |_| {}).await?;
        assert_eq!((summary.status, summary.run_number), (RunStatus::Completed, number), "{file}");
        let run = world.get(&format!("/test-runs/{}", summary.run_id)).await?;
        let counts = ["status", "total_tests", "passed_tests", "failed_tests", "skipped_tests", "no_run_tests"];
        let wanted = json!(["completed", total, passed, failed + errors, skipped, 0]);
        assert_eq!(pick(&run, counts), wanted, "{file}");
        let results = world.get(&format!("/test-runs/{}/results?limit=1", summary.run_id)).await?;
        assert_eq!(results["total"], total, "{file}");
    }
    Ok(())
}

/// A report of `tests/data/junit`.
pub(crate) fn report(file: &str) -> anyhow::Result<Report> {
    junit::read_file(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/junit").join(file))
}
