//! What operators ask every service: `/healthz`, `/readyz`, `/metrics`.

pub mod catalogue;
mod process;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// Whether a service should get work, and if not, why.
///
/// Each part of the service promises to show itself every so often; one that is late makes the service not ready. A process
/// that is alive but cannot reach its database is not ready, and says so.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<Parts>>);

#[derive(Debug, Default)]
struct Parts {
    stopping: bool,
    parts: BTreeMap<&'static str, Part>,
}

#[derive(Debug)]
struct Part {
    patience: Duration,
    seen: Option<Instant>,
}

impl Readiness {
    /// Expects `part` to show itself at least every `patience`. It is late until it does so first.
    pub fn expect(&self, part: &'static str, patience: Duration) {
        self.lock().parts.entry(part).or_insert(Part { patience, seen: None }).patience = patience;
    }

    /// Notes that `part` works.
    pub fn beat(&self, part: &'static str) {
        if let Some(part) = self.lock().parts.get_mut(part) {
            part.seen = Some(Instant::now());
        }
    }

    /// Notes that the service is about to stop: it is not ready from now on.
    pub fn stop(&self) {
        self.lock().stopping = true;
    }

    /// Whether each of these parts is known and the service is ready.
    #[must_use]
    pub fn covers(&self, parts: &[&str]) -> bool {
        parts.iter().all(|part| self.lock().parts.contains_key(part)) && self.check().is_ok()
    }

    /// Whether the service is ready.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self) -> Result<(), String> {
        let state = self.lock();
        if state.stopping {
            return Err("the service is stopping".to_owned());
        }
        for (name, part) in &state.parts {
            match part.seen.map(|seen| seen.elapsed()) {
                Some(age) if age <= part.patience => {}
                Some(age) => return Err(format!("{name}: last worked {} s ago", age.as_secs())),
                None => return Err(format!("{name}: has not worked yet")),
            }
        }
        Ok(())
    }

    /// How long ago each part worked last, as far as it ever did. By the process's monotonic clock: that the wall clock is
    /// wrong does not show here.
    fn ages(&self) -> Vec<(&'static str, Duration)> {
        let state = self.lock();
        state.parts.iter().filter_map(|(name, part)| Some((*name, part.seen?.elapsed()))).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has `readiness` wait for the part that [`watch_database`] shows.
pub fn expect_database(readiness: &Readiness) {
    readiness.expect("database", Duration::from_secs(5));
}

/// Asks the database every second, as the part `database` of a service, until `shutdown`, and measures the pool.
pub async fn watch_database(db: PgPool, readiness: Readiness, shutdown: CancellationToken) {
    expect_database(&readiness);
    loop {
        match ask(&db).await {
            Ok(()) => readiness.beat("database"),
            Err(error) => tracing::warn!(error = %error, "the database does not answer"),
        }
        measure_pool(&db);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

async fn ask(db: &PgPool) -> sqlx::Result<()> {
    let began = Instant::now();
    let acquired = db.acquire().await;
    // Also when it was in vain: who waits for connections is to be seen just then.
    metrics::histogram!("testrun_db_acquire_seconds", "program" => program(db)).record(began.elapsed());
    sqlx::query("SELECT 1").execute(&mut *acquired?).await.map(|_| ())
}

/// Shows how a program's pool stands.
pub fn measure_pool(db: &PgPool) {
    let idle = u32::try_from(db.num_idle()).unwrap_or(u32::MAX);
    let gauge = |state| metrics::gauge!("testrun_db_connections", "program" => program(db), "state" => state);
    gauge("idle").set(f64::from(idle));
    gauge("in_use").set(f64::from(db.size().saturating_sub(idle)));
    metrics::gauge!("testrun_db_connections_max", "program" => program(db)).set(db.options().get_max_connections());
}

/// The name under which a program's connections are known to the database.
fn program(db: &PgPool) -> String {
    db.connect_options().get_application_name().unwrap_or("testrun").to_owned()
}

/// The three paths, for a service's own router or for [`serve`].
pub fn router(readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(render_metrics))
        .with_state(readiness)
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    match readiness.check() {
        Ok(()) => {
            let line = |(name, age): (&str, Duration)| format!("{name}: last worked {} s ago\n", age.as_secs());
            ["ready\n".to_owned()]
                .into_iter()
                .chain(readiness.ages().into_iter().map(line))
                .collect::<String>()
                .into_response()
        }
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}

async fn render_metrics(State(readiness): State<Readiness>) -> String {
    for (part, age) in readiness.ages() {
        metrics::gauge!("testrun_last_success_age_seconds", "part" => part).set(age);
    }
    process::measure();
    metrics().render()
}

/// Answers the three paths at `listen` until `shutdown`.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn serve(listen: SocketAddr, readiness: Readiness, shutdown: CancellationToken) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| format!("TESTRUN_ADMIN_LISTEN: cannot listen on {listen}"))?;
    tracing::info!(address = %listener.local_addr()?, "health and metrics");
    axum::serve(listener, router(readiness)).with_graceful_shutdown(shutdown.cancelled_owned()).await?;
    Ok(())
}

/// The process's one recorder of metrics.
fn metrics() -> &'static PrometheusHandle {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
            .map_or_else(|_| PrometheusBuilder::new().build_recorder(), PrometheusBuilder::build_recorder);
        let handle = recorder.handle();
        // A second recorder can only be refused, and then the first one is this one.
        drop(metrics::set_global_recorder(recorder));
        catalogue::describe();
        process::started();
        handle
    })
}

/// How often what histograms recorded is put into their buckets. Until then every single value is kept, and whether
/// somebody comes and reads the metrics must not decide how much memory the process takes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Starts recording metrics. Call it before anything is counted.
pub fn start_metrics() {
    static UPKEPT: std::sync::Once = std::sync::Once::new();
    let metrics = metrics();
    UPKEPT.call_once(|| {
        let upkeep = move || {
            loop {
                std::thread::sleep(UPKEEP);
                metrics.run_upkeep();
            }
        };
        // A thread of its own: it is the process's and belongs to no runtime.
        if let Err(error) = std::thread::Builder::new().name("metrics".to_owned()).spawn(upkeep) {
            tracing::error!(%error, "metrics are kept without upkeep; read them often");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_never_showed_itself_or_is_late_or_stopping_makes_the_service_not_ready() {
        let readiness = Readiness::default();
        assert_eq!(readiness.check(), Ok(()));
        readiness.expect("queue", Duration::ZERO);
        assert_eq!(readiness.check(), Err("queue: has not worked yet".to_owned()));
        readiness.beat("queue");
        assert!(readiness.check().is_err_and(|reason| reason.starts_with("queue: last worked")));
        readiness.expect("queue", Duration::from_secs(60));
        assert_eq!(readiness.check(), Ok(()));
        readiness.stop();
        assert_eq!(readiness.check(), Err("the service is stopping".to_owned()));
    }
}
