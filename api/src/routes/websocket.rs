//! `/ws`: what happens in the project, as it happens, for clients that prefer a WebSocket.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use testrun_shared::auth;
use testrun_shared::domain::event::EventType;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::events::{Guard, TOKEN_CHECK};
use crate::admission::OpenStream;
use crate::app::{ApiResult, AppState};
use crate::error::CommonErrors;
use crate::extract::Caller;
use crate::subscription::{Filter, Next, Subscription};

/// How often the client is asked whether it is there.
const PING: Duration = Duration::from_secs(20);
/// How long a client may say nothing, pongs included.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a client may take nothing of what it is sent.
const STALLED: Duration = Duration::from_secs(30);
/// Largest message of a client, in bytes.
const MAX_MESSAGE: usize = 16 * 1024;
/// What is read at once, in bytes. Each connection holds it for its whole life; the library's own 128 KiB are for clients
/// that send much, and ours send a line now and then.
const READ_BUFFER: usize = 4 * 1024;
/// The token stopped working. From the range that applications may use.
const UNAUTHENTICATED: u16 = 4401;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(open_websocket))
}

/// What a client may say.
#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Command {
    Subscribe {
        #[serde(default)]
        run_id: Option<Uuid>,
        #[serde(default)]
        types: Vec<EventType>,
        #[serde(default)]
        last_event_id: Option<Uuid>,
    },
    Unsubscribe,
}

/// Follow events over a WebSocket
///
/// Send `{"action": "subscribe", "run_id": …, "types": […], "last_event_id": …}`, all but `action` optional; the answer is
/// `{"type": "subscribed"}`, then come events as in `/events`, and `{"type": "reset"}` with the same meaning. A later
/// `subscribe` takes the place of the one before; `{"action": "unsubscribe"}` ends it. What cannot be understood is answered
/// by `{"type": "error", "detail": …}`. A ping comes every 20 s; who is silent for 60 s or takes nothing for 30 s is cut off. Close
/// codes: 1001 the service stops, 1003 not text, 1008 too silent, 4401 the token stopped working.
#[utoipa::path(get, path = "/ws", tag = "Events",
    responses((status = 101, description = "The connection is a WebSocket now"), CommonErrors))]
async fn open_websocket(
    State(app): State<AppState>,
    open: OpenStream,
    Caller(caller): Caller,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> ApiResult<Response> {
    let upgrade = upgrade.map_err(|_| testrun_shared::Error::invalid("Upgrade", "Must be a WebSocket handshake"))?;
    let guard = Guard::new(&app, &headers);
    Ok(upgrade.max_message_size(MAX_MESSAGE).read_buffer_size(READ_BUFFER).on_upgrade(move |socket| async move {
        let _open = open;
        Connection { app, caller, socket, guard, subscription: None, heard: Instant::now() }.run().await;
    }))
}

struct Connection {
    app: AppState,
    caller: auth::Caller,
    socket: WebSocket,
    guard: Guard,
    subscription: Option<Subscription>,
    /// When the client said something last.
    heard: Instant,
}

/// Why a connection ends.
enum End {
    /// The client went, or takes nothing.
    Gone,
    /// We end it.
    Close(u16, &'static str),
}

impl Connection {
    async fn run(mut self) {
        let Err(end) = self.serve().await;
        if let End::Close(code, reason) = end {
            let frame = CloseFrame { code, reason: reason.into() };
            let _ = self.send(Message::Close(Some(frame))).await;
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let (mut ping, mut check) = (interval(PING), interval(TOKEN_CHECK));
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.guard.stopping() => return Err(End::Close(close_code::AWAY, "the service stops")),
                message = self.socket.recv() => self.hear(message).await?,
                next = next(&mut self.subscription) => self.tell(next).await?,
                _ = ping.tick() => self.ping().await?,
                _ = check.tick() => {
                    if !self.guard.is_valid().await {
                        return Err(End::Close(UNAUTHENTICATED, "the token does not work any more"));
                    }
                }
            }
        }
    }

    async fn hear(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        self.heard = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(command) => self.obey(command).await,
                Err(error) => self.say(json!({"type": "error", "detail": error.to_string()})).await,
            },
            Some(Ok(Message::Binary(_))) => Err(End::Close(close_code::UNSUPPORTED, "send text")),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
        }
    }

    async fn obey(&mut self, command: Command) -> Result<(), End> {
        let Command::Subscribe { run_id, types, last_event_id } = command else {
            self.subscription = None;
            return self.say(json!({"type": "unsubscribed"})).await;
        };
        let (db, project_id) = (self.app.db.clone(), self.caller.project_id);
        match Subscription::open(db, &self.app.feeds, project_id, Filter { run_id, types }, last_event_id).await {
            Ok(subscription) => {
                self.subscription = Some(subscription);
                self.say(json!({"type": "subscribed"})).await
            }
            Err(error) => {
                tracing::warn!(%error, "events could not be read");
                self.say(json!({"type": "error", "detail": "The database is not available; try again"})).await
            }
        }
    }

    async fn tell(&mut self, next: Next) -> Result<(), End> {
        match next {
            Next::Event(event) => self.say(json!(event)).await,
            Next::Reset => self.say(json!({"type": "reset"})).await,
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.heard.elapsed() > SILENCE {
            return Err(End::Close(close_code::POLICY, "the client is silent"));
        }
        self.send(Message::Ping(Vec::new().into())).await
    }

    async fn say(&mut self, message: Value) -> Result<(), End> {
        self.send(Message::Text(message.to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(STALLED, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

/// What comes next in the subscription, if there is one.
async fn next(subscription: &mut Option<Subscription>) -> Next {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}
