//! A REST client as users write it.

use anyhow::Context as _;
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// Speaks to one server with one token.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    token: Option<String>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body as JSON; null if it is none.
    pub body: Value,
}

impl Client {
    /// A client of the server at `base_url`, for example `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub fn new(base_url: &str, token: Option<&str>) -> anyhow::Result<Self> {
        drop(rustls::crypto::ring::default_provider().install_default());
        // Plain HTTP to this machine only: neither certificates nor a proxy are wanted.
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
        Ok(Self { http, base_url: base_url.trim_end_matches('/').to_owned(), token: token.map(str::to_owned) })
    }

    /// The same server with another token, or none.
    #[must_use]
    pub fn with_token(&self, token: Option<&str>) -> Self {
        Self { token: token.map(str::to_owned), ..self.clone() }
    }

    /// Another server with the same token.
    #[must_use]
    pub fn at(&self, base_url: &str) -> Self {
        Self { base_url: base_url.trim_end_matches('/').to_owned(), ..self.clone() }
    }

    /// Sends a request to a path such as `/api/v1/test-runs`.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await?;
        // What is no JSON is shown as it is, nothing as null.
        let as_text =
            || Some(&bytes).filter(|bytes| !bytes.is_empty()).map(|bytes| String::from_utf8_lossy(bytes).into());
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| as_text().unwrap_or(Value::Null));
        Ok(Answer { status, headers, body })
    }

    /// Gets a path with these headers too, and returns as soon as the answer's head is there: for answers without an end.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn open(&self, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<reqwest::Response> {
        let request = self.request(Method::GET, path);
        Ok(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await?)
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base_url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Gets a path.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, None).await
    }

    /// Posts a body to a path.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, Some(body)).await
    }
}

impl Answer {
    /// The body, if the status is this one.
    ///
    /// # Errors
    /// If it is another one, showing the body.
    pub fn expect(self, status: u16) -> anyhow::Result<Value> {
        anyhow::ensure!(self.status.as_u16() == status, "expected {status}, got {}: {}", self.status, self.body);
        Ok(self.body)
    }

    /// A text field of the body.
    ///
    /// # Errors
    /// If there is no such text.
    pub fn text(&self, field: &str) -> anyhow::Result<&str> {
        self.body[field].as_str().with_context(|| format!("no text '{field}' in {}", self.body))
    }
}
