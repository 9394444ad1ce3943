//! Connections to the database: a pool, TLS, and what each session is set to.

mod session;

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
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::TaskTracker;

use crate::config;

pub use session::Session;

/// How long a request waits for a connection.
const WAIT: Duration = Duration::from_secs(5);

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
        let url = known_modes(&settings.database_url);
        let mut config: Config = url.parse().map_err(|error| Failure::Address(unreadable(&error)))?;
        config.application_name("sentiment-gateway");
        config.keepalives_idle(Duration::from_secs(30));
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(WAIT);
        }
        // Only a local address makes sense without one.
        if config.get_hosts().is_empty() {
            config.host("/var/run/postgresql");
        }
        let tls = tls(settings, config.get_ssl_mode())?;
        Ok(Address { config, tls, open: TaskTracker::new(), cancels: TaskTracker::new() })
    }

    /// A connection outside of the pool that listens to channels of NOTIFY. Notifications end when the connection does.
    pub async fn listen(
        &self,
        channels: &[&str],
    ) -> Result<(Client, mpsc::Receiver<String>), tokio_postgres::Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let (heard, notifications) = mpsc::channel(16);
        self.open.spawn(async move {
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
        });
        for channel in channels {
            client.batch_execute(&format!("LISTEN {channel}")).await?;
        }
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
        if tokio::time::timeout(WAIT, idle).await.is_err() {
            tracing::warn!("statements did not end in time");
        }
        pool.close();
        self.open.close();
        if tokio::time::timeout(WAIT, self.open.wait()).await.is_err() {
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
pub async fn set_up(client: &Client, statement_timeout_ms: u128) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(&format!(
            "SELECT pg_catalog.set_config('search_path', 'pg_catalog, ' || pg_catalog.quote_ident(n.nspname), false)
             FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
             WHERE e.extname = 'pg_sentiment';
             SET timezone = 'UTC';
             SET statement_timeout = {statement_timeout_ms}"
        ))
        .await
}

/// What libpq knows and the driver does not.
const UNKNOWN: [&str; 26] = [
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "keepalives_count",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslrootcert",
    "sslsni",
];

/// Why an address cannot be read. The parser's own words may quote the password, and so may a key that nobody knows: it
/// may be what follows a blank in one.
fn unreadable(error: &tokio_postgres::Error) -> String {
    let said = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let key = |start: &str| Some(said.strip_prefix(start)?.strip_suffix('`')?.to_owned());
    if let Some(key) = key("invalid value for option `") {
        return match key.as_str() {
            "sslmode" => "sslmode is disable, prefer, require, verify-ca or verify-full".into(),
            key => format!("the value of {key} is not one that it can have"),
        };
    }
    match key("unknown option `") {
        Some(key) if key == "sslrootcert" => {
            format!("{key} is not known here: --database-ca names that file")
        }
        Some(key) if UNKNOWN.contains(&key.as_str()) => format!("{key} is not known here"),
        Some(_) => "a key in it is not known".into(),
        None => "not a URL, nor key=value pairs".into(),
    }
}

/// libpq knows more modes of TLS than the driver: all that check the certificate are one here, for it is always checked.
fn known_modes(url: &str) -> String {
    ["verify-full", "verify-ca"]
        .iter()
        .fold(url.to_owned(), |url, mode| url.replace(&format!("sslmode={mode}"), "sslmode=require"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_address_is_named_and_no_value_with_it() {
        let refused = |url: &str| {
            let error = url.parse::<Config>().unwrap_err();
            let said = unreadable(&error);
            assert!(!said.contains("ocelotquux"), "{said}");
            said
        };
        assert!(refused("postgresql://a:ocelotquux@h/d?sslrootcert=/ocelotquux").contains("--database-ca"));
        assert!(refused("host=h sslcert=ocelotquux").starts_with("sslcert is not known"));
        assert!(refused("host=h sslmode=allow password=ocelotquux").contains("verify-full"));
        assert!(refused("host=h port=ocelotquux").contains("the value of port"));
        // The end of a password that should have stood in quotes.
        assert_eq!(refused("password=my ocelotquux=7"), "a key in it is not known");
        assert!(refused("ocelotquux").contains("nor key=value pairs"));
    }
}
