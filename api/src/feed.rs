//! New events, read once for each project and handed to everybody who listens.
//!
//! One connection listens for all projects. What it hears only wakes the project's reader; the events come from the table,
//! so nothing is lost when the connection breaks: every reader looks again when it is back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sqlx::PgPool;
use testrun_shared::db;
use testrun_shared::db::events::{Position, StoredEvent};
use tokio::sync::{Notify, broadcast};
use tokio::time::timeout;
use uuid::Uuid;

/// How many events a listener may be behind before it reads them from the table again.
const BUFFER: usize = 1024;
/// How many events are read at once.
pub(crate) const BATCH: i64 = 500;
/// How soon to look again for events that wait for an older transaction.
const SETTLING: Duration = Duration::from_millis(25);
/// How often to look without having been woken.
const UNPROMPTED: Duration = Duration::from_secs(10);
/// How long to wait before trying again after the database failed.
pub(crate) const RETRY: Duration = Duration::from_millis(500);

/// The projects that somebody listens to.
#[derive(Debug, Clone)]
pub struct Feeds(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: PgPool,
    projects: Mutex<Projects>,
}

#[derive(Debug, Default)]
struct Projects {
    by_id: HashMap<Uuid, Weak<Project>>,
    is_listening: bool,
}

/// A project with listeners.
#[derive(Debug)]
struct Project {
    id: Uuid,
    wake: Notify,
    events: broadcast::Sender<Arc<StoredEvent>>,
}

/// A listener's end.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Keeps the project's reader going.
    _project: Arc<Project>,
    pub(crate) events: broadcast::Receiver<Arc<StoredEvent>>,
}

impl Feeds {
    /// Nobody listens yet, and no connection is open.
    #[must_use]
    pub fn new(db: PgPool) -> Self {
        Self(Arc::new(Inner { db, projects: Mutex::default() }))
    }

    /// Listens to a project: what settles from now on comes to the listener.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn listen(&self, project_id: Uuid) -> sqlx::Result<Listener> {
        if let Some(listener) = self.0.lock().join(project_id) {
            return Ok(listener);
        }
        // Where the reader begins has to be known before the listener looks into the table, or what settles in between
        // would be in neither.
        let position = db::events::now(&self.0.db, project_id).await?;
        let mut projects = self.0.lock();
        if let Some(listener) = projects.join(project_id) {
            return Ok(listener);
        }
        if !std::mem::replace(&mut projects.is_listening, true) {
            tokio::spawn(hear(Arc::downgrade(&self.0)));
        }
        let (sender, events) = broadcast::channel(BUFFER);
        let project = Arc::new(Project { id: project_id, wake: Notify::new(), events: sender });
        projects.by_id.retain(|_, project| project.strong_count() > 0);
        projects.by_id.insert(project_id, Arc::downgrade(&project));
        tokio::spawn(read(self.0.db.clone(), Arc::downgrade(&project), position));
        Ok(Listener { _project: project, events })
    }
}

impl Projects {
    fn join(&self, project_id: Uuid) -> Option<Listener> {
        let project = self.by_id.get(&project_id).and_then(Weak::upgrade)?;
        Some(Listener { events: project.events.subscribe(), _project: project })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Projects> {
        self.projects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, project_id: Option<Uuid>) {
        let projects = self.lock();
        let woken = projects.by_id.values().filter_map(Weak::upgrade);
        woken
            .filter(|project| project_id.is_none_or(|id| id == project.id))
            .for_each(|project| project.wake.notify_one());
    }
}

/// Hears of new events for as long as the service lives, whatever happens to the connection.
async fn hear(inner: Weak<Inner>) {
    loop {
        let Some(db) = inner.upgrade().map(|inner| inner.db.clone()) else { return };
        if let Err(error) = hear_until_broken(&db, &inner).await {
            tracing::warn!(%error, "the connection that listens for events broke");
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn hear_until_broken(db: &PgPool, inner: &Weak<Inner>) -> sqlx::Result<()> {
    let mut listener = db::listener(db, db::events::CHANNEL).await?;
    // Something may have happened before we listened.
    let Some(()) = inner.upgrade().map(|inner| inner.wake(None)) else { return Ok(()) };
    while let Some(told) = listener.try_recv().await? {
        let Some(inner) = inner.upgrade() else { return Ok(()) };
        inner.wake(told.payload().parse().ok());
    }
    Ok(())
}

/// Reads a project's events for as long as somebody listens.
async fn read(db: PgPool, project: Weak<Project>, mut position: Position) {
    loop {
        let Some(project) = project.upgrade() else { return };
        let pause = match read_new(&db, &project, &mut position).await {
            Ok(false) => UNPROMPTED,
            Ok(true) => SETTLING,
            Err(error) => {
                tracing::warn!(%error, "events could not be read");
                RETRY
            }
        };
        // Whether woken or not, it looks.
        let _ = timeout(pause, project.wake.notified()).await;
    }
}

/// Hands on what is new, and says whether more is about to be.
async fn read_new(db: &PgPool, project: &Project, position: &mut Position) -> sqlx::Result<bool> {
    // Asked before reading: what settles in between is read.
    let is_settling = db::events::is_settling(db, project.id).await?;
    loop {
        let events = db::events::after(db, project.id, *position, BATCH).await?;
        let Some(last) = events.last() else { return Ok(is_settling) };
        *position = last.position;
        // Without a receiver nobody misses it.
        events.into_iter().for_each(|event| drop(project.events.send(Arc::new(event))));
    }
}
