//! What goes out: every message that is stored, in the order of commits, at least once.

use std::collections::BTreeSet;

use rdkafka::Message as _;
use rdkafka::types::RDKafkaApiKey as Api;
use rdkafka::types::RDKafkaRespErr as Fault;
use sentiment_tests::{Database, Level};
use serde_json::{Value, json};

use super::broker::{Brokers, STORED, alone, await_that, figure};
use crate::harness::{Gateway, run_clean};

const INSERT: &str = "INSERT INTO messages.message (source, body) SELECT 'sql', 'good ' || n FROM generate_series(1, 100) AS n";

fn writer(brokers: &Brokers, database: &Database<'_>) -> Gateway {
    run_clean(database, &["migrate"]);
    let address = brokers.address();
    let quick = "reconnect.backoff.max.ms=500,message.timeout.ms=20000";
    let arguments = ["--kafka-brokers", &address, "--kafka-out-topic", "out", "--kafka-properties", quick];
    Gateway::beside(database, &arguments)
}

/// The ids of the records' messages; each is the key too.
fn ids(brokers: &Brokers, count: usize) -> Vec<i64> {
    let id = |record: &rdkafka::message::OwnedMessage| {
        let message: Value = serde_json::from_slice(record.payload().unwrap()).unwrap();
        let id = message["id"].as_i64().unwrap();
        assert_eq!(record.key().unwrap(), id.to_string().as_bytes());
        id
    };
    brokers.records("out", count).iter().map(id).collect()
}

fn stored(database: &mut Database<'_>) -> Vec<i64> {
    database.rows("SELECT id FROM messages.message ORDER BY id").iter().map(|row| row.get(0)).collect()
}

#[test]
fn messages_go_out_as_they_are_shown_and_a_restart_leaves_none_out() {
    let brokers = Brokers::start(&[("out", 1)]);
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    database.run(
        "INSERT INTO messages.message (source, body) VALUES ('sql', 'stored before Kafka was asked for')",
    );
    let gateway = writer(&brokers, &database);
    gateway.post("/v1/messages", &json!({"source": "rest", "external_id": "ü", "body": "I love it"})).ok();
    for _ in 0..30 {
        database.run(INSERT);
    }
    let sent = brokers.records("out", 3001);
    let first: Value = serde_json::from_slice(sent[0].payload().unwrap()).unwrap();
    let listed = gateway.get("/v1/messages?source=rest").ok();
    assert_eq!(first, listed["messages"][0], "all ways out show the same");
    await_that("all is counted", || figure(&gateway, "sentiment_gateway_kafka_sent_total") == 3001.0);
    drop(gateway);
    database.run(INSERT);
    let _next = writer(&brokers, &database);
    database.run(INSERT);
    assert_eq!(ids(&brokers, 3201), stored(&mut database)[1..]);
}

/// One at a time writes. Another takes over, be it that the first ends or that it is killed.
#[test]
fn another_gateway_takes_over() {
    let brokers = Brokers::start(&[("out", 1)]);
    let mut database = Database::new();
    let sent = "sentiment_gateway_kafka_sent_total";
    let mut gateways = vec![writer(&brokers, &database)];
    gateways[0].await_log("this gateway writes to Kafka");
    for _ in 0..2 {
        gateways.push(writer(&brokers, &database));
    }
    for _ in 0..10 {
        database.run(INSERT);
    }
    await_that("all are sent", || figure(&gateways[0], sent) == 1000.0);
    assert!(gateways[1..].iter().all(|gateway| figure(gateway, sent) == 0.0));
    let inserting = database.connect("postgres");
    std::thread::scope(|scope| {
        let mut client = inserting;
        scope.spawn(move || {
            for _ in 0..100 {
                client.batch_execute(INSERT).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        });
        await_that("some are sent", || figure(&gateways[0], sent) > 1500.0);
        let mut killed = gateways.remove(0);
        killed.signal("-KILL");
        assert!(!killed.ends());
    });
    await_that("others send", || gateways.iter().any(|gateway| figure(gateway, sent) > 0.0));
    let all = stored(&mut database);
    assert_eq!(all.len(), 11_000);
    let position =
        "SELECT (SELECT max(position) FROM messages.batch) - (SELECT position FROM messages.kafka_sent)";
    await_that("all are sent", || database.value::<i64>(position) == 0);
    let seen: BTreeSet<i64> = ids(&brokers, all.len()).into_iter().collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
    for level in [Level::Fatal, Level::Warning] {
        database.ask(level, "08006");
    }
}

#[test]
fn brokers_that_go_away_or_refuse_are_waited_for() {
    alone("kafka::outgoing::brokers_that_go_away_or_refuse_are_waited_for", brokers_go_away);
}

fn brokers_go_away() {
    let brokers = Brokers::start(&[("out", 1)]);
    let mut database = Database::new();
    let gateway = writer(&brokers, &database);
    database.run(INSERT);
    assert_eq!(ids(&brokers, 100).len(), 100);
    brokers.cluster.broker_down(1).unwrap();
    for _ in 0..5 {
        database.run(INSERT);
    }
    gateway.await_log("Kafka: ");
    assert_eq!(gateway.get("/readyz").status, 200, "HTTP goes on");
    brokers.cluster.broker_up(1).unwrap();
    let faults = [
        Fault::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Fault::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        // For good: what was on its way is sent again by another producer.
        Fault::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    ];
    brokers.cluster.request_errors(Api::Produce, &faults);
    for _ in 0..5 {
        database.run(INSERT);
    }
    let all = stored(&mut database);
    let position =
        "SELECT (SELECT max(position) FROM messages.batch) - (SELECT position FROM messages.kafka_sent)";
    await_that("all are sent", || {
        database.value::<i64>("SELECT messages.number_batches()");
        database.value::<i64>(position) == 0
    });
    let seen: BTreeSet<i64> = ids(&brokers, all.len()).into_iter().collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}

/// In from one topic and out to another, which is what the gateway is for.
#[test]
fn what_comes_in_goes_out_with_its_sentiment() {
    let brokers = Brokers::start(&[("in", 4), ("out", 1)]);
    let mut database = Database::new();
    brokers.writer().fill("in", 4, 5000);
    let _gateway = brokers.reader(&database, "in", &["--kafka-out-topic", "out"]);
    let seen: BTreeSet<i64> = ids(&brokers, 5000).into_iter().collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), stored(&mut database));
    assert_eq!(database.value::<i64>(STORED), 5000);
}
