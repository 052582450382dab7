//! `testrun up`: everything in one process, on a PostgreSQL of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{Client, until};
use tokio::process::Child;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::programs::{command, processes_of};
use crate::world::{PATIENCE, id, pick, rows};

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_has_all_that_the_first_request_needs() -> anyhow::Result<()> {
    let place = Place::new()?;
    let up = place.up().await?;
    let client = up.client()?;
    let run = client.post("/api/v1/test-runs", &json!({ "run_name": "My first run" })).await?.expect(201)?;
    assert_eq!(pick(&run, ["project_id", "created_by"]), pick(&up.ready, ["project_id", "user_id"]));
    client.with_token(None).get("/api/v1/test-runs").await?.expect(401)?;
    let cases = client.get("/api/v1/test-cases").await?.expect(200)?;
    assert_eq!(cases["total"], 3);
    for path in ["/docs/", "/healthz", "/readyz", "/metrics", "/openapi.json"] {
        client.with_token(None).get(path).await?.expect(200).context(path)?;
    }
    // All three services work: a schedule fires, a run is made and executed, a mail lands in the folder.
    let schedule = json!({
        "schedule_name": "Now", "scheduled_datetime": "2026-01-01T00:00:00", "suite_path": ["ROOT"],
        "notification_emails": ["team@example.com"],
    });
    client.post("/api/v1/schedules", &schedule).await?.expect(201)?;
    execute(&client).await?;
    let mail_dir = PathBuf::from(up.ready["mail_dir"].as_str().context("no mail_dir")?);
    assert!(mail_dir.starts_with(&place.data_dir), "{}", mail_dir.display());
    until("the mail to be in its folder", PATIENCE, || async {
        let files = fs::read_dir(&mail_dir)?.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
        let mut mails = files.filter(|text| text.contains("PASSED 3/3: Now") && text.contains("team@example.com"));
        Ok(mails.next().map(drop))
    })
    .await?;
    assert!(up.interrupt().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_on_the_same_machine_is_told_what_happens() -> anyhow::Result<()> {
    let receiver = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(204)).mount(&receiver).await;
    let place = Place::new()?;
    let up = place.up().await?;
    let client = up.client()?;
    let webhook = json!({ "url": receiver.uri(), "event_types": ["run.created"] });
    let webhook = client.post("/api/v1/webhooks", &webhook).await?.expect(201)?;
    let run = client.post("/api/v1/test-runs", &json!({ "run_name": "Told" })).await?.expect(201)?;
    let path = format!("/api/v1/webhooks/{}/deliveries?status=delivered", id(&webhook["id"])?);
    let delivery = until("the delivery", PATIENCE, || async {
        let deliveries = client.get(&path).await?.expect(200)?;
        Ok(rows(&deliveries)?.first().cloned())
    })
    .await?;
    assert_eq!((&delivery["test_run_id"], &delivery["response_status"]), (&run["id"], &json!(204)));
    let requests = receiver.received_requests().await.context("requests are recorded")?;
    let told: Value = serde_json::from_slice(&requests[0].body)?;
    assert_eq!((&told["type"], &told["data"]["run_name"]), (&json!("run.created"), &json!("Told")));
    assert!(up.interrupt().await?.success());
    Ok(())
}

/// Executes the queued run as an agent would.
async fn execute(client: &Client) -> anyhow::Result<()> {
    let run = until("a queued run", PATIENCE, || async {
        let runs = client.get("/api/v1/test-runs?status=queued").await?.expect(200)?;
        rows(&runs)?.first().map(|run| id(&run["id"])).transpose()
    })
    .await?;
    client.post(&format!("/api/v1/test-runs/{run}/start"), &json!({})).await?.expect(200)?;
    let items = client.get(&format!("/api/v1/test-runs/{run}/items")).await?.expect(200)?;
    for item in rows(&items)? {
        let result = json!({ "test_run_id": run, "test_run_item_id": item["id"], "status": "passed" });
        client.post("/api/v1/test-run-results", &result).await?.expect(201)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_no_process_and_the_second_start_has_the_firsts_data() -> anyhow::Result<()> {
    let place = Place::new()?;
    let first = place.up().await?;
    let run = first.client()?.post("/api/v1/test-runs", &json!({ "run_name": "Kept" })).await?.expect(201)?;
    // PostgreSQL and what watches over it; the program itself has the directory on its command line, too.
    let processes = processes_of(&place.data_dir)?;
    assert!(processes.len() > 2, "{processes:?}");
    let told = first.ready.clone();
    assert!(first.interrupt().await?.success());
    assert_eq!(processes_of(&place.data_dir)?, Vec::<String>::new());

    let second = place.up().await?;
    let kept = ["token", "project_id", "user_id", "mail_dir"];
    assert_eq!(pick(&second.ready, kept), pick(&told, kept));
    second.has_run(&run).await?;
    assert!(second.interrupt().await?.success());
    assert_eq!(processes_of(&place.data_dir)?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_no_process_and_is_no_obstacle() -> anyhow::Result<()> {
    let place = Place::new()?;
    let mut first = place.up().await?;
    let run = first.client()?.post("/api/v1/test-runs", &json!({ "run_name": "Kept" })).await?.expect(201)?;
    first.child.kill().await?;
    // At once, while what the first one left behind is still about to end.
    let mut second = place.up().await?;
    assert_eq!(second.ready["token"], first.ready["token"]);
    second.has_run(&run).await?;
    second.child.kill().await?;
    until("all processes to be gone", PATIENCE, || async {
        Ok(processes_of(&place.data_dir)?.is_empty().then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_on_the_same_data_is_refused_and_does_no_harm() -> anyhow::Result<()> {
    let place = Place::new()?;
    let first = place.up().await?;
    let second = place.command().await?.args(["--ready-file", "never"]).stdout(Stdio::null()).output();
    let second = tokio::time::timeout(PATIENCE, second).await??;
    assert_eq!(second.status.code(), Some(1));
    let message = String::from_utf8(second.stderr)?;
    let directory = place.data_dir.display().to_string();
    assert!(message.contains(&directory) && message.contains("in use by another running server"), "{message}");
    first.client()?.post("/api/v1/test-runs", &json!({})).await?.expect(201)?;
    assert!(first.interrupt().await?.success());
    Ok(())
}

/// A data directory that the account PostgreSQL runs as can get to.
struct Place {
    data_dir: PathBuf,
    directory: TempDir,
}

impl Place {
    fn new() -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("testrun-up-").tempdir()?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        Ok(Self { data_dir: directory.path().join("data"), directory })
    }

    async fn command(&self) -> anyhow::Result<tokio::process::Command> {
        let mut command = command("testrun").await?;
        command.arg("up").arg("--data-dir").arg(&self.data_dir).args(["--listen", "127.0.0.1:0"]);
        Ok(command)
    }

    /// Starts it, and waits until it says that it is ready.
    async fn up(&self) -> anyhow::Result<Up> {
        let ready_file = self.directory.path().join("ready.json");
        if ready_file.exists() {
            fs::remove_file(&ready_file)?;
        }
        let log = self.directory.path().join("log");
        let mut command = self.command().await?;
        let (stdout, stderr) = (fs::File::create(&log)?, fs::OpenOptions::new().append(true).open(&log)?);
        command.arg("--ready-file").arg(&ready_file).stdout(stdout).stderr(stderr);
        let mut child = command.spawn()?;
        let ready = until("testrun up to be ready", PATIENCE, || {
            let ended = child.try_wait();
            let (ready_file, log) = (&ready_file, &log);
            async move {
                if let Some(status) = ended? {
                    anyhow::bail!("it ended with {status}: {}", fs::read_to_string(log)?);
                }
                Ok(ready_file.exists().then(|| fs::read(ready_file)).transpose()?)
            }
        })
        .await?;
        let ready: Value = serde_json::from_slice(&ready)?;
        for field in ["base_url", "token", "project_id", "user_id", "database_url", "mail_dir"] {
            anyhow::ensure!(ready[field].is_string(), "no {field} in {ready}");
        }
        Ok(Up { child, ready })
    }
}

struct Up {
    child: Child,
    ready: Value,
}

impl Up {
    fn client(&self) -> anyhow::Result<Client> {
        let base_url = self.ready["base_url"].as_str().context("no base_url")?;
        Client::new(base_url, self.ready["token"].as_str())
    }

    /// Whether it still has what another one was told.
    async fn has_run(&self, run: &Value) -> anyhow::Result<()> {
        let path = format!("/api/v1/test-runs/{}", id(&run["id"])?);
        let now = self.client()?.get(&path).await?.expect(200)?;
        let kept = ["id", "run_name", "run_number", "project_id", "created_by", "created_at"];
        assert_eq!(pick(&now, kept), pick(run, kept));
        Ok(())
    }

    /// Presses Ctrl-C and waits for the end.
    async fn interrupt(mut self) -> anyhow::Result<ExitStatus> {
        let number = self.child.id().context("it has ended")?;
        kill(Pid::from_raw(i32::try_from(number)?), Signal::SIGINT)?;
        Ok(tokio::time::timeout(PATIENCE, self.child.wait()).await??)
    }
}
