//! `/events`: what happens in the project, as it happens (server-sent events).

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::json;
use testrun_shared::Error;
use testrun_shared::auth::Authenticator;
use testrun_shared::domain::event::{Event, EventType};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::admission::OpenStream;
use crate::app::{ApiResult, AppState};
use crate::error::CommonErrors;
use crate::extract::Caller;
use crate::list::{CommaList, Query};
use crate::subscription::{Filter, Next, Subscription};

/// How often a silent stream is heard of.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often the token is looked at again: it stops working within 5 s of being revoked, here too.
pub(super) const TOKEN_CHECK: Duration = Duration::from_secs(2);

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(stream_events))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventParams {
    /// Only events of this run
    run_id: Option<Uuid>,
    /// Only events of these types, comma-separated
    #[serde(rename = "type")]
    #[param(value_type = Option<Vec<EventType>>, style = Form, explode = false)]
    types: Option<CommaList>,
}

impl EventParams {
    fn into_filter(self) -> ApiResult<Filter> {
        Ok(Filter { run_id: self.run_id, types: types("type", &self.types.map_or_else(Vec::new, |list| list.0))? })
    }
}

/// The types with these names.
///
/// # Errors
/// [`Error::Invalid`] naming the field and the first name that is none.
pub(super) fn types(field: &str, names: &[String]) -> ApiResult<Vec<EventType>> {
    let known = |name: &String| EventType::ALL.iter().copied().find(|known| known.as_str() == name);
    let unknown = |name: &String| Error::invalid(field, format!("Unknown event type: '{name}'"));
    Ok(names.iter().map(|name| known(name).ok_or_else(|| unknown(name))).collect::<Result<_, _>>()?)
}

/// Follow events
///
/// A stream of server-sent events that does not end: `id` is the event's id, `event` its type and `data` the event. Without
/// `Last-Event-ID` it begins now; with it, after that event, so that a client which comes back misses nothing. An event
/// `reset` says that the event asked for is not kept any more (they are for 7 days): read what you need anew. A comment
/// comes every 15 s. The stream ends when the token stops working.
#[utoipa::path(get, path = "/events", tag = "Events",
    params(EventParams, ("Last-Event-ID" = Option<Uuid>, Header, description = "The event after which to go on")),
    responses((status = 200, body = Event, content_type = "text/event-stream", description = "The stream"), CommonErrors))]
async fn stream_events(
    State(app): State<AppState>,
    open: OpenStream,
    Caller(caller): Caller,
    Query(params): Query<EventParams>,
    headers: HeaderMap,
) -> ApiResult<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>> {
    let last_event_id = last_event_id(&headers)?;
    let subscription =
        Subscription::open(app.db.clone(), &app.feeds, caller.project_id, params.into_filter()?, last_event_id).await?;
    let guard = Guard::new(&app, &headers);
    let events = stream::unfold((subscription, guard, open), |(mut subscription, mut guard, open)| async {
        let next = guard.next(&mut subscription).await?;
        Some((Ok(line(&next)), (subscription, guard, open)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here")))
}

fn last_event_id(headers: &HeaderMap) -> ApiResult<Option<Uuid>> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let id = value.to_str().ok().and_then(|id| id.parse().ok());
    Ok(Some(id.ok_or_else(|| Error::invalid("Last-Event-ID", "Must be the id of an event"))?))
}

fn line(next: &Next) -> sse::Event {
    match next {
        Next::Event(event) => {
            let line = sse::Event::default().id(event.id.to_string()).event(event.event_type.as_str());
            // A struct of texts and JSON: it cannot fail.
            line.json_data(event).unwrap_or_default()
        }
        Next::Reset => sse::Event::default().event("reset").data(json!({"type": "reset"}).to_string()),
    }
}

/// What ends a stream: the token stops working, or the service does.
#[derive(Debug)]
pub(super) struct Guard {
    authenticator: Authenticator,
    authorization: Option<String>,
    stopping: CancellationToken,
    /// When the token was found to work last.
    checked: Instant,
}

impl Guard {
    pub(super) fn new(app: &AppState, headers: &HeaderMap) -> Self {
        Self {
            authenticator: app.authenticator.clone(),
            authorization: headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned),
            stopping: app.stopping.clone(),
            checked: Instant::now(),
        }
    }

    /// Waits until the service stops.
    pub(super) async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// What comes next in the subscription; `None` once the stream has to end.
    async fn next(&mut self, subscription: &mut Subscription) -> Option<Next> {
        loop {
            // By the clock and not when nothing comes: there may always be something coming.
            if self.checked.elapsed() >= TOKEN_CHECK {
                if !self.is_valid().await {
                    return None;
                }
                self.checked = Instant::now();
            }
            tokio::select! {
                () = self.stopping.cancelled() => return None,
                next = timeout_at(self.checked + TOKEN_CHECK, subscription.next()) => {
                    if let Ok(next) = next {
                        return Some(next);
                    }
                }
            }
        }
    }

    /// Whether the token works. While the database cannot tell, it does.
    pub(super) async fn is_valid(&self) -> bool {
        let known = self.authenticator.authenticate(self.authorization.as_deref()).await;
        !matches!(known, Err(Error::Unauthenticated(_)))
    }
}
