//! The cheapest HTTP client there can be: it shares the machine with what it measures.

use anyhow::{Context as _, bail};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What lies between the parts of a form.
pub(crate) const BOUNDARY: &str = "----bench";

/// One connection that stays open, for one request at a time.
pub(crate) struct Connection {
    stream: TcpStream,
    head: String,
    /// What was read of the answer.
    read: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let head = format!("host: {address}\r\nauthorization: Bearer {token}\r\n");
        Ok(Self { stream, head, read: Vec::with_capacity(64 * 1024) })
    }

    /// Posts JSON to a path such as `/test-runs`; anything but a 201 is an error.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> anyhow::Result<()> {
        let request = format!(
            "POST /api/v1{path} HTTP/1.1\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.head,
            body.len()
        );
        self.exchange(&request, 201).await
    }

    /// Posts the parts of a form, separated by [`BOUNDARY`]; anything but a 201 is an error.
    pub(crate) async fn post_form(&mut self, path: &str, body: &str) -> anyhow::Result<()> {
        let request = format!(
            "POST /api/v1{path} HTTP/1.1\r\n{}content-type: multipart/form-data; boundary={BOUNDARY}\r\n\
             content-length: {}\r\n\r\n{body}",
            self.head,
            body.len()
        );
        self.exchange(&request, 201).await
    }

    /// Gets a path; anything but a 200 is an error.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<()> {
        let request = format!("GET /api/v1{path} HTTP/1.1\r\n{}\r\n", self.head);
        self.exchange(&request, 200).await
    }

    async fn exchange(&mut self, request: &str, expected: u16) -> anyhow::Result<()> {
        self.stream.write_all(request.as_bytes()).await?;
        self.read.clear();
        let end_of_head = loop {
            self.more().await?;
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let head = std::str::from_utf8(&self.read[..end_of_head])?;
        let status: u16 = head.get(9..12).context("no status")?.parse()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
        });
        let length = length.context("an answer without a length")??;
        while self.read.len() < end_of_head + length {
            self.more().await?;
        }
        if status != expected {
            bail!("{status}: {}", String::from_utf8_lossy(&self.read[end_of_head..]));
        }
        Ok(())
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.stream.read_buf(&mut self.read).await? > 0, "the server closed the connection");
        Ok(())
    }
}
