//! A fresh, migrated database for each test, on a private PostgreSQL that all test processes share.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};
use testrun_postgres::{Options, SharedServer, join, throw_away_dir};
use testrun_shared::actions::identity::{self, TokenRequest};
use testrun_shared::auth::{Authenticator, Caller};
use testrun_shared::db;
use testrun_shared::domain::identity::Role;
use tokio::sync::OnceCell;
use uuid::Uuid;

/// Held for the life of the test process; the server ends with the last process that holds it.
static SERVER: OnceCell<SharedServer> = OnceCell::const_new();

/// How long a test waits for a connection: the machine is busy, and so is the server that all tests share.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database of a test's own. It is dropped with this value.
#[derive(Debug)]
pub struct Database {
    /// Connections to it.
    pub pool: PgPool,
    /// Its address, for processes.
    pub url: String,
    name: String,
    maintenance_url: String,
}

impl Database {
    /// A clone of the migrated template.
    ///
    /// # Errors
    /// If no PostgreSQL can be had, or a migration fails.
    pub async fn new() -> anyhow::Result<Self> {
        let template = template().await?;
        Self::create(&format!("TEMPLATE {template}")).await
    }

    /// A database without any table.
    ///
    /// # Errors
    /// If no PostgreSQL can be had.
    pub async fn empty() -> anyhow::Result<Self> {
        Self::create("TEMPLATE template0").await
    }

    async fn create(from: &str) -> anyhow::Result<Self> {
        let server = server().await?;
        let (name, maintenance_url) = (format!("test_{}", Uuid::new_v4().simple()), server.url("postgres"));
        let maintenance = patient_pool(&maintenance_url, 1)?;
        maintenance.execute(AssertSqlSafe(format!("CREATE DATABASE {name} {from}"))).await?;
        maintenance.close().await;
        let url = server.url(&name);
        let pool = patient_pool(&url, 10)?;
        Ok(Self { pool, url, name, maintenance_url })
    }

    /// A project with a user and an admin token of its own.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn tenant(&self, name: &str) -> anyhow::Result<Tenant> {
        Tenant::create(&self.pool, name).await
    }

    /// Another token for a project and a user that exist.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn token(&self, project: &str, user: &str, role: Role) -> anyhow::Result<String> {
        token(&self.pool, project, user, role).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // On a thread of its own, since the test's runtime is busy dropping us. A database that stays behind is no harm.
        let (name, url) = (self.name.clone(), self.maintenance_url.clone());
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut conn = PgConnection::connect(&url).await?;
                conn.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))).await?;
                anyhow::Ok(())
            })
        });
        drop(dropped.join());
    }
}

/// Somebody to act as.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// An admin token of the project.
    pub token: String,
    /// The user's address.
    pub email: String,
    /// The project.
    pub project_id: Uuid,
    /// The user.
    pub user_id: Uuid,
    /// The same, as actions take it.
    pub caller: Caller,
}

impl Tenant {
    /// A project with a user and an admin token of its own, in a migrated database.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn create(pool: &PgPool, name: &str) -> anyhow::Result<Self> {
        let project = identity::create_project(pool, name, None).await?;
        let email = format!("{}@example.com", Uuid::new_v4().simple());
        let user = identity::create_user(pool, &email, "Test user").await?;
        let token = token(pool, name, &email, Role::Admin).await?;
        let caller = Authenticator::new(pool.clone()).authenticate(Some(&format!("Bearer {token}"))).await?;
        Ok(Self { token, email, project_id: project.id, user_id: user.id, caller })
    }
}

async fn token(pool: &PgPool, project: &str, user: &str, role: Role) -> anyhow::Result<String> {
    let request = TokenRequest { project, user, name: "test", role, expires_at: None, is_operator: false };
    Ok(identity::create_token(pool, &request).await?.reveal().to_owned())
}

/// A pool as services have it, but for one thing: they tell their clients to try again after two seconds, and no test is to
/// fail because others use the machine or all of the server's connections.
fn patient_pool(url: &str, max_connections: u32) -> sqlx::Result<PgPool> {
    let pool = db::pool(&url.to_owned().into(), max_connections, "test")?;
    let options = pool.options().clone().acquire_timeout(PATIENCE);
    Ok(options.connect_lazy_with(pool.connect_options().as_ref().clone()))
}

async fn server() -> anyhow::Result<&'static SharedServer> {
    SERVER.get_or_try_init(|| async { Ok(join(Options::new(throw_away_dir()?)).await?) }).await
}

/// The name of a migrated database to clone. Its name carries the migrations' checksums, so a change makes a new one.
async fn template() -> anyhow::Result<String> {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    TEMPLATE.get_or_try_init(make_template).await.cloned()
}

async fn make_template() -> anyhow::Result<String> {
    let mut hasher = DefaultHasher::new();
    db::MIGRATOR.iter().for_each(|migration| migration.checksum.hash(&mut hasher));
    let name = format!("template_{:016x}", hasher.finish());

    let server = server().await?;
    let mut conn = PgConnection::connect(&server.url("postgres")).await?;
    // One process makes it, the others wait for it.
    conn.execute("SELECT pg_advisory_lock(7265737472)").await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut conn)
        .await?;
    if !exists {
        let unfinished = format!("{name}_new");
        conn.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)"))).await?;
        conn.execute(AssertSqlSafe(format!("CREATE DATABASE {unfinished} TEMPLATE template0"))).await?;
        let pool = db::pool(&server.url(&unfinished).into(), 2, "test-template")?;
        db::migrate(&pool).await?;
        pool.close().await;
        conn.execute(AssertSqlSafe(format!("ALTER DATABASE {unfinished} RENAME TO {name}"))).await?;
    }
    conn.close().await?;
    Ok(name)
}
