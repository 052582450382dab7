//! One client's view of its project's events: where it is, and what it wants to hear of.

use std::collections::VecDeque;
use std::sync::Arc;

use sqlx::PgPool;
use testrun_shared::db;
use testrun_shared::db::events::{Position, StoredEvent};
use testrun_shared::domain::event::{Event, EventType};
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use crate::feed::{BATCH, Feeds, Listener, RETRY};

/// What a client wants to hear of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Only events of this run.
    pub(crate) run_id: Option<Uuid>,
    /// Only events of these types; empty is all.
    pub(crate) types: Vec<EventType>,
}

impl Filter {
    fn wants(&self, event: &StoredEvent) -> bool {
        self.run_id.is_none_or(|run_id| event.test_run_id == Some(run_id))
            && (self.types.is_empty() || self.types.contains(&event.event.event_type))
    }
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Next {
    /// An event.
    Event(Event),
    /// The event after which the client asked to go on is not kept any more: it has to read what it needs anew.
    Reset,
}

/// Gives a client every event once, in order, without a gap: first those that the table has, then those that are new.
#[derive(Debug)]
pub(crate) struct Subscription {
    db: PgPool,
    project_id: Uuid,
    filter: Filter,
    listener: Listener,
    position: Position,
    is_reset: bool,
    /// Read from the table and not given yet.
    read: VecDeque<Arc<StoredEvent>>,
    /// Whether the table may have more before what the listener has.
    is_behind: bool,
}

impl Subscription {
    /// Begins after the event with this id, or now.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn open(
        db: PgPool,
        feeds: &Feeds,
        project_id: Uuid,
        filter: Filter,
        last_event_id: Option<Uuid>,
    ) -> sqlx::Result<Self> {
        // Listen first: what comes while we look is kept, and what was there before is in the table.
        let listener = feeds.listen(project_id).await?;
        let known = match last_event_id {
            Some(id) => db::events::position(&db, project_id, id).await?,
            None => None,
        };
        let position = match known {
            Some(position) => position,
            None => db::events::now(&db, project_id).await?,
        };
        let is_reset = last_event_id.is_some() && known.is_none();
        Ok(Self { db, project_id, filter, listener, position, is_reset, read: VecDeque::new(), is_behind: true })
    }

    /// Waits for what comes next, and for the database while it is away. Nothing is lost if the wait is given up.
    pub(crate) async fn next(&mut self) -> Next {
        if std::mem::take(&mut self.is_reset) {
            return Next::Reset;
        }
        loop {
            while let Some(event) = self.read.pop_front() {
                if let Some(event) = self.pass(&event) {
                    return Next::Event(event);
                }
            }
            if self.is_behind {
                match db::events::after(&self.db, self.project_id, self.position, BATCH).await {
                    Ok(events) => {
                        self.is_behind = !events.is_empty();
                        self.read.extend(events.into_iter().map(Arc::new));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "events could not be read");
                        tokio::time::sleep(RETRY).await;
                    }
                }
                continue;
            }
            match self.listener.events.recv().await {
                Ok(event) => self.read.push_back(event),
                // Too slow for the buffer: the table has what was dropped.
                Err(RecvError::Lagged(_)) => self.is_behind = true,
                // The reader lives as long as we do; only a stopping runtime ends it.
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// Moves on to an event, and gives it if it is new and wanted.
    fn pass(&mut self, event: &StoredEvent) -> Option<Event> {
        if event.position <= self.position {
            return None;
        }
        self.position = event.position;
        self.filter.wants(event).then(|| event.event.clone())
    }
}
