//! What an empty database gets, so that the first request works.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sqlx::PgPool;
use testrun_shared::actions::{identity, test_cases};
use testrun_shared::auth::{Authenticator, Caller};
use testrun_shared::db;
use testrun_shared::domain::identity::Role;
use testrun_shared::domain::test_case::{NewTestCase, NewTestCases};

const PROJECT: &str = "Demo";
const USER: &str = "demo@example.com";
const TOKEN_FILE: &str = "demo-token";

/// The demo project's token, as it was at the last start where that still works.
#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) token: String,
    pub(crate) caller: Caller,
}

/// Seeds an empty database with a project, a user, a token and test cases. `None` if the database has projects, but not
/// this one: then it is somebody's, and is left alone.
///
/// The token is kept in a file that only its owner can read, since the database has only its hash.
pub(crate) async fn demo(pool: &PgPool, data_dir: &Path) -> anyhow::Result<Option<Demo>> {
    let is_new = !db::projects::any(pool).await?;
    if is_new {
        identity::create_project(pool, PROJECT, Some("Made at the first start, to play with")).await?;
        identity::create_user(pool, USER, "Demo user").await?;
    } else if db::projects::find(pool, PROJECT).await?.is_none() || db::users::find(pool, USER).await?.is_none() {
        return Ok(None);
    }
    let token_file = data_dir.join(TOKEN_FILE);
    if let Some(demo) = kept(pool, &token_file).await {
        return Ok(Some(demo));
    }
    let request = identity::TokenRequest {
        project: PROJECT,
        user: USER,
        name: "testrun up",
        role: Role::Admin,
        expires_at: None,
        is_operator: false,
    };
    let token = identity::create_token(pool, &request).await?.reveal().to_owned();
    keep(&token_file, &token)?;
    let caller = Authenticator::new(pool.clone()).authenticate(Some(&format!("Bearer {token}"))).await?;
    if is_new {
        test_cases::upsert(pool, &caller, cases()).await?;
    }
    Ok(Some(Demo { token, caller }))
}

/// The token of an earlier start, if it is there and works.
async fn kept(pool: &PgPool, file: &Path) -> Option<Demo> {
    let token = std::fs::read_to_string(file).ok()?.trim().to_owned();
    let caller = Authenticator::new(pool.clone()).authenticate(Some(&format!("Bearer {token}"))).await.ok()?;
    Some(Demo { token, caller })
}

fn keep(file: &Path, token: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    if file.exists() {
        std::fs::remove_file(file)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{token}")
}

fn cases() -> NewTestCases {
    let case = |name: &str, key: &str, suite: &[&str]| NewTestCase {
        name: name.to_owned(),
        suite_path: Some(suite.iter().map(|&element| element.to_owned()).collect()),
        external_key: Some(key.to_owned()),
        ..NewTestCase::default()
    };
    NewTestCases {
        test_cases: vec![
            case("Login Test", "demo-login", &["ROOT", "Regression", "Smoke"]),
            case("Search Test", "demo-search", &["ROOT", "Regression", "Smoke"]),
            case("Checkout Test", "demo-checkout", &["ROOT", "Regression"]),
        ],
    }
}
