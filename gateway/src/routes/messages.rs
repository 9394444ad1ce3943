//! Messages in, one or a batch; and out again, a page at a time.

use std::pin::pin;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deadpool_postgres::Object;
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use utoipa::{IntoParams, ToSchema};

use super::Application;
use crate::feed::Shown;
use crate::ingest::{self, Stored};
use crate::message::{BATCH, Message, NO_INSTANT, check_text, parse_instant};
use crate::problem::Problem;
use crate::request::{OneOrMany, Query};
use crate::room::Share;

/// About the most bytes of a page.
const BYTES: usize = 4 << 20;

/// A message, or a batch of at most 10,000
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the document's form of OneOrMany")]
pub enum MessageOrBatch {
    One(Message),
    Batch(Vec<Message>),
}

/// Of one message what became of it, of a batch that of each in the same order
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum StoredOrBatch {
    One(Stored),
    Batch(Vec<Stored>),
}

/// Store and score a message, or a batch
///
/// All of a batch is stored, or nothing. A message whose source and external_id are known is not stored again, and the
/// answer tells what was stored then: a request may be sent again whenever its answer did not come.
#[utoipa::path(
    post, path = "/v1/messages", tag = "in", security(("key" = [])), request_body = MessageOrBatch,
    responses(
        (status = 200, description = "stored", body = StoredOrBatch),
        (status = "4XX", description = "refused", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "failed", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn store(
    State(application): State<Application>,
    Extension(share): Extension<Share>,
    given: OneOrMany<Message, BATCH>,
) -> Result<Response, Problem> {
    match given {
        OneOrMany::One(message) => {
            message.check("")?;
            let mut stored = ingest::store(&application.pool, "rest", &[message]).await?;
            let stored = stored.pop().ok_or_else(Problem::internal)?;
            Ok(Answer(StoredOrBatch::One(stored)).into_response())
        }
        OneOrMany::Many(batch) => {
            for (place, message) in batch.iter().enumerate() {
                message.check(&format!("[{place}]"))?;
            }
            let stored = ingest::store(&application.pool, "rest", &batch).await?;
            share.answer(&StoredOrBatch::Batch(stored))
        }
    }
}

/// Which messages
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Selection {
    /// Only messages with this label
    #[param(pattern = r"^[^\u0000]*$")]
    label: Option<String>,
    /// Only messages of this source
    #[param(pattern = r"^[^\u0000]*$")]
    source: Option<String>,
    /// Only messages scored by this version, as english@2
    #[param(pattern = r"^[^\u0000]*$")]
    model_version: Option<String>,
    /// Only messages sent at this time or later, in RFC 3339
    #[param(format = DateTime)]
    since: Option<String>,
    /// Only messages sent before this time
    #[param(format = DateTime)]
    until: Option<String>,
    /// How many at most; there are fewer where their texts are long
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<i64>,
    /// What next was in the page before
    #[param(pattern = r"^[^\u0000]*$")]
    after: Option<String>,
}

/// A page of messages, the last sent first
#[derive(Debug, Serialize, ToSchema)]
pub struct Page {
    messages: Vec<Shown>,
    /// The parameter after of the next page; null if this is the last
    #[schema(required)]
    next: Option<String>,
}

/// Read messages, the last sent first
#[utoipa::path(
    get, path = "/v1/messages", tag = "out", security(("key" = [])), params(Selection),
    responses(
        (status = 200, description = "a page", body = Page),
        (status = "4XX", description = "refused", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "failed", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn list(
    State(application): State<Application>,
    Query(selection): Query<Selection>,
) -> Result<Response, Problem> {
    let limit = selection.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::malformed("limit is from 1 to 1000").at("limit"));
    }
    let since = instant(selection.since.as_deref(), "since")?;
    let until = instant(selection.until.as_deref(), "until")?;
    let place = selection.after.as_deref().map(Place::parse).transpose()?;
    let mut conditions = vec!["true".to_owned()];
    let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::new();
    let texts = [
        ("label", &selection.label),
        ("source", &selection.source),
        ("model_version", &selection.model_version),
    ];
    for (column, value) in texts {
        let Some(value) = value else { continue };
        check_text(value, column)?;
        parameters.push(value);
        conditions.push(format!("m.{column} = ${}", parameters.len()));
    }
    for (value, comparison) in [(&since, ">="), (&until, "<")] {
        let Some(value) = value else { continue };
        parameters.push(value);
        conditions.push(format!("m.sent_at {comparison} ${}", parameters.len()));
    }
    if let Some(place) = &place {
        parameters.extend([&place.sent_at as &(dyn ToSql + Sync), &place.id]);
        conditions.push(format!("(m.sent_at, m.id) < (${}, ${})", parameters.len() - 1, parameters.len()));
    }
    // One more than is shown: whether there is a next page.
    let read_at_most = limit + 1;
    parameters.push(&read_at_most);
    let select = format!(
        "SELECT {} FROM messages.message AS m WHERE {} ORDER BY m.sent_at DESC, m.id DESC LIMIT ${}",
        Shown::COLUMNS,
        conditions.join(" AND "),
        parameters.len()
    );
    let (_place, mut session) = application.reading().await?;
    let page = read(session.client()?, &select, parameters, limit).await;
    session.done();
    application.answers.answer(&page?)
}

async fn read(
    client: &Object,
    select: &str,
    parameters: Vec<&(dyn ToSql + Sync)>,
    limit: i64,
) -> Result<Page, Problem> {
    let select = client.prepare_cached(select).await?;
    let mut rows = pin!(client.query_raw(&select, parameters).await?);
    let (mut messages, mut bytes) = (Vec::<Shown>::new(), 0);
    while let Some(row) = rows.try_next().await? {
        let is_full = bytes >= BYTES || i64::try_from(messages.len()).is_ok_and(|count| count == limit);
        if let Some(last) = messages.last().filter(|_| is_full) {
            let next = Some(Place { sent_at: last.sent_at, id: last.id }.print());
            return Ok(Page { messages, next });
        }
        let message = Shown::new(&row)?;
        bytes += json_length(&message);
        messages.push(message);
    }
    Ok(Page { messages, next: None })
}

/// How many bytes a message has as JSON, where a character may have six.
fn json_length(message: &Shown) -> usize {
    let mut length = Length(0);
    let _ = serde_json::to_writer(&mut length, message);
    length.0
}

/// Counts what is written.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Reads a parameter that is a time.
pub fn instant(given: Option<&str>, parameter: &str) -> Result<Option<OffsetDateTime>, Problem> {
    let read = |given: &str| {
        // The plus of a zone is a blank where it is not written as it has to be in an address.
        let plus = if given.contains(' ') { "; + is written %2B in an address" } else { "" };
        parse_instant(given).ok_or_else(|| Problem::malformed(format!("{NO_INSTANT}{plus}")).at(parameter))
    };
    given.map(read).transpose()
}

/// Where a page ended.
struct Place {
    sent_at: OffsetDateTime,
    id: i64,
}

impl Place {
    fn print(&self) -> String {
        // The database counts in microseconds.
        let micros = self.sent_at.unix_timestamp_nanos() / 1000;
        URL_SAFE_NO_PAD.encode(format!("{micros} {}", self.id))
    }

    fn parse(given: &str) -> Result<Place, Problem> {
        let read = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(given).ok()?).ok()?;
            let (micros, id) = text.split_once(' ')?;
            let nanos = micros.parse::<i64>().ok()? as i128 * 1000;
            Some(Place {
                sent_at: OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?,
                id: id.parse().ok()?,
            })
        };
        read().ok_or_else(|| Problem::unusable("after is not what next was in a page").at("after"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_found_again() {
        let sent_at = parse_instant("1969-07-20T20:17:40.123456Z").unwrap();
        let place = Place::parse(&Place { sent_at, id: 7 }.print()).unwrap();
        assert_eq!((place.sent_at, place.id), (sent_at, 7));
        assert!(Place::parse("").is_err() && Place::parse("AAAA").is_err());
    }
}
