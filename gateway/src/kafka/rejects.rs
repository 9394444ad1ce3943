//! Records that cannot be stored: kept as they are, with the reason, in a topic or a table.

use std::sync::Arc;

use deadpool_postgres::Pool;
use rdkafka::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::message::{BorrowedMessage, Header, OwnedHeaders};
use rdkafka::producer::{FutureRecord, Producer as _};
use tokio::sync::Mutex;

use super::{Producer, end, is_too_large, producer};
use crate::database::Failure;

/// A record that cannot be stored, and why.
pub type Letter<'r> = (&'r BorrowedMessage<'r>, &'r str);

/// Where rejected records go.
#[derive(Clone)]
pub struct Rejects {
    letters: Option<DeadLetters>,
    pool: Pool,
}

/// A topic, and what writes to it: one producer for all members of the group.
#[derive(Clone)]
struct DeadLetters {
    topic: Arc<str>,
    config: ClientConfig,
    producer: Arc<Mutex<Producer>>,
}

impl Rejects {
    /// Rejected records go to this topic, or without one to the table `messages.kafka_rejected`.
    pub fn new(topic: Option<String>, base: &ClientConfig, pool: &Pool) -> Result<Rejects, Failure> {
        let letters = topic.map(|topic| DeadLetters::new(topic, base)).transpose()?;
        Ok(Rejects { letters, pool: pool.clone() })
    }

    /// Files records, each with the reason. When this returns, they are there to stay; after an error some may be.
    pub async fn file(&self, rejected: &[Letter<'_>]) -> Result<(), Failure> {
        let Some((first, reason)) = rejected.first() else { return Ok(()) };
        let (topic, partition, offset) = (first.topic(), first.partition(), first.offset());
        tracing::warn!(topic, partition, offset, reason, count = rejected.len(), "records were rejected");
        match &self.letters {
            Some(letters) => self.insert(&letters.write(rejected).await?).await,
            None => self.insert(&rejected.iter().collect::<Vec<_>>()).await,
        }
    }

    async fn insert(&self, rejected: &[&Letter<'_>]) -> Result<(), Failure> {
        if rejected.is_empty() {
            return Ok(());
        }
        let records = || rejected.iter().map(|(record, _)| record);
        let topics: Vec<&str> = records().map(|record| record.topic()).collect();
        let partitions: Vec<i32> = records().map(|record| record.partition()).collect();
        let offsets: Vec<i64> = records().map(|record| record.offset()).collect();
        let keys: Vec<Option<&[u8]>> = records().map(|record| record.key()).collect();
        let values: Vec<Option<&[u8]>> = records().map(|record| record.payload()).collect();
        let reasons: Vec<&str> = rejected.iter().map(|(_, reason)| *reason).collect();
        let insert = "INSERT INTO messages.kafka_rejected (topic, partition, record_offset, reason, key, value)
                      SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[])
                      ON CONFLICT DO NOTHING";
        let client = self.pool.get().await?;
        let insert = client.prepare_cached(insert).await?;
        client.execute(&insert, &[&topics, &partitions, &offsets, &reasons, &keys, &values]).await?;
        Ok(())
    }
}

impl DeadLetters {
    fn new(topic: String, base: &ClientConfig) -> Result<DeadLetters, Failure> {
        let producer = Arc::new(Mutex::new(producer(base)?));
        Ok(DeadLetters { topic: topic.into(), config: base.clone(), producer })
    }

    /// Writes records; returns those that are too large. A producer that cannot go on is replaced for the next time.
    async fn write<'a, 'r>(&self, rejected: &'a [Letter<'r>]) -> Result<Vec<&'a Letter<'r>>, Failure> {
        let current = self.producer.lock().await.clone();
        let written = send(&current, &self.topic, rejected).await;
        drop(current);
        if written.is_err() {
            self.renew().await?;
        }
        written
    }

    /// Makes a new producer if the present one has failed for good: it refuses whatever comes.
    async fn renew(&self) -> Result<(), Failure> {
        let mut current = self.producer.lock().await;
        if let Some((error, _)) = current.client().fatal_error() {
            tracing::error!("what writes dead letters is given up and made anew: {error}");
            let old = std::mem::replace(&mut *current, producer(&self.config)?);
            drop(current);
            end(old).await;
        }
        Ok(())
    }
}

/// Writes records as they were, with where they stood and the reason as headers; returns those that are too large with them.
async fn send<'a, 'r>(
    producer: &Producer,
    topic: &str,
    rejected: &'a [Letter<'r>],
) -> Result<Vec<&'a Letter<'r>>, Failure> {
    let failed = |error| Failure::Other(format!("the dead letters' topic takes none: {error}"));
    let mut large = Vec::new();
    let mut sent = Vec::with_capacity(rejected.len());
    for letter in rejected {
        let (record, reason) = letter;
        let mut headers = record.headers().map(|headers| headers.detach()).unwrap_or_else(OwnedHeaders::new);
        let place = [
            ("sentiment-reason", (*reason).to_owned()),
            ("sentiment-topic", record.topic().to_owned()),
            ("sentiment-partition", record.partition().to_string()),
            ("sentiment-offset", record.offset().to_string()),
        ];
        for (key, value) in &place {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut letter_out = FutureRecord::<[u8], [u8]>::to(topic).headers(headers);
        letter_out.key = record.key();
        letter_out.payload = record.payload();
        match producer.send_result(letter_out) {
            Ok(delivery) => sent.push((letter, delivery)),
            Err((error, _)) if is_too_large(&error) => large.push(letter),
            Err((error, _)) => return Err(failed(error)),
        }
    }
    for (letter, delivery) in sent {
        match delivery.await {
            Ok(Ok(_)) => {}
            Ok(Err((error, _))) if is_too_large(&error) => large.push(letter),
            Ok(Err((error, _))) => return Err(failed(error)),
            Err(_) => return Err(failed(rdkafka::error::KafkaError::Canceled)),
        }
    }
    Ok(large)
}
