//! `testrun admin`

use anyhow::Context as _;
use chrono::TimeDelta;
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
        /// Days until the token stops working; default never
        #[arg(long, value_parser = clap::value_parser!(i64).range(1..=36_500))]
        expires_in_days: Option<i64>,
    },
    /// Make a token stop working, everywhere within 5 seconds
    RevokeToken {
        /// The token's id
        id: Uuid,
    },
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
        Command::CreateToken { project, user, role, name, expires_in_days } => {
            create_token(&pool, &project, &user, role.into(), &name, expires_in_days).await?;
        }
        Command::RevokeToken { id } => {
            anyhow::ensure!(db::api_tokens::revoke(&pool, id).await?, "no working token has the id {id}");
        }
    }
    Ok(())
}

async fn create_token(
    pool: &PgPool,
    project: &str,
    user: &str,
    role: Role,
    name: &str,
    expires_in_days: Option<i64>,
) -> anyhow::Result<()> {
    let now = db::now(pool).await?;
    let expires_at = expires_in_days
        .map(|days| now.checked_add_signed(TimeDelta::days(days)).context("--expires-in-days is too far away"))
        .transpose()?;
    let token = identity::create_token(pool, &TokenRequest { project, user, name, role, expires_at }).await?;
    println!("{}", token.reveal());
    Ok(())
}
