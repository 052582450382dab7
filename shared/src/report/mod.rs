//! The HTML report of a run: one page that needs nothing else, in pieces, so that a run of any size takes little memory.
//!
//! Everything that a client wrote is cleaned by `text` and escaped by the templates; the page has no script, and its own
//! policy forbids any. The stored report is a copy for readers: if it is missing or older than the run, the page is
//! rendered while it is read.

mod rendering;
mod rows;
mod view;

use futures_util::{Stream, TryStreamExt as _, stream};
use sqlx::PgPool;
use uuid::Uuid;

use crate::db;
use crate::db::test_run_reports::StoredReport;
use crate::domain::test_run::TestRun;
use crate::error::{Error, Result};

pub use rendering::Rendering;

/// What the page may do (Content-Security-Policy): apply its own style, nothing else.
///
/// The page says the first part of itself, for readers who open it from a disk; the rest holds in a header only.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'none'; sandbox";

/// The path of a run's report on the REST service.
#[must_use]
pub fn path(run_id: Uuid) -> String {
    format!("/api/v1/test-runs/{run_id}/report")
}

/// A report that is being read.
#[derive(Debug)]
pub struct Report {
    db: PgPool,
    run_id: Uuid,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Stored { report: StoredReport, next: i32 },
    Rendered(Box<Rendering>),
}

impl Report {
    /// The stored report if it shows the run as it is, else one that is rendered as it is read.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn open(db: &PgPool, run: TestRun) -> Result<Self> {
        let run_id = run.id;
        let source = match db::test_run_reports::current(db, run_id, run.updated_at).await? {
            Some(report) => Source::Stored { report, next: 0 },
            None => Source::Rendered(Box::new(Rendering::new(db.clone(), run))),
        };
        Ok(Self { db: db.clone(), run_id, source })
    }

    /// The report's length in bytes, where it is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match &self.source {
            Source::Stored { report, .. } => u64::try_from(report.bytes).ok(),
            Source::Rendered(_) => None,
        }
    }

    /// The next piece of HTML, below 2 MB; `None` at the end. Between pieces no database connection is held, so a slow
    /// reader costs nobody else anything.
    ///
    /// # Errors
    /// If the database fails; [`Error::Conflict`] if a newer report took the place of this one.
    pub async fn next(&mut self) -> Result<Option<String>> {
        match &mut self.source {
            Source::Stored { report, next } if *next == report.parts => Ok(None),
            Source::Stored { report, next } => {
                let part = db::test_run_reports::part(&self.db, self.run_id, report.rendering, *next).await?;
                *next += 1;
                part.map(Some).ok_or_else(|| Error::Conflict("The report was replaced; read it again".to_owned()))
            }
            Source::Rendered(rendering) => rendering.next().await,
        }
    }

    /// The pieces that [`Self::next`] did not give yet. An error ends the stream.
    pub fn into_stream(self) -> impl Stream<Item = Result<String>> + Send + 'static {
        stream::try_unfold(self, async |mut report| Ok(report.next().await?.map(|html| (html, report))))
            .inspect_err(|error| tracing::warn!(error = %error, "a report ended before its end"))
    }
}
