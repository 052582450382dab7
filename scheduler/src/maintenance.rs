//! What has to be looked after: lost doorbells, silent runs, finished jobs.

use std::time::Duration;

use sqlx::PgPool;
use testrun_shared::{actions, jobs};

/// Rings again for everything that is due and did not move.
pub(crate) async fn sweep(pool: &PgPool) -> testrun_shared::Result<()> {
    jobs::sweep::sweep(pool).await.map(|_| ())
}

/// Fails runs that no client worked on for longer than `limit`.
pub(crate) async fn fail_silent_runs(pool: &PgPool, limit: Duration) -> testrun_shared::Result<()> {
    actions::test_runs::fail_silent(pool, limit).await.map(|_| ())
}

/// Clears away jobs and workers that are long finished.
pub(crate) async fn prune(pool: &PgPool) -> testrun_shared::Result<()> {
    let mut conn = pool.acquire().await?;
    let rows = jobs::prune(&mut conn).await?;
    tracing::debug!(rows, "pruned finished jobs and workers that are gone");
    Ok(())
}
