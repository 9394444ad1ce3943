//! How the gateway is, for those that look after it.

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Application;
use crate::problem::Problem;

/// How long the database may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the process lives
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "it lives", body = String)))]
pub async fn alive() -> &'static str {
    "alive\n"
}

/// Whether it can do its work
///
/// Not while the database cannot be reached or nothing is heard of what it commits, nor once it was told to end.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "it can", body = String),
        (status = 503, description = "it cannot", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn ready(State(application): State<Application>) -> Result<&'static str, Problem> {
    if *application.ending.borrow() {
        return Err(Problem::unavailable("the gateway is ending"));
    }
    let asked = async {
        let client = application.pool.get().await?;
        client.simple_query("SELECT").await?;
        Ok::<_, Problem>(())
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(())) if application.feed.hears() => Ok("ready\n"),
        Ok(Ok(())) => Err(Problem::unavailable("live streams hear nothing; the log says why")),
        _ => Err(Problem::unavailable("the database cannot be reached")),
    }
}

/// Metrics for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = 200, description = "text format 0.0.4", body = String)))]
pub async fn metrics(State(application): State<Application>) -> Response {
    let pool = application.pool.status();
    let connections = [
        ("idle", pool.available),
        ("busy", pool.size.saturating_sub(pool.available)),
        ("waited for", pool.waiting),
    ];
    for (state, count) in connections {
        metrics::gauge!("sentiment_gateway_database_connections", "state" => state).set(count as f64);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], application.metrics.render())
        .into_response()
}
