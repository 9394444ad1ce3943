//! Logs and metrics. Neither ever holds a text, a key, or a value of a request.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::StatusCode;
use metrics::{Counter, Histogram};
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
    describe_counter!(
        "sentiment_gateway_bodies_refused_total",
        "requests refused because those in progress had too many bytes"
    );
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
        "committed statements, or parts of large ones, whose messages are not in Kafka yet"
    );
    describe_gauge!("sentiment_gateway_x_connected", "whether this gateway reads the stream of X");
    describe_counter!("sentiment_gateway_x_received_total", "lines of X's stream that are not empty");
    describe_counter!(
        "sentiment_gateway_x_skipped_total",
        "lines of X's stream that are not stored, by reason"
    );
    describe_counter!(
        "sentiment_gateway_x_interrupted_total",
        "how often there was no stream of X, by reason"
    );
    describe_gauge!("sentiment_gateway_connections", "open HTTP connections");
    describe_gauge!("sentiment_gateway_database_connections", "connections to the database, by state");
}

/// Begins to count what may go wrong, and what comes by these ways: of a series that first comes with a failure no increase is seen,
/// so that nobody is told of that one.
pub fn begin(ways: impl Iterator<Item = &'static str>) {
    let counters = ["streams_dropped", "rate_limited", "bodies_refused", "texts_scored"];
    for counter in counters.map(|counter| format!("sentiment_gateway_{counter}_total")) {
        metrics::counter!(counter).increment(0);
    }
    for way in ways {
        for outcome in ["stored", "duplicate", "failed"] {
            metrics::counter!(format!("sentiment_gateway_messages_{outcome}_total"), "way" => way)
                .increment(0);
        }
    }
    metrics::gauge!("sentiment_gateway_streams").set(0);
}

/// Begins to count what has a label of its own, as [`begin`] does.
pub fn begin_each(counter: &'static str, label: &'static str, values: &[&'static str]) {
    for value in values {
        metrics::counter!(counter, label => *value).increment(0);
    }
}

/// The methods that have a route. A method is the client's word too: all others are one.
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "OPTIONS"];

/// A request that is under way: counted and logged by its route, never by what it asks for.
pub struct Observation {
    started: Instant,
    method: &'static str,
    route: Option<MatchedPath>,
}

impl Observation {
    pub fn begin(request: &Request) -> Observation {
        let given = request.method().as_str();
        let method = METHODS.into_iter().find(|known| *known == given).unwrap_or("other");
        Observation { started: Instant::now(), method, route: request.extensions().get().cloned() }
    }

    /// Its answer is there.
    pub fn end(self, status: StatusCode) {
        let elapsed = self.started.elapsed();
        let Observation { method, route, .. } = &self;
        let route = route.as_ref().map_or("none", |route| route.as_str());
        let status = status.as_u16();
        FIGURES.count(method, route, status, elapsed);
        let ms = elapsed.as_secs_f64() * 1000.0;
        match status {
            500.. => tracing::warn!(method, route, status, ms, "request failed"),
            // Anyone can have them without end.
            401 | 429 => tracing::debug!(method, route, status, ms, "request refused"),
            400.. => tracing::info!(method, route, status, ms, "request refused"),
            _ => tracing::debug!(method, route, status, ms, "request"),
        }
    }
}

static FIGURES: LazyLock<Figures> = LazyLock::new(Figures::default);

/// The figures of requests by route, and there by method and status. The recorder has them as well, yet to look them up
/// there takes names and labels that are put together for each request.
#[derive(Default)]
struct Figures(RwLock<HashMap<String, ByKind>>);

/// Count and seconds by method and status.
type ByKind = HashMap<(&'static str, u16), (Counter, Histogram)>;

impl Figures {
    fn count(&self, method: &'static str, route: &str, status: u16, elapsed: Duration) {
        let count = |(count, seconds): &(Counter, Histogram)| {
            count.increment(1);
            seconds.record(elapsed);
        };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(figures) = known.get(route).and_then(|route| route.get(&(method, status))) {
            return count(figures);
        }
        drop(known);
        let labels =
            [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
        let figures = (
            metrics::counter!("sentiment_gateway_requests_total", &labels),
            metrics::histogram!("sentiment_gateway_request_seconds", "route" => route.to_owned()),
        );
        count(&figures);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(route.to_owned()).or_default().insert((method, status), figures);
    }
}
