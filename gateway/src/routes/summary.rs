//! Sentiment over time.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use deadpool_postgres::Object;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use utoipa::{IntoParams, ToSchema};

use super::Application;
use super::messages::instant;
use crate::message::check_text;
use crate::problem::Problem;
use crate::request::Query;

/// The most buckets of an answer.
const BUCKETS: i64 = 1500;

/// How long a bucket is
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Bucket {
    Minute,
    #[default]
    Hour,
    Day,
}

impl Bucket {
    fn name(self) -> &'static str {
        match self {
            Bucket::Minute => "minute",
            Bucket::Hour => "hour",
            Bucket::Day => "day",
        }
    }

    fn length(self) -> Duration {
        match self {
            Bucket::Minute => Duration::MINUTE,
            Bucket::Hour => Duration::HOUR,
            Bucket::Day => Duration::DAY,
        }
    }

    /// What is summed up where nobody says since when.
    fn span(self) -> Duration {
        match self {
            Bucket::Minute => Duration::HOUR,
            Bucket::Hour => Duration::DAY,
            Bucket::Day => Duration::days(30),
        }
    }
}

/// What is summed up
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Selection {
    /// How long a bucket is, of UTC; without it, an hour
    #[serde(default)]
    #[param(inline)]
    bucket: Bucket,
    /// Only messages sent at this time or later, in RFC 3339; without it, the last hour, day or 30 days
    #[param(format = DateTime)]
    since: Option<String>,
    /// Only messages sent before this time; without it, now
    #[param(format = DateTime)]
    until: Option<String>,
    /// Only messages of this source
    #[param(pattern = r"^[^\u0000]*$")]
    source: Option<String>,
}

/// Messages by time and label
#[derive(Debug, Serialize, ToSchema)]
pub struct Summary {
    bucket: Bucket,
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
    /// The buckets that have messages, in order
    buckets: Vec<Count>,
}

/// What was sent in one bucket
#[derive(Debug, Serialize, ToSchema)]
pub struct Count {
    #[serde(with = "time::serde::rfc3339")]
    start: OffsetDateTime,
    /// Messages, those without a label included
    count: i64,
    /// The mean of their scores; null if none has one
    #[schema(required)]
    mean_score: Option<f64>,
    /// Messages by label
    labels: BTreeMap<String, i64>,
}

/// Count messages and average their scores, by minute, hour or day
#[utoipa::path(
    get, path = "/v1/summary", tag = "out", security(("key" = [])), params(Selection),
    responses(
        (status = 200, description = "the buckets that have messages", body = Summary),
        (status = "4XX", description = "refused", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "failed", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn summary(
    State(application): State<Application>,
    Query(selection): Query<Selection>,
) -> Result<Response, Problem> {
    let bucket = selection.bucket;
    let until = instant(selection.until.as_deref(), "until")?.unwrap_or_else(OffsetDateTime::now_utc);
    let since = match instant(selection.since.as_deref(), "since")? {
        Some(since) => since,
        None => until.checked_sub(bucket.span()).unwrap_or(until),
    };
    if until - since > bucket.length() * i32::try_from(BUCKETS).unwrap_or(i32::MAX) {
        return Err(Problem::unusable(format!("over {BUCKETS} buckets: take longer ones, or less time")));
    }
    selection.source.as_deref().map_or(Ok(()), |source| check_text(source, "source"))?;
    let (_place, mut session) = application.reading().await?;
    let parameters: [&(dyn ToSql + Sync); 4] = [&bucket.name(), &since, &until, &selection.source];
    let rows = count(session.client()?, &parameters).await;
    session.done();
    application.answers.answer(&Summary { bucket, since, until, buckets: buckets(&rows?) })
}

/// Counts messages and sums up their scores, by bucket and label.
async fn count(
    client: &Object,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let count = "SELECT pg_catalog.date_trunc($1, m.sent_at, 'UTC'), m.label, pg_catalog.count(*), pg_catalog.count(m.score),
                     pg_catalog.sum(m.score)
                 FROM messages.message AS m
                 WHERE m.sent_at >= $2 AND m.sent_at < $3 AND ($4::text IS NULL OR m.source = $4)
                 GROUP BY 1, 2 ORDER BY 1";
    let count = client.prepare_cached(count).await?;
    client.query(&count, parameters).await
}

/// Puts the labels of a bucket together.
fn buckets(rows: &[Row]) -> Vec<Count> {
    let mut buckets: Vec<Count> = Vec::new();
    let mut scores = (0.0, 0);
    for row in rows {
        let start: OffsetDateTime = row.get(0);
        if buckets.last().is_none_or(|last| last.start != start) {
            buckets.push(Count { start, count: 0, mean_score: None, labels: BTreeMap::new() });
            scores = (0.0, 0);
        }
        let Some(last) = buckets.last_mut() else { continue };
        let messages: i64 = row.get(2);
        last.count += messages;
        if let Some(label) = row.get::<_, Option<String>>(1) {
            last.labels.insert(label, messages);
        }
        scores = (scores.0 + row.get::<_, Option<f64>>(4).unwrap_or(0.0), scores.1 + row.get::<_, i64>(3));
        last.mean_score = (scores.1 > 0).then(|| scores.0 / scores.1 as f64);
    }
    buckets
}
