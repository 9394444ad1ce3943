//! Connections to the database: a pool, TLS, and what each session is set to.

mod session;
mod url;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use futures_util::future::BoxFuture;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::config;

pub use session::Session;

/// How long a request waits for a connection.
const WAIT: Duration = Duration::from_secs(5);
/// How long connections that nobody uses may take to end.
const CLOSING: Duration = Duration::from_secs(1);

/// Has the server notice soon that a gateway has gone without a word, as one does whose machine has lost its power: what it
/// held there, locks above all, others wait for. Of a Unix socket, which ends with its processes, it means nothing.
const NOTICE: &str = "SET tcp_user_timeout = 25000; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";

/// The same in the midst of a statement, during which the server looks neither at what comes nor at whether anything can. Not all
/// systems that a server may run on can tell it.
const NOTICE_WITHIN: &str = "SET client_connection_check_interval = 10000";

/// How much longer than a statement a transaction may rest between two. A gateway that is there goes on at once; what another
/// holds is free in the end, though its machine answers still.
const PAUSE: Duration = Duration::from_secs(5);

/// What kept the program from its work, in words for its operator.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("the database address cannot be read: {0}")]
    Address(String),
    #[error("the authorities' certificates cannot be read: {0}")]
    Authorities(String),
    #[error("the database: {}", describe(.0))]
    Database(#[from] tokio_postgres::Error),
    #[error("no connection to the database: {}", describe_pool(.0))]
    Pool(#[from] deadpool_postgres::PoolError),
    #[error("the migration failed: {}", describe_migration(.0))]
    Migration(#[from] refinery::Error),
    #[error("{0}")]
    Other(String),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Problem(#[from] crate::problem::Problem),
}

/// SQLSTATE and message, but neither detail nor context: those may hold values.
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(refused) => {
            let hint = refused.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{} [{}]{hint}", refused.message(), refused.code().code())
        }
        None => {
            let source = std::error::Error::source(error).map(|source| format!(": {source}"));
            format!(
                "{error}{}",
                source.filter(|source| !error.to_string().contains(source)).unwrap_or_default()
            )
        }
    }
}

fn describe_pool(error: &deadpool_postgres::PoolError) -> String {
    match error {
        deadpool_postgres::PoolError::Backend(error) => describe(error),
        deadpool_postgres::PoolError::PostCreateHook(HookError::Backend(error)) => describe(error),
        other => other.to_string(),
    }
}

/// Which migration it was, and what the database said.
fn describe_migration(error: &refinery::Error) -> String {
    let said = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    match (error.kind(), said) {
        (refinery::error::Kind::Connection(step, _), Some(said)) => format!("{step}: {}", describe(said)),
        _ => error.to_string(),
    }
}

/// How to reach the database.
#[derive(Clone)]
pub struct Address {
    config: Config,
    tls: MakeRustlsConnect,
    /// The connections that are open, each a task.
    open: TaskTracker,
    /// Statements that are being cancelled, each a task.
    cancels: TaskTracker,
}

impl Address {
    pub fn new(settings: &config::Database) -> Result<Address, Failure> {
        let config = url::read(&settings.database_url)?;
        let tls = tls(settings, config.get_ssl_mode())?;
        Ok(Address { config, tls, open: TaskTracker::new(), cancels: TaskTracker::new() })
    }

    /// A connection outside of the pool that listens to channels of NOTIFY. Notifications end when the connection does. A
    /// server that takes connections and says nothing is not waited for.
    pub async fn listen(&self, channels: &[&str]) -> Result<(Client, mpsc::Receiver<String>), Failure> {
        match tokio::time::timeout(WAIT, self.begin_to_listen(channels)).await {
            Ok(listening) => Ok(listening?),
            Err(_) => Err(Failure::Other("the database did not answer in time".into())),
        }
    }

    async fn begin_to_listen(
        &self,
        channels: &[&str],
    ) -> Result<(Client, mpsc::Receiver<String>), tokio_postgres::Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let (heard, notifications) = mpsc::channel(16);
        let driver = AbortOnDropHandle::new(self.open.spawn(async move {
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                match message {
                    // A full queue says already that there is something to look for.
                    Ok(AsyncMessage::Notification(notice)) => {
                        match heard.try_send(notice.channel().to_owned()) {
                            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => {}
                            Err(mpsc::error::TrySendError::Closed(_)) => return,
                        }
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        }));
        let listen: String = channels.iter().map(|channel| format!("; LISTEN {channel}")).collect();
        client.batch_execute(&format!("{NOTICE}{listen}")).await?;
        driver.detach();
        Ok((client, notifications))
    }

    /// A session for a statement that may take long.
    pub async fn session(&self, pool: &Pool) -> Result<Session, PoolError> {
        Session::of(self, pool).await
    }

    /// Takes leave of the database: once nobody uses a connection any more, waits for all to end in order, but for none of
    /// them for ever.
    pub async fn leave(&self, pool: &Pool) {
        self.cancels.close();
        let idle = async {
            // A statement that nobody waits for any more is not left behind in the database.
            self.cancels.wait().await;
            // The driver closes prepared statements when they are dropped. Were that answered after the session is gone,
            // the server would log a lost client.
            while pool.status().available > 0 {
                let Ok(client) = pool.get().await else { break };
                let client = Object::take(client);
                client.statement_cache.clear();
                let _ = client.simple_query("").await;
            }
        };
        let until = Instant::now() + WAIT;
        if tokio::time::timeout_at(until, idle).await.is_err() {
            tracing::warn!("statements did not end in time");
        }
        pool.close();
        self.open.close();
        // Those at rest end at once.
        let until = until.max(Instant::now() + CLOSING);
        if tokio::time::timeout_at(until, self.open.wait()).await.is_err() {
            tracing::warn!(connections = self.open.len(), "connections to the database did not end in time");
        }
    }

    /// The pool. Its sessions find pg_sentiment wherever it is installed, speak UTC, and end statements that take too long.
    pub fn pool(&self, settings: &config::Database) -> Result<Pool, Failure> {
        let manager = Manager::from_connect(
            self.config.clone(),
            self.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let timeout = settings.statement_timeout.as_millis();
        let set_up = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            Box::pin(async move { set_up(client, timeout).await.map_err(HookError::Backend) })
        });
        let pool = Pool::builder(manager)
            .max_size(settings.database_connections.into())
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .recycle_timeout(Some(WAIT))
            .runtime(Runtime::Tokio1)
            .post_create(set_up)
            .build();
        pool.map_err(|error| Failure::Other(error.to_string()))
    }
}

impl Connect for Address {
    fn connect(
        &self,
        config: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let config = config.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(self.tls.clone()).await?;
            let driver = self.open.spawn(async move {
                // Whoever uses the session is told of its end.
                let _ = connection.await;
            });
            Ok((client, driver))
        })
    }
}

/// Makes a session ready: objects are found in the catalog and in the extension's schema, wherever that is.
///
/// There, others may have put functions that fit better than the server's own: statements qualify those of the server's that
/// take arguments of several types. (Of `unnest` with several arguments the server's own is meant by the grammar.)
///
/// A statement may take so many milliseconds, or any number if that is 0; then a transaction may also rest for ever.
pub async fn set_up(client: &Client, statement_timeout_ms: u128) -> Result<(), tokio_postgres::Error> {
    let pause_ms = match statement_timeout_ms {
        0 => 0,
        timeout => (timeout + PAUSE.as_millis()).min(i32::MAX.unsigned_abs().into()),
    };
    client
        .batch_execute(&format!(
            "SELECT pg_catalog.set_config('search_path', 'pg_catalog, ' || pg_catalog.quote_ident(n.nspname), false)
             FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
             WHERE e.extname = 'pg_sentiment';
             SET timezone = 'UTC';
             SET statement_timeout = {statement_timeout_ms};
             SET idle_in_transaction_session_timeout = {pause_ms};
             {NOTICE}"
        ))
        .await?;
    match client.batch_execute(NOTICE_WITHIN).await {
        Err(error) if error.as_db_error().is_none() => Err(error),
        _ => Ok(()),
    }
}

fn tls(settings: &config::Database, mode: SslMode) -> Result<MakeRustlsConnect, Failure> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = &settings.database_ca {
        let unreadable = |error: &dyn std::fmt::Display| Failure::Authorities(error.to_string());
        let certificates = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))?;
        for certificate in certificates {
            roots
                .add(certificate.map_err(|error| unreadable(&error))?)
                .map_err(|error| unreadable(&error))?;
        }
    } else if mode != SslMode::Disable {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    Ok(MakeRustlsConnect::new(trusting(roots)?))
}

/// A client of TLS that trusts these authorities.
pub fn trusting(roots: RootCertStore) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::Other(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
