//! Scored messages on their way out: each to the topic, in the order of commits, by one gateway at a time.
//!
//! How far it is stands in the database, and moves on once the brokers have what came before. Whoever takes over goes on
//! from there, so that a message may be sent twice, but none is left out.

use std::time::Duration;

use deadpool_postgres::Pool;
use futures_util::future::try_join_all;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryFuture, FutureRecord};
use tokio::sync::{mpsc, watch};
use tokio_postgres::Client;

use super::{Producer, end, is_too_large, producer};
use crate::database::{Address, Failure};
use crate::feed::{self, Cursor, Event};

/// The most messages, and about the most bytes of them, that are on their way to the brokers before the position moves on.
const MESSAGES: usize = 2000;
const BYTES: usize = 8 << 20;
/// How often it is looked whether it is this gateway's turn, and for messages without being told.
const LOOK: Duration = Duration::from_secs(2);
/// How long to wait after a failure.
const WAIT: Duration = Duration::from_secs(2);
/// How long the brokers may take for what is on its way when the gateway ends.
const LAST: Duration = Duration::from_secs(5);

/// Writes messages to a topic.
pub struct Outgoing {
    topic: String,
    config: ClientConfig,
    address: Address,
    pool: Pool,
    ending: watch::Receiver<bool>,
}

/// A gateway's turn to write: its session holds a lock, and it alone moves the position.
struct Turn {
    session: Client,
    notices: mpsc::Receiver<String>,
}

impl Outgoing {
    pub fn new(
        topic: String,
        config: ClientConfig,
        address: Address,
        pool: Pool,
        ending: watch::Receiver<bool>,
    ) -> Outgoing {
        Outgoing { topic, config, address, pool, ending }
    }

    /// Marks where to begin, if no gateway has before: with what is stored from now on.
    pub async fn begin(&self) -> Result<Producer, Failure> {
        let producer = producer(&self.config)?;
        let head = Cursor::after(feed::number(&self.pool).await?);
        let begin = "INSERT INTO messages.kafka_sent (topic, position, id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        self.pool.get().await?.execute(begin, &[&self.topic, &head.position, &head.id]).await?;
        Ok(producer)
    }

    /// Writes what is stored until the gateway ends, whenever it is this one's turn.
    pub async fn run(mut self, mut producer: Producer) {
        loop {
            let done = self.take_turn(&producer).await;
            metrics::gauge!("sentiment_gateway_kafka_behind").set(0);
            if *self.ending.borrow() {
                return end(producer).await;
            }
            if let Err(failure) = done {
                tracing::warn!("messages wait to be sent to Kafka: {failure}");
            }
            if self.rest(WAIT).await {
                return end(producer).await;
            }
            // After a failure a producer may not go on: what it had is sent again by a new one.
            match super::producer(&self.config) {
                Ok(new) => end(std::mem::replace(&mut producer, new)).await,
                Err(failure) => tracing::error!("{failure}"),
            }
        }
    }

    /// Waits for its turn and writes, until something fails or the gateway ends.
    async fn take_turn(&mut self, producer: &Producer) -> Result<(), Failure> {
        let (session, notices) = tokio::select! {
            listening = self.address.listen(&["sentiment_messages"]) => listening?,
            _ = self.ending.wait_for(|ending| *ending) => return Ok(()),
        };
        let mut turn = Turn { session, notices };
        let done = self.write(producer, &mut turn).await;
        // The driver closes statements when they are dropped: that is answered before the session ends.
        let _ = turn.session.simple_query("").await;
        done
    }

    async fn write(&mut self, producer: &Producer, turn: &mut Turn) -> Result<(), Failure> {
        let lock = "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('messages.kafka_sent ' || $1::text, 0))";
        let lock = turn.session.prepare(lock).await?;
        while !turn.session.query_one(&lock, &[&self.topic]).await?.get::<_, bool>(0) {
            if self.rest(LOOK).await {
                return Ok(());
            }
        }
        let mut cursor = self.resume(turn).await?;
        tracing::info!(topic = self.topic, "this gateway writes to Kafka");
        loop {
            let head = Cursor::after(feed::number(&self.pool).await?);
            while cursor < head {
                metrics::gauge!("sentiment_gateway_kafka_behind")
                    .set((head.position - cursor.position) as f64);
                // What is gone already was dropped by the retention.
                cursor = self.send(producer, cursor).await?.unwrap_or(head);
                self.save(turn, cursor).await?;
                if *self.ending.borrow() {
                    return Ok(());
                }
            }
            metrics::gauge!("sentiment_gateway_kafka_behind").set(0);
            tokio::select! {
                notice = turn.notices.recv() => if notice.is_none() {
                    return Err(Failure::Other("the connection to the database was lost".into()));
                },
                ended = self.rest(LOOK) => if ended { return Ok(()) },
            }
            while turn.notices.try_recv().is_ok() {}
        }
    }

    /// Up to where the topic has everything.
    async fn resume(&self, turn: &Turn) -> Result<Cursor, Failure> {
        let read = "SELECT s.position, s.id, (SELECT pg_catalog.min(b.position) FROM messages.batch AS b)
                    FROM messages.kafka_sent AS s WHERE s.topic OPERATOR(pg_catalog.=) $1";
        let row = turn.session.query_one(read, &[&self.topic]).await?;
        let cursor = Cursor { position: row.get(0), id: row.get(1) };
        if row.get::<_, Option<i64>>(2).is_some_and(|first| first > cursor.position + 1) {
            tracing::warn!(
                "the order of commits is kept for a week: messages before that were never sent to Kafka"
            );
        }
        Ok(cursor)
    }

    /// Moves the position on. Only the session that has the lock can: once it is lost, so is the turn.
    async fn save(&self, turn: &Turn, cursor: Cursor) -> Result<(), Failure> {
        let save =
            "UPDATE messages.kafka_sent SET position = $2, id = $3 WHERE topic OPERATOR(pg_catalog.=) $1";
        turn.session.execute(save, &[&self.topic, &cursor.position, &cursor.id]).await?;
        Ok(())
    }

    /// Sends what comes after a cursor, and waits until the brokers have it. Returns the last of it; nothing if none came.
    async fn send(&mut self, producer: &Producer, after: Cursor) -> Result<Option<Cursor>, Failure> {
        let page = feed::after(&self.pool, after, MESSAGES, BYTES).await?;
        let mut deliveries = Vec::with_capacity(page.events.len());
        for event in &page.events {
            deliveries.extend(self.send_one(producer, event)?);
        }
        let count = deliveries.len() as u64;
        let delivered = try_join_all(deliveries.into_iter().map(|(id, delivery)| delivered(id, delivery)));
        let mut ending = self.ending.clone();
        let too_late = async {
            let _ = ending.wait_for(|ending| *ending).await;
            tokio::time::sleep(LAST).await;
        };
        tokio::select! {
            done = delivered => done?,
            () = too_late => return Err(Failure::Other("the brokers did not take the last messages in time".into())),
        };
        metrics::counter!("sentiment_gateway_kafka_sent_total").increment(count);
        Ok(page.events.last().map(|event| event.cursor))
    }

    /// Hands a message to the producer; nothing if it is too large for it.
    fn send_one(&self, producer: &Producer, event: &Event) -> Result<Option<(i64, DeliveryFuture)>, Failure> {
        let id = event.message.id;
        let key = id.to_string();
        let stored = event.message.received_at.unix_timestamp_nanos() / 1_000_000;
        let record = FutureRecord::to(&self.topic)
            .key(&key)
            .payload(event.json())
            .timestamp(i64::try_from(stored).unwrap_or_default());
        match producer.send_result(record) {
            Ok(delivery) => Ok(Some((id, delivery))),
            Err((error, _)) => too_large_or_failed(id, &error).map(|()| None),
        }
    }

    /// Waits; whether the gateway ends meanwhile.
    async fn rest(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.ending.wait_for(|ending| *ending)).await.is_ok()
    }
}

/// Waits until the brokers have a message.
async fn delivered(id: i64, delivery: DeliveryFuture) -> Result<(), Failure> {
    match delivery.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err((error, _))) => too_large_or_failed(id, &error),
        Err(_) => too_large_or_failed(id, &KafkaError::Canceled),
    }
}

/// A message that is larger than Kafka takes is left out, for it would hold up all others for ever; its id is logged.
fn too_large_or_failed(id: i64, error: &KafkaError) -> Result<(), Failure> {
    if is_too_large(error) {
        tracing::error!(id, "a message is too large for Kafka and is left out: see max.message.bytes");
        metrics::counter!("sentiment_gateway_kafka_too_large_total").increment(1);
        return Ok(());
    }
    Err(Failure::Other(error.to_string()))
}
