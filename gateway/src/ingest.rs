//! The one way into the table: messages are stored and scored, each exactly once.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::{Pool, Transaction};
use serde::Serialize;
use time::OffsetDateTime;
use tokio_postgres::Row;
use utoipa::ToSchema;

use crate::message::Message;
use crate::problem::Problem;

/// How often a transaction that the database gave up (a deadlock, say) is tried again.
const TRIES: u32 = 3;

/// What became of a message.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Stored {
    /// Its number here
    pub id: i64,
    /// Whether it had been stored before, by its source and external id; label and score are those of that time
    pub duplicate: bool,
    /// The label; null if the text holds nothing to score
    #[schema(required)]
    pub label: Option<String>,
    /// From -1 to 1; null if the text holds nothing to score
    #[schema(required, minimum = -1, maximum = 1)]
    pub score: Option<f64>,
    /// The version of the model that scored it
    #[schema(required)]
    pub model_version: Option<String>,
}

/// Stores messages in one transaction, in their order, and says of each what became of it.
///
/// The table's trigger scores them. A message whose source and external id are known is not stored again: not in this
/// batch, not later, and not by another instance at the same time. When this returns, all of them are committed. After an
/// error it is not known whether they are; with external ids, storing them again is harmless.
/// Messages have to be checked ([`Message::check`]).
///
/// `way` names the way in for the metrics: `rest`, `sms`, `load`, `kafka`, `x`.
pub async fn store(pool: &Pool, way: &'static str, messages: &[Message]) -> Result<Vec<Stored>, Problem> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let mut tries = 0;
    let stored = loop {
        tries += 1;
        match attempt(pool, messages).await {
            Err(error) if error.given_up && tries < TRIES => {}
            Err(error) => {
                metrics::counter!("sentiment_gateway_messages_failed_total", "way" => way)
                    .increment(messages.len() as u64);
                return Err(error.problem);
            }
            Ok(stored) => break stored,
        }
    };
    let duplicates = stored.iter().filter(|message| message.duplicate).count();
    metrics::counter!("sentiment_gateway_messages_stored_total", "way" => way)
        .increment((stored.len() - duplicates) as u64);
    metrics::counter!("sentiment_gateway_messages_duplicate_total", "way" => way)
        .increment(duplicates as u64);
    Ok(stored)
}

/// Stores messages as [`store`] does, without those that the database refuses as they are (by a constraint, say, or a trigger
/// of the operator's): halves lead to them. Where the database does not manage so many at once, it gets fewer, down to one
/// that it does not manage alone. Returns how many are stored, and of the others their places and why.
pub async fn store_all_but_refused(
    pool: &Pool,
    way: &'static str,
    messages: &[Message],
) -> Result<(usize, Vec<(usize, Problem)>), Problem> {
    let whole = 0..messages.len();
    let (mut stored, mut refused, mut ranges) = (0, Vec::new(), vec![whole]);
    // More are not managed: what is left is not tried in vain.
    let mut most = messages.len();
    while let Some(range) = ranges.pop() {
        if range.len() <= most {
            match store(pool, way, &messages[range.clone()]).await {
                Ok(answers) => {
                    stored += answers.len();
                    continue;
                }
                Err(problem) if problem.is_of_amount() && range.len() > 1 => most = range.len() / 2,
                Err(problem) if !problem.is_of_data() => return Err(problem),
                Err(problem) if range.len() <= 1 => {
                    refused.push((range.start, problem));
                    continue;
                }
                Err(_) => {}
            }
        }
        let middle = range.start + range.len() / 2;
        ranges.extend([middle..range.end, range.start..middle]);
    }
    Ok((stored, refused))
}

/// Why an attempt failed, and whether the database rolled it back for the sake of others.
struct Failed {
    problem: Problem,
    given_up: bool,
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Failed {
        // Serialisation failure and deadlock.
        let given_up = error.code().is_some_and(|state| ["40001", "40P01"].contains(&state.code()));
        Failed { problem: Problem::from(error).of_set_up(), given_up }
    }
}

impl From<deadpool_postgres::PoolError> for Failed {
    fn from(error: deadpool_postgres::PoolError) -> Failed {
        Failed { problem: error.into(), given_up: false }
    }
}

async fn attempt(pool: &Pool, messages: &[Message]) -> Result<Vec<Stored>, Failed> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let ids = draw_ids(&transaction, messages.len()).await?;
    let taken = take_names(&transaction, messages, &ids).await?;
    let is_new = |place: usize| messages[place].external_id.is_none() || taken.contains(&ids[place]);
    let new: Vec<usize> = (0..messages.len()).filter(|place| is_new(*place)).collect();
    let mut stored = insert(&transaction, messages, &ids, &new).await?;
    let old: Vec<usize> = (0..messages.len()).filter(|place| !is_new(*place)).collect();
    let found = find(&transaction, messages, &old).await?;
    transaction.commit().await?;
    let lost = || Failed { problem: Problem::internal(), given_up: false };
    (0..messages.len())
        .map(|place| match stored.remove(&ids[place]) {
            Some(message) => Ok(message),
            // Also the second of two in one batch.
            None => found.get(&name(&messages[place])).cloned().ok_or_else(lost),
        })
        .collect()
}

/// A message's name: its source and its external id.
fn name(message: &Message) -> (&str, &str) {
    (&message.source, message.external_id.as_deref().unwrap_or_default())
}

async fn draw_ids(transaction: &Transaction<'_>, count: usize) -> Result<Vec<i64>, Failed> {
    let draw =
        "SELECT pg_catalog.nextval('messages.message_id') FROM pg_catalog.generate_series(1, $1::bigint)";
    let draw = transaction.prepare_cached(draw).await?;
    let rows = transaction.query(&draw, &[&i64::try_from(count).unwrap_or(i64::MAX)]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Takes the names that nobody has taken; returns the ids of the messages that got theirs. Waits for a transaction that is
/// taking the same name. All take them in the same order, so that none waits for another in a circle.
async fn take_names(
    transaction: &Transaction<'_>,
    messages: &[Message],
    ids: &[i64],
) -> Result<HashSet<i64>, Failed> {
    let mut named: Vec<(&Message, i64)> = messages.iter().zip(ids.iter().copied()).collect();
    named.retain(|(message, _)| message.external_id.is_some());
    if named.is_empty() {
        return Ok(HashSet::new());
    }
    named.sort_by(|(a, a_id), (b, b_id)| (name(a), a_id).cmp(&(name(b), b_id)));
    named.dedup_by(|(b, _), (a, _)| name(a) == name(b));
    let sources: Vec<&str> = named.iter().map(|(message, _)| name(message).0).collect();
    let external_ids: Vec<&str> = named.iter().map(|(message, _)| name(message).1).collect();
    let ids: Vec<i64> = named.iter().map(|(_, id)| *id).collect();
    let take = "INSERT INTO messages.external_id (source, external_id, id, received_at)
                SELECT source, external_id, id, now()
                FROM unnest($1::text[], $2::text[], $3::bigint[]) AS n (source, external_id, id)
                ON CONFLICT DO NOTHING RETURNING id";
    let take = transaction.prepare_cached(take).await?;
    let rows = transaction.query(&take, &[&sources, &external_ids, &ids]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Stores the messages in these places; returns them by id.
async fn insert(
    transaction: &Transaction<'_>,
    messages: &[Message],
    ids: &[i64],
    places: &[usize],
) -> Result<HashMap<i64, Stored>, Failed> {
    if places.is_empty() {
        return Ok(HashMap::new());
    }
    let column = |of: fn(&Message) -> Option<&str>| -> Vec<Option<&str>> {
        places.iter().map(|place| of(&messages[*place])).collect()
    };
    let ids: Vec<i64> = places.iter().map(|place| ids[*place]).collect();
    let sources = column(|message| Some(&message.source));
    let external_ids = column(|message| message.external_id.as_deref());
    let authors = column(|message| message.author.as_deref());
    let bodies = column(|message| Some(&message.body));
    let sent: Vec<Option<OffsetDateTime>> = places.iter().map(|place| messages[*place].sent_at).collect();
    let insert = "INSERT INTO messages.message (id, source, external_id, author, body, sent_at)
                  SELECT id, source, external_id, author, body, coalesce(sent_at, now())
                  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
                      AS n (id, source, external_id, author, body, sent_at)
                  RETURNING id, false, label, score, model_version";
    let insert = transaction.prepare_cached(insert).await?;
    let rows = transaction.query(&insert, &[&ids, &sources, &external_ids, &authors, &bodies, &sent]).await?;
    Ok(rows.iter().map(|row| (row.get(0), stored(row))).collect())
}

/// Finds the messages that have the names of those in these places.
async fn find<'a>(
    transaction: &Transaction<'_>,
    messages: &'a [Message],
    places: &[usize],
) -> Result<HashMap<(&'a str, &'a str), Stored>, Failed> {
    if places.is_empty() {
        return Ok(HashMap::new());
    }
    let names: Vec<(&str, &str)> = places.iter().map(|place| name(&messages[*place])).collect();
    let sources: Vec<&str> = names.iter().map(|(source, _)| *source).collect();
    let external_ids: Vec<&str> = names.iter().map(|(_, external_id)| *external_id).collect();
    // A statement of its own: it sees what was committed while taking names waited. A message that is gone has no sentiment.
    let find = "SELECT e.id, true, m.label, m.score, m.model_version, n.ord
                FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (source, external_id, ord)
                JOIN messages.external_id AS e ON e.source = n.source AND e.external_id = n.external_id
                LEFT JOIN messages.message AS m ON m.id = e.id AND m.received_at = e.received_at";
    let find = transaction.prepare_cached(find).await?;
    let rows = transaction.query(&find, &[&sources, &external_ids]).await?;
    let place = |row: &Row| usize::try_from(row.get::<_, i64>(5) - 1).unwrap_or_default();
    Ok(rows.iter().filter_map(|row| Some((*names.get(place(row))?, stored(row)))).collect())
}

fn stored(row: &Row) -> Stored {
    Stored {
        id: row.get(0),
        duplicate: row.get(1),
        label: row.get(2),
        score: row.get(3),
        model_version: row.get(4),
    }
}
