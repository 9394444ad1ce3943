//! Brokers of a test's own, and a client of them.

use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use sentiment_tests::Database;

use crate::harness::{Gateway, PATIENCE};

/// A cluster with topics.
pub struct Brokers {
    pub cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Brokers {
    /// One broker with topics of so many partitions.
    pub fn start(topics: &[(&str, i32)]) -> Brokers {
        let cluster = MockCluster::new(1).unwrap();
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions, 1).unwrap();
        }
        Brokers { cluster }
    }

    pub fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// A gateway that reads topics, with further arguments.
    pub fn reader(&self, database: &Database<'_>, topics: &str, arguments: &[&str]) -> Gateway {
        crate::harness::run_clean(database, &["migrate"]);
        let address = self.address();
        let mut all = vec!["--kafka-brokers", &address, "--kafka-topics", topics];
        // Sooner than in earnest: a member that was killed, a coordinator that was lost.
        let quick = "session.timeout.ms=6000,heartbeat.interval.ms=500,reconnect.backoff.max.ms=500,statistics.interval.ms=500";
        all.extend(["--kafka-properties", quick]);
        all.extend(arguments);
        Gateway::beside(database, &all)
    }

    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address()).set("message.max.bytes", "3000000");
        config
    }

    pub fn writer(&self) -> Writer {
        Writer { producer: self.client().create().unwrap() }
    }

    /// Up to where a group has told the broker that a topic is read, summed over its partitions.
    pub fn committed(&self, group: &str, topic: &str, partitions: i32) -> i64 {
        let consumer: BaseConsumer = self.client().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        let committed = consumer.committed_offsets(list, PATIENCE).unwrap();
        let offset = |offset| match offset {
            Offset::Offset(offset) => offset,
            _ => 0,
        };
        committed.elements().iter().map(|element| offset(element.offset())).sum()
    }

    /// What a topic of one partition holds, once it is as many records.
    pub fn records(&self, topic: &str, count: usize) -> Vec<OwnedMessage> {
        let consumer: BaseConsumer = self.client().set("group.id", "of the test").create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let started = Instant::now();
        let mut records = Vec::new();
        while records.len() < count {
            if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
                records.push(record.detach());
            }
            assert!(started.elapsed() < PATIENCE, "{topic} has {} records of {count}", records.len());
        }
        // Nothing follows.
        while let Some(Ok(record)) = consumer.poll(Duration::from_millis(500)) {
            records.push(record.detach());
        }
        records
    }
}

/// Writes records.
pub struct Writer {
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl Writer {
    /// Writes a record to a partition.
    pub fn send(&self, topic: &str, partition: i32, key: Option<&[u8]>, value: Option<&[u8]>) {
        let mut record =
            BaseRecord::<[u8], [u8]>::to(topic).partition(partition).timestamp(1_700_000_000_000);
        record.key = key;
        record.payload = value;
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
    }

    /// Waits until the broker has them all.
    pub fn flush(&self) {
        self.producer.flush(PATIENCE).unwrap();
    }

    /// Writes so many numbered texts in turns to the partitions of a topic.
    pub fn fill(&self, topic: &str, partitions: i32, count: i32) {
        for n in 0..count {
            self.send(topic, n % partitions, None, Some(format!(r#"{{"body": "good {n}"}}"#).as_bytes()));
        }
        self.flush();
    }
}

/// A header of a record, as text.
pub fn header(record: &OwnedMessage, name: &str) -> String {
    let headers = record.headers().unwrap();
    let found = headers.iter().find(|header| header.key == name).unwrap();
    String::from_utf8(found.value.unwrap().to_vec()).unwrap()
}

/// Waits until a query answers this number.
pub fn await_value(database: &mut Database<'_>, query: &str, wanted: i64) {
    let started = Instant::now();
    loop {
        let value: i64 = database.value(query);
        if value == wanted {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{query}: {value}, not {wanted}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until something is so.
pub fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs a test, which is named, in a process of its own.
///
/// A broker that goes down closes its socket and binds another to the same port at once. A process that another test starts at
/// that moment still holds the closed one, until it becomes its own program: the port is taken, and librdkafka ends the process.
pub fn alone(test: &str, run: impl FnOnce()) {
    const ALONE: &str = "SENTIMENT_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return run();
    }
    let itself = std::env::current_exe().unwrap();
    let output =
        Command::new(itself).args(["--exact", test, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let (said, shown) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}{said}");
    said.lines().filter(|line| line.starts_with("faults: ")).for_each(sentiment_tests::note);
}

/// A figure of the gateway; 0 if it has none.
pub fn figure(gateway: &Gateway, name: &str) -> f64 {
    let metrics = gateway.get("/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or(0.0)
}

pub const STORED: &str = "SELECT count(*) FROM messages.message";
pub const NAMES: &str = "SELECT count(DISTINCT (source, external_id)) FROM messages.message";
