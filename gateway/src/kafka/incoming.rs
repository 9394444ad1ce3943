//! Records that come in: read in batches, stored, and only then told to the brokers as read.

mod member;

use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use futures_util::{FutureExt, Stream, StreamExt};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::{Barrier, oneshot, watch};

use super::rejects::Rejects;
use super::{END, end, record, refused};
use crate::config::{Kafka, KafkaFormat, KafkaName};
use crate::database::Failure;
use crate::ingest;
use crate::message::Message;
use member::Member;

/// The most records of a batch, and about the most bytes of their values.
const RECORDS: usize = 2000;
const BYTES: usize = 8 << 20;
/// How long to wait before a batch is tried again, at first and at most; each time it is twice as long.
const WAIT: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);
/// How long to ask for records before the brokers are told again.
const ASK: Duration = Duration::from_millis(20);
/// How long what is in hand may take when the gateway ends.
const LAST: Duration = Duration::from_secs(5);
/// What becomes of records, as it is counted.
pub const OUTCOMES: [&str; 4] = ["stored", "rejected", "tombstone", "own"];

type Consumer = StreamConsumer<Member>;

/// A record, and what it is: a message, nothing to store (a tombstone, or one of the gateway's own), or nothing that can be.
type Read<'c> = (BorrowedMessage<'c>, Result<Option<Message>, String>);

/// A batch, by what becomes of its records.
struct Batch<'c> {
    records: Vec<BorrowedMessage<'c>>,
    messages: Vec<Message>,
    /// Of each message, which record it is.
    places: Vec<usize>,
    /// What cannot be stored, and why.
    rejected: Vec<(usize, String)>,
}

impl<'c> Batch<'c> {
    fn new(reads: Vec<Read<'c>>) -> Batch<'c> {
        let mut batch =
            Batch { records: Vec::new(), messages: Vec::new(), places: Vec::new(), rejected: Vec::new() };
        for (place, (record, read)) in reads.into_iter().enumerate() {
            batch.records.push(record);
            match read {
                Ok(Some(message)) => {
                    batch.places.push(place);
                    batch.messages.push(message);
                }
                Ok(None) => {}
                Err(reason) => batch.rejected.push((place, reason)),
            }
        }
        batch
    }
}

/// The topics of a gateway.
pub struct Topics {
    /// Names, and patterns of names.
    read: Vec<String>,
    /// What the gateway writes itself: a pattern may take it in.
    own: Vec<String>,
    said: Once,
}

impl Topics {
    pub fn new(read: Vec<String>, own: Vec<String>) -> Topics {
        Topics { read, own, said: Once::new() }
    }

    /// Whether a record is of what the gateway writes itself; says once that there are such.
    fn is_own(&self, record: &BorrowedMessage<'_>) -> bool {
        let topic = record.topic();
        let is_own = self.own.iter().any(|own| own == topic);
        if is_own {
            let detail =
                "a pattern of topics takes in one that this gateway writes to: its records are passed over";
            self.said.call_once(|| tracing::error!(topic, "{detail}"));
        }
        is_own
    }
}

/// Reads topics into the table. Clones of it share nothing but settings.
#[derive(Clone)]
pub struct Incoming {
    topics: Arc<Topics>,
    config: ClientConfig,
    format: KafkaFormat,
    name: KafkaName,
    rejects: Rejects,
    pool: Pool,
    ending: watch::Receiver<bool>,
    /// Where the members of this gateway meet at the end.
    members: Arc<Barrier>,
}

impl Incoming {
    pub fn new(
        settings: &Kafka,
        topics: Topics,
        base: &ClientConfig,
        rejects: Rejects,
        pool: Pool,
        ending: watch::Receiver<bool>,
    ) -> Incoming {
        let mut config = base.clone();
        let cooperative = config.get("group.protocol").is_none_or(|protocol| protocol == "classic");
        let defaults = [
            // A new group reads all that there is.
            ("auto.offset.reset", "earliest"),
            ("auto.commit.interval.ms", "1000"),
            // What is read ahead and waits for the database has an end.
            ("queued.max.messages.kbytes", "16384"),
            ("statistics.interval.ms", "5000"),
        ];
        for (name, value) in defaults {
            if config.get(name).is_none() {
                config.set(name, value);
            }
        }
        if cooperative && config.get("partition.assignment.strategy").is_none() {
            // A gateway that comes or goes moves its own partitions alone.
            config.set("partition.assignment.strategy", "cooperative-sticky");
        }
        // Offsets are told to the brokers every now and then, when partitions are given up, and at the end: those that were
        // noted as stored, and no others.
        config.set("enable.auto.offset.store", "false").set("enable.auto.commit", "true");
        config.set("group.id", &settings.kafka_group);
        let (format, name) = (settings.kafka_format, settings.kafka_name);
        let members = Arc::new(Barrier::new(settings.kafka_consumers.into()));
        Incoming { topics: topics.into(), config, format, name, rejects, pool, ending, members }
    }

    /// The same for one of the members of this gateway, by its number from 1.
    pub fn of_member(&self, number: u16, members: u16) -> Incoming {
        Incoming { config: with_own_name(self.config.clone(), number, members), ..self.clone() }
    }

    /// A member of the group.
    pub fn consumer(&self) -> Result<Consumer, Failure> {
        let consumer: Consumer = StreamConsumer::from_config_and_context(&self.config, Member::default())
            .map_err(|e| refused(&e))?;
        let topics: Vec<&str> = self.topics.read.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| refused(&error))?;
        Ok(consumer)
    }

    /// Reads and stores until the gateway ends.
    pub async fn run(mut self, mut consumer: Consumer) {
        loop {
            let Err(error) = self.consume(&consumer).await else { return self.leave(consumer).await };
            end(consumer).await;
            tracing::error!("this member of Kafka's group is given up, and a new one joins: {error}");
            // Settings that were good are good again.
            consumer = match self.consumer() {
                Ok(consumer) => consumer,
                Err(failure) => return tracing::error!("{failure}"),
            };
            if self.rest(LONGEST).await {
                return self.leave(consumer).await;
            }
        }
    }

    /// Tells the brokers what is stored, and leaves the group. A member that leaves has the others share anew, and meanwhile
    /// the brokers hear nothing: so all members of this gateway tell before one of them leaves.
    async fn leave(&self, consumer: Consumer) {
        let (told, telling) = oneshot::channel();
        let runtime = Handle::current();
        std::thread::spawn(move || {
            tell(&consumer, &runtime);
            let _ = told.send(consumer);
        });
        let told = tokio::time::timeout(END, telling).await;
        let _ = tokio::time::timeout(END, self.members.wait()).await;
        if let Ok(Ok(consumer)) = told {
            end(consumer).await;
        }
    }

    /// Reads and stores until the gateway ends, or the consumer cannot go on.
    async fn consume(&mut self, consumer: &Consumer) -> Result<(), KafkaError> {
        let mut records = consumer.stream();
        while let Some(batch) = self.gather(consumer, &mut records).await? {
            let batch = Batch::new(batch);
            if !self.store_in_the_end(&batch).await {
                // It is read again, by whoever comes next.
                return Ok(());
            }
            note(consumer, &batch.records);
        }
        Ok(())
    }

    /// What is there to be read, at most a batch; nothing once the gateway ends. Waits for a first record, and for no other:
    /// while a batch is stored, records gather for the next one.
    async fn gather<'c>(
        &mut self,
        consumer: &'c Consumer,
        records: &mut (impl Stream<Item = Result<BorrowedMessage<'c>, KafkaError>> + Unpin),
    ) -> Result<Option<Vec<Read<'c>>>, KafkaError> {
        let mut batch: Vec<Read<'c>> = Vec::new();
        let mut bytes = 0;
        while batch.len() < RECORDS && bytes < BYTES {
            let next = match Pin::new(&mut *records).next().now_or_never() {
                Some(next) => next,
                None if !batch.is_empty() => break,
                None => tokio::select! {
                    next = records.next() => next,
                    _ = self.ending.wait_for(|ending| *ending) => return Ok(None),
                },
            };
            // Partitions may just have been lost: what was read of them is read by another.
            consumer.context().forget(&mut batch);
            match next {
                Some(Ok(read)) => {
                    bytes += read.payload_len();
                    let message = self.read(&read);
                    batch.push((read, message));
                }
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                Some(Err(error)) => tracing::warn!("Kafka: {error}"),
                None => break,
            }
        }
        consumer.context().forget(&mut batch);
        Ok((!*self.ending.borrow()).then_some(batch))
    }

    /// Reads a record. What the gateway wrote itself is passed over: read, it would be written again, round and round.
    fn read(&self, record: &BorrowedMessage<'_>) -> Result<Option<Message>, String> {
        if self.topics.is_own(record) { Ok(None) } else { record::read(record, self.format, self.name) }
    }

    /// Stores a batch, however long the database is away; whether it is stored. It is not only if the gateway ends meanwhile:
    /// then it is waited for a little longer, for the database or the dead letters' brokers may not answer at all.
    async fn store_in_the_end(&mut self, batch: &Batch<'_>) -> bool {
        let mut wait = WAIT;
        let mut ending = self.ending.clone();
        let mut too_late = pin!(async {
            let _ = ending.wait_for(|ending| *ending).await;
            tokio::time::sleep(LAST).await;
        });
        loop {
            let failure = tokio::select! {
                done = self.store(batch) => match done {
                    Ok(()) => return true,
                    Err(failure) => failure,
                },
                () = &mut too_late => {
                    tracing::warn!(records = batch.records.len(), "records were not stored in the time to end");
                    return false;
                }
            };
            tracing::warn!(records = batch.records.len(), "records wait to be stored: {failure}");
            if self.rest(wait).await {
                return false;
            }
            wait = LONGEST.min(wait * 2);
        }
    }

    /// Stores a batch: messages in their table, what is none where rejected records go.
    async fn store(&self, batch: &Batch<'_>) -> Result<(), Failure> {
        let (stored, refused) = ingest::store_all_but_refused(&self.pool, "kafka", &batch.messages).await?;
        let refused = refused.into_iter().map(|(place, problem)| (batch.places[place], problem.refusal()));
        let rejected: Vec<_> = batch.rejected.iter().cloned().chain(refused).collect();
        let letters: Vec<_> =
            rejected.iter().map(|(place, reason)| (&batch.records[*place], reason.as_str())).collect();
        self.rejects.file(&letters).await?;
        let own = batch.records.iter().filter(|record| self.topics.is_own(record)).count();
        let tombstones = batch.records.len() - batch.messages.len() - batch.rejected.len() - own;
        for (outcome, count) in OUTCOMES.into_iter().zip([stored, rejected.len(), tombstones, own]) {
            metrics::counter!("sentiment_gateway_kafka_records_total", "outcome" => outcome)
                .increment(count as u64);
        }
        Ok(())
    }

    /// Waits; whether the gateway ends meanwhile.
    async fn rest(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.ending.wait_for(|ending| *ending)).await.is_ok()
    }
}

/// The properties of one of several members: a name that its operator has given the gateway (`group.instance.id`) is one member's
/// alone, for brokers put each that comes with it out for the next.
fn with_own_name(mut config: ClientConfig, number: u16, members: u16) -> ClientConfig {
    const NAME: &str = "group.instance.id";
    let given = config.get(NAME).filter(|name| !name.is_empty() && members > 1).map(str::to_owned);
    if let Some(name) = given {
        config.set(NAME, format!("{name}-{number}"));
    }
    config
}

/// Tells the brokers what was noted as stored. While a group shares anew they refuse to hear, and it shares only if its
/// members go on asking for records: so this one does, and tells again.
fn tell(consumer: &Consumer, runtime: &Handle) {
    let until = Instant::now() + END;
    while let Err(error) = consumer.commit_consumer_state(CommitMode::Sync) {
        let sharing = error.rdkafka_error_code() == Some(RDKafkaErrorCode::RebalanceInProgress);
        // Else there may be nothing to tell.
        if !sharing || Instant::now() > until {
            return;
        }
        // What comes is not noted, so whoever has the partition next reads it again.
        let _ = runtime.block_on(async { tokio::time::timeout(ASK, consumer.recv()).await.map(drop) });
    }
}

/// Notes a batch as stored; the brokers are told in time.
fn note(consumer: &Consumer, records: &[BorrowedMessage<'_>]) {
    let mut next: HashMap<(&str, i32), i64> = HashMap::new();
    for record in records {
        next.insert((record.topic(), record.partition()), record.offset() + 1);
    }
    for ((topic, partition), offset) in next {
        let mut place = TopicPartitionList::new();
        let noted = place
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .and_then(|()| consumer.store_offsets(&place));
        // A partition may be lost meanwhile: whoever has it now finds these records stored.
        if noted.is_err() {
            tracing::debug!(topic, partition, "a partition was lost while its records were stored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_gateway_that_has_a_name_have_names_of_their_own() {
        let name = |given: Option<&str>, number, members| {
            let mut config = ClientConfig::new();
            if let Some(given) = given {
                config.set("group.instance.id", given);
            }
            with_own_name(config, number, members).get("group.instance.id").map(str::to_owned)
        };
        let names = [name(Some("a"), 1, 2), name(Some("a"), 2, 2)];
        assert_eq!(names, [Some("a-1".into()), Some("a-2".into())]);
        assert_eq!(name(Some("a"), 1, 1).as_deref(), Some("a"));
        assert_eq!(name(None, 1, 2), None);
    }
}
