//! `testrun admin`

mod invariants;
mod print;
mod queues;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand, ValueEnum};
use sqlx::PgPool;
use testrun_shared::actions::identity::{self, TokenRequest};
use testrun_shared::config::DatabaseConfig;
use testrun_shared::db;
use testrun_shared::domain::identity::Role;
use uuid::Uuid;

#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(flatten)]
    database: DatabaseConfig,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a project and print its id
    CreateProject {
        /// Unique name
        #[arg(long)]
        name: String,
        /// Free text
        #[arg(long)]
        description: Option<String>,
    },
    /// Create a user and print its id
    CreateUser {
        /// Unique mail address
        #[arg(long)]
        email: String,
        /// The name that people see; default the address
        #[arg(long)]
        name: Option<String>,
    },
    /// Create an API token and print it, this once
    CreateToken {
        /// The project's id or name
        #[arg(long)]
        project: String,
        /// The user's id or mail address; becomes a member of the project where it is none
        #[arg(long)]
        user: String,
        /// What the token may do
        #[arg(long, value_enum, default_value_t)]
        role: TokenRole,
        /// What people call the token
        #[arg(long, default_value = "command line")]
        name: String,
        /// Let it look after the queues as well, which are no project's (`/api/v1/admin/…`)
        #[arg(long)]
        operator: bool,
        /// Days until the token stops working; default never
        #[arg(long, value_parser = clap::value_parser!(i64).range(1..=36_500))]
        expires_in_days: Option<i64>,
    },
    /// Make a token stop working, everywhere within 5 seconds
    RevokeToken {
        /// The token's id
        id: Uuid,
    },
    /// Show, pause and resume queues
    Queues(queues::Queues),
    /// Show jobs; retry and discard those that were given up
    Jobs(queues::Jobs),
    /// Check what must always be so, in the whole database; fails if it is not
    Check(invariants::Check),
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum TokenRole {
    /// Reads
    Viewer,
    /// Also writes
    #[default]
    Member,
    /// Also manages tokens, members and webhooks
    Admin,
}

impl From<TokenRole> for Role {
    fn from(role: TokenRole) -> Self {
        match role {
            TokenRole::Viewer => Self::Viewer,
            TokenRole::Member => Self::Member,
            TokenRole::Admin => Self::Admin,
        }
    }
}

pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let pool =
        db::pool(&config.database.database_url, 2, "testrun-admin").context("DATABASE_URL: not a PostgreSQL URL")?;
    db::ensure_migrated(&pool).await?;
    match config.command {
        Command::CreateProject { name, description } => {
            println!("{}", identity::create_project(&pool, &name, description.as_deref()).await?.id);
        }
        Command::CreateUser { email, name } => {
            println!("{}", identity::create_user(&pool, &email, name.as_deref().unwrap_or(&email)).await?.id);
        }
        Command::CreateToken { project, user, role, name, operator, expires_in_days } => {
            let expires_at = expiry(&pool, expires_in_days).await?;
            let (project, user, name) = (&project, &user, &name);
            let request = TokenRequest { project, user, name, role: role.into(), expires_at, is_operator: operator };
            println!("{}", identity::create_token(&pool, &request).await?.reveal());
        }
        Command::Queues(command) => queues::run_queues(&pool, command).await?,
        Command::Jobs(command) => queues::run_jobs(&pool, command).await?,
        Command::Check(command) => invariants::run(&pool, command).await?,
        Command::RevokeToken { id } => {
            anyhow::ensure!(db::api_tokens::revoke(&pool, id).await?, "no working token has the id {id}");
        }
    }
    Ok(())
}

/// When a token stops working that is to work for so many days.
async fn expiry(pool: &PgPool, days: Option<i64>) -> anyhow::Result<Option<DateTime<Utc>>> {
    let Some(days) = days else { return Ok(None) };
    let expires_at = db::now(pool).await?.checked_add_signed(TimeDelta::days(days));
    Ok(Some(expires_at.context("--expires-in-days is too far away")?))
}
