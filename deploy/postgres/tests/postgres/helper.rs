//! A process of its own that uses a server, to be killed.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use testrun_postgres::{join, start};

use crate::support::{kill_hard, options, temp_dir, until};

/// How the helper uses the server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Use {
    Start,
    Join,
}

/// A running helper; it ends by itself when this process does.
pub(crate) struct Helper {
    process: Child,
    files: TempDir,
}

impl Helper {
    /// Runs this test program again, for nothing but `use_server`.
    pub(crate) fn spawn(how: Use, dir: &Path) -> Self {
        let files = temp_dir();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "helper::use_server", "--ignored"])
            .env("TEST_USE", format!("{how:?}"))
            .env("TEST_DIR", dir)
            .env("TEST_URL_FILE", files.path().join("url"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, files }
    }

    /// Waits until it has its server, and gives the URL.
    pub(crate) async fn url(&mut self) -> String {
        let file = self.files.path().join("url");
        until("a helper's server", || {
            assert_eq!(self.process.try_wait().unwrap(), None, "the helper ended");
            file.exists()
        })
        .await;
        fs::read_to_string(file).unwrap()
    }

    pub(crate) fn kill(mut self) {
        kill_hard(i32::try_from(self.process.id()).unwrap());
        self.process.wait().unwrap();
    }

    pub(crate) fn leave(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

#[tokio::test]
#[ignore = "the other process of other tests"]
async fn use_server() {
    let dir = std::env::var_os("TEST_DIR").unwrap();
    let options = options(Path::new(&dir));
    if std::env::var_os("TEST_USE").as_deref() == Some(OsStr::new("Start")) {
        let server = start(options).await.unwrap();
        hold(&server.url("postgres"));
        server.stop().await.unwrap();
    } else {
        let server = join(options).await.unwrap();
        hold(&server.url("postgres"));
    }
}

/// Says that the server is there, and waits for the end of the input.
fn hold(url: &str) {
    let file = std::env::var_os("TEST_URL_FILE").unwrap();
    let unfinished = Path::new(&file).with_extension("unfinished");
    fs::write(&unfinished, url).unwrap();
    fs::rename(unfinished, file).unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
