//! What systemd is told of a service that it started with `Type=notify`.

use std::future::Future;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::ops::Readiness;

/// How often a service that is not ready yet is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Does `work`, and meanwhile tells systemd once `readiness` says that the service is ready, and when `shutdown` begins to
/// end it. Whoever was not started by systemd (`NOTIFY_SOCKET` is not set) tells nobody.
///
/// What `readiness` has to wait for must be expected before, or a service that has done nothing yet passes for ready.
pub async fn notified<T>(work: impl Future<Output = T>, readiness: Readiness, shutdown: CancellationToken) -> T {
    let mut work = std::pin::pin!(work);
    let stopping = async {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = until_ready(&readiness) => {
                tell(&NotifyState::Ready);
                shutdown.cancelled().await;
            }
        }
    };
    tokio::select! {
        // First, so that systemd hears of a stop before the process is gone.
        biased;
        () = stopping => {}
        outcome = &mut work => return outcome,
    }
    tell(&NotifyState::Stopping);
    work.await
}

async fn until_ready(readiness: &Readiness) {
    while readiness.check().is_err() {
        tokio::time::sleep(LOOK).await;
    }
}

fn tell(state: &NotifyState<'_>) {
    // Nothing depends on it but systemd, which kills a service that is not heard of in time and says so itself.
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, %state, "systemd could not be told");
    }
}
