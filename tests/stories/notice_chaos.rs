//! The short version of `cargo run -p e2e --example notice-chaos`.

use std::time::Duration;

use crate::chaos::notices;

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_and_silent_receivers_cost_no_mail_no_delivery_and_no_event() -> anyhow::Result<()> {
    let duration = Duration::from_secs(9);
    let options = notices::Options { seed: 10, mails: 24, deliveries: 24, streams: 20, faulty_attempts: 1, duration };
    let verdict = notices::run(options, |line| eprintln!("chaos: {line}")).await?;
    eprintln!("chaos: {verdict}");
    assert_eq!(verdict.violations(), Vec::<&str>::new());
    // One is about the webhook that was disabled.
    assert_eq!((verdict.mails.due, verdict.mails.sent + verdict.mails.refused), (25, 25));
    assert!(verdict.mails.refused > 0 && verdict.deliveries.gone > 0 && verdict.faults > 0, "{verdict}");
    assert_eq!(verdict.deliveries.delivered + verdict.deliveries.gone, verdict.deliveries.due);
    assert_eq!((verdict.streams.server_sent, verdict.streams.web_sockets), (10, 10));
    Ok(())
}
