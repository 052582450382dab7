//! The WebSocket: the same events, as a conversation.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::app::App;
use crate::events::LIMIT;
use crate::world::id;

struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(app: &App, token: &str) -> Result<Self, Box<Error>> {
        let mut request = format!("ws://{}/api/v1/ws", app.server.authority()).into_client_request()?;
        let value = format!("Bearer {token}").parse().expect("a header");
        request.headers_mut().insert("authorization", value);
        Ok(Self(connect_async(request).await?.0))
    }

    async fn say(&mut self, message: &Value) -> anyhow::Result<()> {
        Ok(self.0.send(Message::text(message.to_string())).await?)
    }

    /// The next message, or how the server closed.
    async fn hear(&mut self) -> anyhow::Result<Value> {
        loop {
            let message = timeout(LIMIT, self.0.next()).await?;
            match message.ok_or_else(|| anyhow::anyhow!("the connection ended"))?? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(frame) => return Ok(json!({"close": frame.map(|frame| u16::from(frame.code))})),
                _ => {}
            }
        }
    }

    async fn ask(&mut self, message: &Value) -> anyhow::Result<Value> {
        self.say(message).await?;
        self.hear().await
    }
}

async fn create(app: &App, name: &str) -> anyhow::Result<String> {
    id(&app.client.post("/api/v1/test-runs", &json!({"run_name": name})).await?.expect(201)?["id"])
}

#[tokio::test]
async fn a_client_subscribes_hears_resumes_and_leaves() -> anyhow::Result<()> {
    let app = App::start().await?;
    let mut socket = Socket::open(&app, &app.tenant.token).await?;
    let subscribe = json!({"action": "subscribe", "types": ["run.created"]});
    assert_eq!(socket.ask(&subscribe).await?, json!({"type": "subscribed"}));
    create(&app, "A").await?;
    let a = socket.hear().await?;
    assert_eq!((&a["type"], &a["data"]["run_name"]), (&json!("run.created"), &json!("A")));
    assert_eq!(socket.ask(&json!({"action": "unsubscribe"})).await?, json!({"type": "unsubscribed"}));
    create(&app, "B").await?;
    let run = create(&app, "C").await?;

    let resume = json!({"action": "subscribe", "last_event_id": a["id"], "run_id": run});
    assert_eq!(socket.ask(&resume).await?, json!({"type": "subscribed"}));
    assert_eq!(socket.hear().await?["data"]["run_name"], "C");
    let unknown = json!({"action": "subscribe", "last_event_id": "01a20454-442d-70a0-89ba-7ae4d958001d"});
    assert_eq!(socket.ask(&unknown).await?, json!({"type": "subscribed"}));
    assert_eq!(socket.hear().await?, json!({"type": "reset"}));
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_understood_is_said_and_the_connection_stays() -> anyhow::Result<()> {
    let app = App::start().await?;
    let mut socket = Socket::open(&app, &app.tenant.token).await?;
    for message in [json!("hello"), json!({"action": "dance"}), json!({"action": "subscribe", "types": ["bogus"]})] {
        assert_eq!(socket.ask(&message).await?["type"], "error", "{message}");
    }
    assert_eq!(socket.ask(&json!({"action": "subscribe"})).await?, json!({"type": "subscribed"}));
    socket.0.send(Message::binary(vec![1])).await?;
    assert_eq!(socket.hear().await?, json!({"close": 1003}));
    Ok(())
}

#[tokio::test]
async fn a_token_that_stops_working_closes_the_connection() -> anyhow::Result<()> {
    let app = App::start().await?;
    let token = app.client.post("/api/v1/tokens", &json!({"name": "Watcher", "role": "viewer"})).await?.expect(201)?;
    let mut socket = Socket::open(&app, token["token"].as_str().unwrap_or_default()).await?;
    assert_eq!(socket.ask(&json!({"action": "subscribe"})).await?, json!({"type": "subscribed"}));
    let path = format!("/api/v1/tokens/{}", id(&token["id"])?);
    assert_eq!(app.send("DELETE", &path, Vec::new()).await?.status, 204);
    assert_eq!(socket.hear().await?, json!({"close": 4401}));
    Ok(())
}

#[tokio::test]
async fn a_handshake_without_a_token_or_without_an_upgrade_is_refused() -> anyhow::Result<()> {
    let app = App::start().await?;
    let refused = Socket::open(&app, "trn_nonsense").await.err().map(|error| *error);
    assert!(matches!(&refused, Some(Error::Http(response)) if response.status() == 401), "{refused:?}");
    let plain = app.send("GET", "/api/v1/ws", Vec::new()).await?;
    assert_eq!(plain.not_invalid(&["Upgrade"]), None);
    Ok(())
}
