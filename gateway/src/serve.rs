//! `serve`: everything that runs, put together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::auth::Gate;
use crate::config::{self, Limits, Serve};
use crate::database::{Address, Failure};
use crate::feed::Feed;
use crate::files;
use crate::keys::Keys;
use crate::limits::Rate;
use crate::request::Bounds;
use crate::room::Room;
use crate::routes::{self, Application, Parts};
use crate::scoring::Scorer;
use crate::signals::told_to_end;
use crate::{kafka, listener, migrate, telemetry, x};

/// What tasks have left to end when requests have taken all the time that there is, and then to break off.
const GRACE: Duration = Duration::from_secs(1);

/// Connections of those that ask how it is.
const HEALTH_CONNECTIONS: usize = 32;

/// More than anybody waits.
const LONGEST: Duration = Duration::from_secs(1 << 30);

/// Runs until it is told to end, then ends in order: no new connections, streams closed, requests in progress finished.
pub async fn run(mut settings: Serve, database: &config::Database) -> Result<(), Failure> {
    settings.sms = settings.sms.checked()?;
    settings.kafka = settings.kafka.checked(database)?;
    // Before all that may take long: the first process of a container is not told what it does not listen for.
    let told = told_to_end()?;
    let clients = settings.limits.max_connections + HEALTH_CONNECTIONS;
    files::allow_for(clients, database.database_connections.into());
    let metrics = telemetry::start_metrics().map_err(|error| Failure::Other(error.to_string()))?;
    telemetry::begin(ways(&settings));
    let address = Address::new(database)?;
    let pool = address.pool(database)?;
    let done = serve(settings, metrics, &address, &pool, told).await;
    address.leave(&pool).await;
    tracing::info!("ended");
    done
}

/// The ways by which messages come in, as [`crate::ingest::store`] names them.
fn ways(settings: &Serve) -> impl Iterator<Item = &'static str> {
    let ways = [
        ("rest", true),
        ("sms", settings.sms.sms_auth_token.is_some()),
        ("kafka", settings.kafka.reads()),
        ("x", settings.x.is_on()),
    ];
    ways.into_iter().filter_map(|(way, is_open)| is_open.then_some(way))
}

async fn serve(
    settings: Serve,
    metrics: PrometheusHandle,
    address: &Address,
    pool: &Pool,
    told: impl Future<Output = ()>,
) -> Result<(), Failure> {
    migrate::need_current_schema(pool).await?;
    let (ends, ending) = watch::channel(false);
    let ended = ending.clone();
    let keys = Keys::new(pool.clone());
    let (feed, listening) =
        Feed::start(address.clone(), pool.clone(), keys.clone(), settings.limits.max_streams, ending.clone())
            .await?;
    let application = Application::new(Parts {
        scorer: Scorer::start(pool),
        gate: Arc::new(Gate::new(
            keys,
            &settings.access.public_scopes,
            Rate::new(settings.limits.rate_limit),
        )),
        feed,
        sms: settings.sms,
        bounds: Bounds(Arc::new(settings.limits.clone())),
        lengthy: Semaphore::new((pool.status().max_size / 4).max(1)),
        readers: Semaphore::new((pool.status().max_size / 2).max(1)),
        room: Room::new(settings.limits.max_bodies.max(settings.limits.max_body)),
        answers: Room::new(settings.limits.max_bodies),
        metrics,
        ending,
        address: address.clone(),
        pool: pool.clone(),
    });
    let router = routes::router(application.clone(), &settings.access.cors_origins)?;
    let listener = listen(settings.listen).await?;
    let health = match settings.health_listen {
        Some(at) => Some(say_how_it_is(at, application, &settings.limits).await?),
        None => None,
    };
    let patience = settings.limits.shutdown_timeout;
    let posts = x::start(settings.x, address.clone(), pool.clone(), patience, ended.clone())?;
    let kafka = kafka::start(&settings.kafka, address, pool, &ended).await?;
    let maintenance = migrate::keep_partitions(address.clone(), pool.clone(), settings.retention, ended);
    let maintenance = tokio::spawn(maintenance);
    tracing::info!("listening on http://{}", listener.local_addr()?);
    let mut deadline = Instant::now();
    listener::serve(listener, router, &settings.limits, async {
        told.await;
        tracing::info!("ending: no new connections");
        // However much that may be: a time has an end.
        deadline = Instant::now() + patience.min(LONGEST);
        let _ = ends.send(true);
    })
    .await;
    // Tasks that are on their own end first, so that each connection is idle when it is closed.
    let tasks = end([listening].into_iter().chain(kafka), deadline.max(Instant::now() + GRACE));
    tokio::join!(end_soon(maintenance), tasks);
    // Has its own patience, to say what is lost.
    if let Some(posts) = posts {
        let _ = posts.await;
    }
    // Last: it ends, and lives meanwhile.
    if let Some(health) = health {
        health.abort();
    }
    Ok(())
}

/// Says how the gateway is at an address that nothing else is asked of, until it is aborted.
async fn say_how_it_is(
    at: SocketAddr,
    application: Application,
    limits: &Limits,
) -> Result<JoinHandle<()>, Failure> {
    let listener = listen(at).await?;
    tracing::info!("saying how it is on http://{}", listener.local_addr()?);
    let limits = Limits { max_connections: HEALTH_CONNECTIONS, ..limits.clone() };
    let router = routes::health(application);
    Ok(tokio::spawn(async move {
        listener::serve(listener, router, &limits, std::future::pending()).await;
    }))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    let taken = |error| Failure::Other(format!("cannot listen on {address}: {error}"));
    TcpListener::bind(address).await.map_err(taken)
}

/// Ends what may take minutes, and is done another time if it takes longer than it has.
async fn end_soon(mut task: JoinHandle<()>) {
    if tokio::time::timeout(GRACE, &mut task).await.is_err() {
        task.abort();
        let _ = task.await;
    }
}

/// Waits for tasks that were told to end, until all of them have had their time; not for ever, for they may wait for a database
/// or for brokers that do not answer.
async fn end(tasks: impl Iterator<Item = JoinHandle<()>>, deadline: Instant) {
    let mut late = Vec::new();
    for mut task in tasks {
        if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
            task.abort();
            late.push(task);
        }
    }
    if late.is_empty() {
        return;
    }
    tracing::warn!(tasks = late.len(), "the database or Kafka did not answer in the time to end");
    // What they have to do with brokers may block.
    let _ = tokio::time::timeout(GRACE, join_all(late)).await;
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// Else requests and trainings in progress are cut off, and trainings go on in the database.
    #[test]
    fn compose_leaves_the_time_to_end() {
        let compose = include_str!("../../compose.yaml");
        let (_, gateway) = compose.split_once("\n  gateway:\n").unwrap();
        let (gateway, _) = gateway.split_once("\n\n").unwrap();
        let grace = gateway.lines().find_map(|line| line.trim().strip_prefix("stop_grace_period: "));
        let grace = humantime::parse_duration(grace.expect("none is given")).unwrap();
        let settings = config::Settings::parse_from(["gateway", "serve"]);
        let config::Command::Serve(serve) = settings.command else { panic!("not serve") };
        assert!(grace >= serve.limits.shutdown_timeout + Duration::from_secs(10), "{grace:?}");
    }
}
