//! A report in the making: head, failures, all items, end.

use sqlx::PgPool;

use super::rows::{FailurePage, ItemPage, TEXT_LIMIT};
use super::view::Head;
use crate::db;
use crate::domain::test_run::TestRun;
use crate::error::Result;

/// Failures that are fetched at once. Each may take some 50 kB when every character of its texts has to be escaped.
const FAILURES: i64 = 20;
/// Items that are fetched at once. Each may take some 4 kB, likewise.
const ITEMS: i64 = 250;
/// A piece ends once it is this long, in bytes.
const PIECE: usize = 256 * 1024;

const BEFORE_ITEMS: &str = include_str!("../../templates/report/between.html");
const END: &str = include_str!("../../templates/report/end.html");

/// Renders a run piece by piece, each from short statements of its own.
#[derive(Debug)]
pub struct Rendering {
    db: PgPool,
    run: TestRun,
    next: Section,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Head,
    /// Failures behind this place.
    Failures(i32),
    /// Items behind this place.
    Items(i32),
    Done,
}

impl Rendering {
    /// Renders `run`.
    #[must_use]
    pub const fn new(db: PgPool, run: TestRun) -> Self {
        Self { db, run, next: Section::Head }
    }

    /// The next piece, below 2 MB; `None` at the end.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn next(&mut self) -> Result<Option<String>> {
        let mut piece = String::new();
        while self.next != Section::Done && piece.len() < PIECE {
            self.next = match self.next {
                Section::Head => self.head(&mut piece).await?,
                Section::Failures(after) => self.failures(after, &mut piece).await?,
                Section::Items(after) => self.items(after, &mut piece).await?,
                Section::Done => Section::Done,
            };
        }
        Ok((!piece.is_empty()).then_some(piece))
    }

    async fn head(&self, piece: &mut String) -> Result<Section> {
        let now = db::now(&self.db).await?;
        let project = db::projects::find(&self.db, &self.run.project_id.to_string()).await?;
        let figures = db::test_run_items::figures(&self.db, self.run.id).await?;
        let project_name = project.map(|project| project.name).unwrap_or_default();
        piece.push_str(&Head::new(&self.run, &figures, &project_name, now).to_string());
        Ok(Section::Failures(0))
    }

    async fn failures(&self, after: i32, piece: &mut String) -> Result<Section> {
        let rows = db::test_run_reports::failures(&self.db, self.run.id, after, FAILURES, TEXT_LIMIT).await?;
        piece.push_str(&FailurePage::of(&rows).to_string());
        if let Some(last) = full(&rows, FAILURES) {
            return Ok(Section::Failures(last.execution_order));
        }
        piece.push_str(BEFORE_ITEMS);
        Ok(Section::Items(0))
    }

    async fn items(&self, after: i32, piece: &mut String) -> Result<Section> {
        let rows = db::test_run_reports::items(&self.db, self.run.id, after, ITEMS).await?;
        piece.push_str(&ItemPage::of(&rows).to_string());
        if let Some(last) = full(&rows, ITEMS) {
            return Ok(Section::Items(last.execution_order));
        }
        piece.push_str(END);
        Ok(Section::Done)
    }
}

/// The last row of a page that may have another behind it.
fn full<T>(rows: &[T], limit: i64) -> Option<&T> {
    rows.last().filter(|_| i64::try_from(rows.len()).is_ok_and(|length| length >= limit))
}
