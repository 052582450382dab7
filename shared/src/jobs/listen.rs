//! Hears jobs being rung for, on one connection for all queues of the process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::db;

/// Where the trigger on apalis's table tells of jobs that are due at once.
const CHANNEL: &str = "apalis::job::insert";

/// How long to wait before listening again after the connection broke.
const RETRY: Duration = Duration::from_millis(500);

/// A bell for each queue of this process.
pub(super) type Bells = HashMap<&'static str, Arc<Notify>>;

#[derive(Deserialize)]
struct Rung<'a> {
    #[serde(borrow)]
    job_type: std::borrow::Cow<'a, str>,
}

/// Rings the bells of queues that jobs are rung for, until `stop`, whatever happens to the connection.
pub(super) async fn listen(db: PgPool, bells: Bells, stop: CancellationToken) {
    let listening = async {
        loop {
            match listen_until_broken(&db, &bells).await {
                Ok(()) => tracing::warn!("the connection that listens for jobs was closed"),
                Err(error) => tracing::warn!(%error, "the connection that listens for jobs broke"),
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::select! {
        () = listening => {}
        () = stop.cancelled() => {}
    }
}

async fn listen_until_broken(db: &PgPool, bells: &Bells) -> sqlx::Result<()> {
    let mut listener = db::listener(db, CHANNEL).await?;
    // Jobs may have been rung for while nobody listened.
    bells.values().for_each(|bell| bell.notify_one());
    while let Some(told) = listener.try_recv().await? {
        let Ok(rung) = serde_json::from_str::<Rung<'_>>(told.payload()) else { continue };
        if let Some(bell) = bells.get(rung.job_type.as_ref()) {
            bell.notify_one();
        }
    }
    Ok(())
}
