//! What breaks or moves while records come in: every message is there once.

use rdkafka::types::RDKafkaApiKey as Api;
use rdkafka::types::RDKafkaRespErr as Fault;
use sentiment_tests::{Database, Level, Server};

use super::broker::{Brokers, NAMES, STORED, Writer, alone, await_that, figure};
use crate::harness::Gateway;

const PARTITIONS: i32 = 6;
const COUNT: i32 = 12_000;

/// Writes a stream of records, in pieces, beside what the test does meanwhile.
fn stream(writer: &Writer) {
    for _ in 0..COUNT / 300 {
        writer.fill("in", PARTITIONS, 300);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Waits until so many are stored.
fn await_some(database: &mut Database<'_>, count: i64) {
    await_that("some are stored", || database.value::<i64>(STORED) >= count);
}

/// All of the stream is stored, each once, and is told as read, though something happened.
fn all_is_there(brokers: &Brokers, database: &mut Database<'_>, though: &str) {
    all_is_seen(brokers, |query| database.value(query), though);
}

fn all_is_seen(brokers: &Brokers, mut value: impl FnMut(&str) -> i64, though: &str) {
    await_that("all are stored", || value(STORED) >= i64::from(COUNT));
    assert_eq!((value(STORED), value(NAMES)), (COUNT.into(), COUNT.into()));
    assert_eq!(value("SELECT count(*) FROM messages.message WHERE label IS NULL"), 0);
    assert_eq!(value("SELECT count(*) FROM messages.kafka_rejected"), 0);
    await_that("all is told as read", || {
        brokers.committed("sentiment-gateway", "in", PARTITIONS) == i64::from(COUNT)
    });
    sentiment_tests::note(&format!("faults: {though} under Kafka: {COUNT} messages, each once"));
}

const OURS: &str = r#"sentiment_gateway_kafka_records_total{outcome="stored"}"#;

/// Without those that another gateway had stored before, whose place these brokers refused to hear while members joined.
const NEW: &str = r#"sentiment_gateway_messages_stored_total{way="kafka"}"#;

/// How often members of a gateway were given partitions.
fn shares(gateway: &Gateway) -> usize {
    let given = |line: &&str| line.contains("are ours count=") && !line.ends_with("count=0");
    gateway.log().lines().filter(given).count()
}

#[test]
fn gateways_that_come_and_go_share_the_partitions() {
    let brokers = Brokers::start(&[("in", PARTITIONS)]);
    let mut database = Database::new();
    let first = brokers.reader(&database, "in", &[]);
    let writer = brokers.writer();
    writer.fill("in", PARTITIONS, COUNT / 4);
    await_that("the first stores some", || figure(&first, OURS) > 0.0);
    // While records come, another joins.
    let second = brokers.reader(&database, "in", &[]);
    for _ in 0..COUNT / 400 {
        writer.fill("in", PARTITIONS, 100);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    await_that("the second has a share", || shares(&second) > 0);
    writer.fill("in", PARTITIONS, COUNT / 4);
    await_that("the second stores its share", || figure(&second, OURS) > 0.0);
    writer.fill("in", PARTITIONS, COUNT / 4);
    drop(first);
    all_is_there(&brokers, &mut database, "a gateway joined and another left");
    assert!(second.get("/metrics").body.contains(NEW));
    assert!(figure(&second, NEW) < f64::from(COUNT));
}

#[test]
fn what_a_gateway_that_ends_has_stored_is_told_as_read() {
    let brokers = Brokers::start(&[("in", PARTITIONS)]);
    let mut database = Database::new();
    let mut gateway = brokers.reader(&database, "in", &[]);
    // These brokers, unlike real ones, refuse all commits while members join, which takes seconds.
    await_that("both members have a share", || shares(&gateway) >= 2);
    let writer = brokers.writer();
    std::thread::scope(|scope| {
        scope.spawn(|| stream(&writer));
        await_some(&mut database, 500);
        // As real ones do for a moment.
        let sharing = Fault::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS;
        brokers.cluster.request_errors(Api::OffsetCommit, &[sharing; 5]);
        gateway.signal("-TERM");
        assert!(gateway.ends());
        let stored: i64 = database.value(STORED);
        assert_eq!(brokers.committed("sentiment-gateway", "in", PARTITIONS), stored);
        let _next = brokers.reader(&database, "in", &[]);
        all_is_there(&brokers, &mut database, "the gateway was ended");
    });
}

#[test]
fn a_gateway_that_is_killed_loses_and_doubles_nothing() {
    let brokers = Brokers::start(&[("in", PARTITIONS)]);
    let mut database = Database::new();
    let mut killed = brokers.reader(&database, "in", &[]);
    let writer = brokers.writer();
    std::thread::scope(|scope| {
        scope.spawn(|| stream(&writer));
        await_some(&mut database, 1000);
        killed.signal("-KILL");
        assert!(!killed.ends());
        // It takes over once the brokers miss the other's heartbeats.
        let _next = brokers.reader(&database, "in", &[]);
        all_is_there(&brokers, &mut database, "the gateway was killed");
    });
    for level in [Level::Fatal, Level::Warning] {
        database.ask(level, "08006");
    }
}

#[test]
fn brokers_that_go_away_are_waited_for() {
    alone("kafka::faults::brokers_that_go_away_are_waited_for", brokers_go_away);
}

fn brokers_go_away() {
    let brokers = Brokers::start(&[("in", PARTITIONS)]);
    let mut database = Database::new();
    let gateway = brokers.reader(&database, "in", &[]);
    let writer = brokers.writer();
    for part in 1..=3 {
        writer.fill("in", PARTITIONS, COUNT / 3);
        await_some(&mut database, (COUNT / 3 * (part - 1) + 1).into());
        brokers.cluster.broker_down(1).unwrap();
        gateway.await_log("Kafka: ");
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert_eq!(gateway.get("/readyz").status, 200, "HTTP goes on");
        brokers.cluster.broker_up(1).unwrap();
    }
    all_is_there(&brokers, &mut database, "the broker was away three times");
    drop(gateway);
    // Nor is one needed to start, or to end.
    brokers.cluster.broker_down(1).unwrap();
    let late = brokers.reader(&database, "in", &["--kafka-group", "late"]);
    brokers.cluster.broker_up(1).unwrap();
    await_that("all is read", || brokers.committed("late", "in", PARTITIONS) == i64::from(COUNT));
    brokers.cluster.broker_down(1).unwrap();
    drop(late);
}

#[test]
fn what_brokers_refuse_is_tried_again() {
    let brokers = Brokers::start(&[("in", PARTITIONS)]);
    let mut database = Database::new();
    let gateway = brokers.reader(&database, "in", &[]);
    let writer = brokers.writer();
    std::thread::scope(|scope| {
        scope.spawn(|| stream(&writer));
        await_some(&mut database, 500);
        let faults = [
            (Api::Heartbeat, Fault::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS),
            (Api::Heartbeat, Fault::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID),
            (Api::OffsetCommit, Fault::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION),
            (Api::OffsetCommit, Fault::RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
            (Api::Fetch, Fault::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
            (Api::JoinGroup, Fault::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE),
            (Api::OffsetFetch, Fault::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS),
        ];
        for (request, fault) in faults {
            brokers.cluster.request_errors(request, &[fault, fault]);
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
    });
    all_is_there(&brokers, &mut database, "the broker refused seven sorts of requests");
    drop(gateway);
}

#[test]
fn a_crash_of_the_database_is_waited_for() {
    let brokers = Brokers::start(&[("in", PARTITIONS)]);
    let server = Server::start(&["synchronous_commit=on", "fsync=on"]);
    let mut database = Database::on(&server);
    let gateway = brokers.reader(&database, "in", &[]);
    let writer = brokers.writer();
    std::thread::scope(|scope| {
        scope.spawn(|| stream(&writer));
        for stored in [500, 4000] {
            let mut watch = database.connect("postgres");
            await_that("some are stored", || {
                watch.query_one(STORED, &[]).unwrap().get::<_, i64>(0) >= stored
            });
            server.crash();
        }
    });
    let mut after = database.connect("postgres");
    all_is_seen(&brokers, |query| after.query_one(query, &[]).unwrap().get(0), "the database crashed twice");
    gateway.await_log("records wait to be stored");
    drop(gateway);
    for state in ["57P02", "57P03", "08006", "57P01", "00000"] {
        for level in [Level::Fatal, Level::Warning, Level::Error] {
            database.ask(level, state);
        }
    }
}

/// Told to end while the database is away, a gateway ends; what it had in hand is stored by the next.
#[test]
fn a_gateway_ends_while_the_database_is_away() {
    let brokers = Brokers::start(&[("in", PARTITIONS)]);
    let mut database = Database::new();
    let mut gateway = brokers.reader(&database, "in", &[]);
    database.run("ALTER TABLE messages.message RENAME TO elsewhere");
    brokers.writer().fill("in", PARTITIONS, COUNT);
    gateway.await_log("records wait to be stored");
    gateway.signal("-TERM");
    assert!(gateway.ends());
    drop(gateway);
    assert_eq!(brokers.committed("sentiment-gateway", "in", PARTITIONS), 0);
    database.run("ALTER TABLE messages.elsewhere RENAME TO message");
    let _next = brokers.reader(&database, "in", &[]);
    all_is_there(&brokers, &mut database, "the gateway was ended while the database was away");
    database.ask(Level::Error, "42P01");
}

/// A producer that has failed for good, be it for a right that was missing for a moment, is not the end of dead letters.
#[test]
fn what_writes_dead_letters_is_made_anew() {
    let brokers = Brokers::start(&[("in", 1), ("dead", 1)]);
    let mut database = Database::new();
    let denied = Fault::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    brokers.cluster.request_errors(Api::InitProducerId, &[denied]);
    let gateway = brokers.reader(&database, "in", &["--kafka-dead-letters", "dead"]);
    gateway.await_log("Cluster authorization failed");
    let writer = brokers.writer();
    for value in [&br#"{"body": "good"}"#[..], b"no JSON"] {
        writer.send("in", 0, None, Some(value));
    }
    writer.flush();
    assert_eq!(brokers.records("dead", 1).len(), 1);
    await_that("all is told as read", || brokers.committed("sentiment-gateway", "in", 1) == 2);
    gateway.await_log("what writes dead letters is given up and made anew");
    assert_eq!(database.value::<i64>(STORED), 1);
}

/// Dead letters that no broker takes, which a producer tries for minutes, do not keep a gateway from ending.
#[test]
fn a_gateway_ends_while_dead_letters_wait() {
    let brokers = Brokers::start(&[("in", 1), ("dead", 1)]);
    let database = Database::new();
    let writer = brokers.writer();
    writer.send("in", 0, None, Some(b"no JSON"));
    writer.flush();
    brokers.cluster.request_errors(Api::Produce, &[Fault::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 5000]);
    let mut gateway = brokers.reader(&database, "in", &["--kafka-dead-letters", "dead"]);
    gateway.await_log("records were rejected");
    gateway.signal("-TERM");
    let told = std::time::Instant::now();
    assert!(gateway.ends());
    assert!(told.elapsed() < std::time::Duration::from_secs(20), "{:?}", told.elapsed());
    assert_eq!(brokers.committed("sentiment-gateway", "in", 1), 0);
}

/// Nor does a database that does not answer; what was in hand is not told as read.
#[test]
fn a_gateway_ends_while_the_database_does_not_answer() {
    let brokers = Brokers::start(&[("in", 1)]);
    let mut database = Database::new();
    crate::harness::run_clean(&database, &["migrate"]);
    let mut holder = database.connect("postgres");
    let mut held = holder.transaction().unwrap();
    held.batch_execute("LOCK TABLE messages.external_id IN SHARE MODE").unwrap();
    brokers.writer().fill("in", 1, 100);
    let mut gateway = brokers.reader(&database, "in", &[]);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    await_that("records wait", || database.value::<i64>(waiting) > 0);
    gateway.signal("-TERM");
    let told = std::time::Instant::now();
    assert!(gateway.ends());
    assert!(told.elapsed() < std::time::Duration::from_secs(25), "{:?}", told.elapsed());
    assert_eq!(brokers.committed("sentiment-gateway", "in", 1), 0);
    held.rollback().unwrap();
    for level in [Level::Fatal, Level::Warning, Level::Error] {
        database.ask(level, "08006");
        database.ask(level, "57014");
    }
}
