//! What `testrun up` tells when it is ready: to people on the screen, to programs in a file.

use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;
use uuid::Uuid;

/// The same for people and programs.
#[derive(Debug, Serialize)]
pub(crate) struct Ready {
    pub(crate) base_url: String,
    pub(crate) token: Option<String>,
    pub(crate) project_id: Option<Uuid>,
    pub(crate) user_id: Option<Uuid>,
    pub(crate) database_url: String,
    pub(crate) mail_dir: Option<String>,
    /// Which PostgreSQL, and why.
    #[serde(skip)]
    pub(crate) database: String,
    /// Where mail goes.
    #[serde(skip)]
    pub(crate) mail: String,
}

impl Ready {
    /// The address for clients on this machine: one that listens everywhere is reached at the loopback address.
    pub(crate) fn base_url(address: SocketAddr) -> String {
        match address {
            SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("http://127.0.0.1:{}", v4.port()),
            SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("http://[::1]:{}", v6.port()),
            other => format!("http://{other}"),
        }
    }

    /// One screen.
    pub(crate) fn print(&self) {
        println!("\nTestrun is ready.\n");
        println!("  API       {}/api/v1", self.base_url);
        println!("  Docs      {}/docs", self.base_url);
        println!("  Database  {}", self.database);
        println!("            {}", self.database_url);
        println!("  Mail      {}", self.mail);
        match &self.token {
            Some(token) => {
                println!("\nCreate a run in the project \"Demo\":\n");
                println!("  curl -X POST {}/api/v1/test-runs \\", self.base_url);
                println!("    -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \\");
                println!("    -d '{{\"run_name\": \"My first run\"}}'");
            }
            None => println!("\nMake a token: testrun admin create-token --help"),
        }
        println!("\nCtrl-C stops it.");
    }

    /// Writes the file in one step, so that whoever finds it finds all of it.
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        std::fs::write(&name, serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&name, path)
    }
}
