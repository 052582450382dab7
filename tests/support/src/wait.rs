//! Waiting for what will be true.

use std::future::Future;
use std::time::{Duration, Instant};

/// Asks until the answer is there, and returns it.
///
/// # Errors
/// If it is not there after `within`, naming `what` was waited for.
pub async fn until<T, F: Future<Output = anyhow::Result<Option<T>>>>(
    what: &str,
    within: Duration,
    mut ask: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        anyhow::ensure!(Instant::now() < deadline, "waited {within:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
