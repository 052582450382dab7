//! `testrun health`, which containers run to see whether their service is ready.

use test_support::{Database, Process, refusing_port};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::programs::{output, printed};

#[tokio::test(flavor = "multi_thread")]
async fn the_health_check_tells_ready_from_not_ready_by_its_exit_code() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let scheduler = Process::scheduler(&database.url).await?;
    let ready = format!("{}/readyz", scheduler.url().await?);
    let told = printed("testrun", &[], &["health", "--url", &ready]).await?;
    assert!(told.starts_with("ready\n") && told.contains("fire: last worked"), "{told}");
    let told = printed("testrun", &[("TESTRUN_HEALTH_URL", &ready)], &["health"]).await?;
    assert!(told.starts_with("ready\n"), "{told}");

    let service = MockServer::start().await;
    let not_ready = ResponseTemplate::new(503).set_body_string("not ready: database: last worked 7 s ago\n");
    Mock::given(path("/readyz")).respond_with(not_ready).mount(&service).await;
    let refused = output("testrun", &[], &["health", "--url", &format!("{}/readyz", service.uri())]).await?;
    assert_eq!(refused.status.code(), Some(1));
    let reason = String::from_utf8(refused.stderr)?;
    assert!(reason.starts_with("Error: not ready: database: last worked 7 s ago\n"), "{reason}");

    assert!(scheduler.stop().await?);
    // Not at the scheduler's address, which another program may have by now.
    let (_kept, address) = refusing_port()?;
    let away = format!("http://{address}/readyz");
    let gone = output("testrun", &[], &["health", "--url", &away]).await?;
    let reason = String::from_utf8(gone.stderr)?;
    assert!(gone.status.code() == Some(1) && reason.contains(&format!("cannot ask {away}")), "{reason}");
    Ok(())
}
