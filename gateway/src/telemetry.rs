//! Logs and metrics. Neither ever holds a text, a key, or a value of a request.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, Logging};

/// Bounds of the histograms of durations, in seconds.
const SECONDS: [f64; 11] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0, 10.0];
/// Bounds of the histograms of counts.
const COUNTS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// Logs to standard error. A panic is logged by its place alone: its message may quote what it choked on.
pub fn start_logging(settings: &Logging) {
    let filter = EnvFilter::try_new(&settings.log);
    let bad = filter.is_err();
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let started = match settings.log_format {
        LogFormat::Text => logger.try_init(),
        LogFormat::Json => logger.json().try_init(),
    };
    if bad || started.is_err() {
        tracing::warn!("the setting log cannot be read: info is used");
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a bug of the gateway: please report it");
    }));
}

/// Makes the registry of metrics that all of the program writes to.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_together".into()), &COUNTS)?
        .install_recorder()?;
    describe();
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!("sentiment_gateway_requests_total", "HTTP requests by method, route and status");
    describe_histogram!("sentiment_gateway_request_seconds", "time from a request's head to its answer's");
    describe_counter!(
        "sentiment_gateway_messages_stored_total",
        "messages stored and scored, by the way they came in"
    );
    describe_counter!("sentiment_gateway_messages_duplicate_total", "messages that had been stored before");
    describe_counter!("sentiment_gateway_messages_failed_total", "messages that the database could not take");
    describe_counter!("sentiment_gateway_texts_scored_total", "texts scored without being stored");
    describe_histogram!("sentiment_gateway_texts_together", "texts that shared a statement");
    describe_gauge!("sentiment_gateway_streams", "live streams that are open");
    describe_counter!(
        "sentiment_gateway_streams_dropped_total",
        "live streams ended because their readers were slow"
    );
    describe_counter!("sentiment_gateway_rate_limited_total", "requests refused for coming too fast");
    describe_counter!("sentiment_gateway_kafka_records_total", "records of Kafka, by what became of them");
    describe_gauge!(
        "sentiment_gateway_kafka_lag",
        "records of a partition of Kafka that are not told as stored yet"
    );
    describe_counter!("sentiment_gateway_kafka_sent_total", "messages written to Kafka");
    describe_counter!(
        "sentiment_gateway_kafka_too_large_total",
        "messages that Kafka does not take for their size"
    );
    describe_gauge!(
        "sentiment_gateway_kafka_behind",
        "committed statements whose messages are not in Kafka yet"
    );
    describe_gauge!("sentiment_gateway_connections", "open HTTP connections");
    describe_gauge!("sentiment_gateway_database_connections", "connections to the database, by state");
}

/// Counts and logs a request by its route, never by what it asked for.
pub async fn observe(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none", |path| path.as_str()).to_owned();
    let response = next.run(request).await;
    let status = response.status();
    let elapsed = started.elapsed();
    // A method is the client's word too: those that are no route's are one.
    let known = ["GET", "HEAD", "POST", "OPTIONS"].into_iter().find(|known| *known == method.as_str());
    let labels = [
        ("method", known.unwrap_or("other").to_owned()),
        ("route", route.clone()),
        ("status", status.as_u16().to_string()),
    ];
    metrics::counter!("sentiment_gateway_requests_total", &labels).increment(1);
    metrics::histogram!("sentiment_gateway_request_seconds", "route" => route.clone()).record(elapsed);
    let ms = elapsed.as_secs_f64() * 1000.0;
    let status = status.as_u16();
    match status {
        500.. => tracing::warn!(method = known, route, status, ms, "request failed"),
        400.. => tracing::info!(method = known, route, status, ms, "request refused"),
        _ => tracing::debug!(method = known, route, status, ms, "request"),
    }
    response
}
