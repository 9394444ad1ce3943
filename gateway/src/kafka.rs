//! Kafka: records come in as messages, and scored messages go out as records.
//!
//! librdkafka speaks to the brokers. It reconnects by itself and for ever, so a lost broker is a pause and no failure.

mod incoming;
mod outgoing;
mod record;
mod rejects;

use std::time::Duration;

use deadpool_postgres::Pool;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::FutureProducer;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::config::{Kafka, listed};
use crate::database::{Address, Failure};
use crate::telemetry::begin_each;

/// How long a client may take to end.
const END: Duration = Duration::from_secs(5);

/// Starts what the settings ask for, until `ending`; returns the tasks that do it.
///
/// When a task has ended, what it had in hand is stored, or will be read or sent again. Brokers need not be there yet: an
/// error says what is wrong with the settings, or that the database is away.
pub async fn start(
    settings: &Kafka,
    address: &Address,
    pool: &Pool,
    ending: &watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>, Failure> {
    let Some(base) = client(settings)? else { return Ok(Vec::new()) };
    let given = |topic: &Option<String>| listed(topic.as_slice()).next().map(str::to_owned);
    let topics: Vec<String> = listed(&settings.kafka_topics).map(str::to_owned).collect();
    let (dead, out) = (given(&settings.kafka_dead_letters), given(&settings.kafka_out_topic));
    if let Some(circle) = [&dead, &out].into_iter().flatten().find(|topic| topics.contains(topic)) {
        return Err(Failure::Other(format!("the topic {circle} would be read and written, round and round")));
    }
    let mut tasks = Vec::new();
    if !topics.is_empty() {
        begin_each("sentiment_gateway_kafka_records_total", "outcome", &incoming::OUTCOMES);
        let own = [&dead, &out].into_iter().flatten().cloned().collect();
        let topics = incoming::Topics::new(topics, own);
        let rejects = rejects::Rejects::new(dead, &base, pool)?;
        let incoming =
            incoming::Incoming::new(settings, topics, &base, rejects, pool.clone(), ending.clone());
        for number in 1..=settings.kafka_consumers {
            let member = incoming.of_member(number, settings.kafka_consumers);
            let consumer = member.consumer()?;
            tasks.push(tokio::spawn(member.run(consumer)));
        }
    }
    if let Some(topic) = out {
        metrics::counter!("sentiment_gateway_kafka_sent_total").increment(0);
        metrics::counter!("sentiment_gateway_kafka_too_large_total").increment(0);
        let outgoing = outgoing::Outgoing::new(topic, base, address.clone(), pool.clone(), ending.clone());
        let producer = outgoing.begin().await?;
        tasks.push(tokio::spawn(outgoing.run(producer)));
    }
    Ok(tasks)
}

/// What all clients share; nothing if there are no brokers.
fn client(settings: &Kafka) -> Result<Option<ClientConfig>, Failure> {
    let brokers: Vec<&str> = listed(&settings.kafka_brokers).collect();
    if brokers.is_empty() {
        return Ok(None);
    }
    let mut config = ClientConfig::new();
    for (name, value) in settings.properties()? {
        config.set(name, value);
    }
    if ["ssl.ca.location", "ssl.ca.pem"].iter().all(|name| config.get(name).is_none()) {
        // Wherever the distribution keeps its authorities: OpenSSL alone looks where its own package would be.
        config.set("ssl.ca.location", "probe");
    }
    if config.get("client.id").is_none() {
        config.set("client.id", "sentiment-gateway");
    }
    config.set("bootstrap.servers", brokers.join(","));
    // Left out, it would be the level of a logger that is not used here.
    let level = if config.get("debug").is_some() { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info };
    config.set_log_level(level);
    Ok(Some(config))
}

type Producer = FutureProducer<Listener>;

/// Makes a producer whose records are written once and in order, as long as it lives.
fn producer(base: &ClientConfig) -> Result<Producer, Failure> {
    let mut config = base.clone();
    config.set("enable.idempotence", "true");
    FutureProducer::from_config_and_context(&config, Listener).map_err(|error| refused(&error))
}

/// What librdkafka says of settings that it cannot work with. A property's value may be a password, and is left out.
fn refused(error: &KafkaError) -> Failure {
    Failure::Other(match error {
        KafkaError::ClientConfig(_, reason, name, _) => format!("Kafka's property {name}: {reason}"),
        error => format!("Kafka's settings: {error}"),
    })
}

/// Whether a record is larger than the producer or the broker takes: then it is so however often it is sent.
fn is_too_large(error: &KafkaError) -> bool {
    error.rdkafka_error_code().is_some_and(|code| {
        [RDKafkaErrorCode::MessageSizeTooLarge, RDKafkaErrorCode::InvalidMessageSize].contains(&code)
    })
}

/// Ends a client, which blocks: it takes leave of the brokers, if they are there.
async fn end<C: Send + 'static>(client: C) {
    let (done, ended) = oneshot::channel();
    std::thread::spawn(move || {
        drop(client);
        let _ = done.send(());
    });
    if tokio::time::timeout(END, ended).await.is_err() {
        tracing::warn!("a client of Kafka did not end in time");
    }
}

/// Logs what librdkafka says. It speaks of brokers, topics and offsets, never of what records hold.
#[derive(Debug)]
struct Listener;

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        use RDKafkaLogLevel::{Debug, Info, Notice};
        match level {
            Debug => tracing::debug!(facility, "Kafka: {line}"),
            Notice | Info => tracing::info!(facility, "Kafka: {line}"),
            _ => tracing::warn!(facility, "Kafka: {line}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!("Kafka: {error}: {reason}");
    }
}
