//! A client of the live stream, by server-sent events or by a WebSocket.

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::Client;

/// A client's end of a stream that follows all events of its project.
#[derive(Debug)]
pub enum EventStream {
    /// `GET /api/v1/events`, and what was read of it and is not yet a whole event.
    ServerSent(reqwest::Response, String),
    /// `/api/v1/ws`.
    WebSocket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
}

impl EventStream {
    /// Opens a stream of server-sent events that begins now, or after the event with this id.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub async fn server_sent(base_url: &str, token: &str, last_event_id: Option<&str>) -> anyhow::Result<Self> {
        let headers: Vec<_> = last_event_id.map(|id| ("last-event-id", id)).into_iter().collect();
        let response = Client::new(base_url, Some(token))?.open("/api/v1/events", &headers).await?;
        anyhow::ensure!(response.status() == 200, "{}: {}", response.status(), response.text().await?);
        Ok(Self::ServerSent(response, String::new()))
    }

    /// Opens a WebSocket and subscribes from now on, or from after the event with this id.
    ///
    /// # Errors
    /// If the server cannot be reached or refuses.
    pub async fn web_socket(base_url: &str, token: &str, last_event_id: Option<&str>) -> anyhow::Result<Self> {
        let authority = base_url.strip_prefix("http://").context("not plain HTTP")?;
        let mut request = format!("ws://{authority}/api/v1/ws").into_client_request()?;
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await?;
        let subscribe = json!({ "action": "subscribe", "last_event_id": last_event_id });
        socket.send(Message::text(subscribe.to_string())).await?;
        let mut stream = Self::WebSocket(Box::new(socket));
        let answer = stream.next().await?.context("closed at once")?;
        anyhow::ensure!(answer["type"] == "subscribed", "{answer}");
        Ok(stream)
    }

    /// The next event, or `{"type": "reset"}`; `None` once the server has ended the stream.
    ///
    /// # Errors
    /// If the connection breaks, or what comes is none of these.
    pub async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        match self {
            Self::ServerSent(response, text) => loop {
                if let Some((block, rest)) = text.split_once("\n\n") {
                    let data = block.lines().find_map(|line| line.strip_prefix("data: ")).map(serde_json::from_str);
                    *text = rest.to_owned();
                    match data {
                        Some(data) => return Ok(Some(data?)),
                        // A comment, to be heard of.
                        None => continue,
                    }
                }
                match response.chunk().await? {
                    Some(chunk) => text.push_str(std::str::from_utf8(&chunk)?),
                    None => return Ok(None),
                }
            },
            Self::WebSocket(socket) => loop {
                match socket.next().await.transpose()? {
                    Some(Message::Text(text)) => return Ok(Some(serde_json::from_str(&text)?)),
                    Some(Message::Close(_)) | None => return Ok(None),
                    // Pings are answered by the library, when it is read from.
                    Some(_) => {}
                }
            },
        }
    }
}
