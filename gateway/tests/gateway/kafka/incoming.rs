//! What comes in: messages of JSON and of text, and what is none.

use rdkafka::Message as _;
use sentiment_tests::{CANARY, Database, Level};

use super::broker::{Brokers, NAMES, STORED, await_that, await_value, figure, header};

fn rows(database: &mut Database<'_>, query: &str) -> Vec<String> {
    database.rows(query).iter().map(|row| row.get(0)).collect()
}

#[test]
fn messages_of_json_are_stored_and_scored_once() {
    let brokers = Brokers::start(&[("reviews", 3), ("tickets", 1)]);
    let mut database = Database::new();
    let writer = brokers.writer();
    let whole = r#"{"source": "shop", "external_id": "7", "author": "ann", "body": "I love it", "sent_at": "2026-01-31T12:00:00Z"}"#;
    writer.send("reviews", 2, None, Some(whole.as_bytes()));
    writer.send("reviews", 2, Some(b"k"), Some(r#"{"body": "I hate it 😡", "more": [1, {}]}"#.as_bytes()));
    writer.send("tickets", 0, None, Some(br#"{"body": "", "author": null}"#));
    writer.flush();
    let gateway = brokers.reader(&database, "reviews,tickets", &[]);
    await_value(&mut database, STORED, 3);
    // The second of a name, while it runs.
    writer.send("tickets", 0, None, Some(whole.as_bytes()));
    writer.fill("reviews", 3, 5000);
    await_value(&mut database, STORED, 5003);
    await_that("all is told as read", || brokers.committed("sentiment-gateway", "reviews", 3) == 5002);
    await_that("all is told as read", || brokers.committed("sentiment-gateway", "tickets", 1) == 2);
    let shown = "SELECT concat_ws('|', source, external_id, author, body, label, sent_at AT TIME ZONE 'UTC')
                 FROM messages.message WHERE body NOT LIKE 'good %' ORDER BY external_id";
    let expected = [
        "shop|7|ann|I love it|positive|2026-01-31 12:00:00",
        "reviews|reviews/2/1|I hate it 😡|negative|2023-11-14 22:13:20",
        "tickets|tickets/0/0||2023-11-14 22:13:20",
    ];
    assert_eq!(rows(&mut database, shown), expected);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM messages.message WHERE label = 'positive'"), 5001);
    assert_eq!(figure(&gateway, r#"sentiment_gateway_kafka_records_total{outcome="stored"}"#), 5004.0);
    assert_eq!(figure(&gateway, r#"sentiment_gateway_messages_stored_total{way="kafka"}"#), 5003.0);
    await_that("the lag is shown", || {
        gateway
            .get("/metrics")
            .body
            .contains(r#"sentiment_gateway_kafka_lag{topic="reviews",partition="2"} 0"#)
    });
    drop(gateway);
    // Another group reads all of it again.
    let again = brokers.reader(&database, "^rev.*,tickets", &["--kafka-group", "other"]);
    await_that("all is read again", || brokers.committed("other", "reviews", 3) == 5002);
    assert_eq!((database.value::<i64>(STORED), database.value::<i64>(NAMES)), (5003, 5003));
    assert_eq!(figure(&again, r#"sentiment_gateway_messages_duplicate_total{way="kafka"}"#), 5004.0);
}

#[test]
fn a_text_alone_is_a_message_and_a_key_its_name() {
    let brokers = Brokers::start(&[("sms", 1)]);
    let mut database = Database::new();
    let writer = brokers.writer();
    for (key, value) in [("a", "I love it"), ("b", r#"{"body": "x"}"#), ("a", "I hate it"), ("", "no key")] {
        writer.send("sms", 0, Some(key.as_bytes()), Some(value.as_bytes()));
    }
    writer.send("sms", 0, Some(b"\xff"), Some(b"good"));
    writer.send("sms", 0, None, Some(b"the last"));
    writer.flush();
    let _gateway = brokers.reader(&database, "sms", &["--kafka-format", "text", "--kafka-name", "key"]);
    await_value(&mut database, STORED, 4);
    let shown = "SELECT concat_ws('|', source, external_id, body) FROM messages.message ORDER BY id";
    let expected =
        ["sms|a|I love it", r#"sms|b|{"body": "x"}"#, "sms|sms/0/3|no key", "sms|sms/0/5|the last"];
    assert_eq!(rows(&mut database, shown), expected);
    let filed = "SELECT concat_ws('|', record_offset, reason, encode(key, 'hex'), convert_from(value, 'UTF8')) FROM messages.kafka_rejected";
    await_value(&mut database, "SELECT count(*) FROM messages.kafka_rejected", 1);
    assert_eq!(rows(&mut database, filed), ["4|the key is not UTF-8|ff|good"]);
}

/// Values that are no message, with a text that must show up nowhere, and why each is refused.
fn bad() -> Vec<(Vec<u8>, &'static str)> {
    let with = |field: &str| format!(r#"{{"author": "{CANARY}", "body": "{CANARY}", {field}}}"#).into_bytes();
    let not_utf8 = [format!(r#"{{"body": "{CANARY}"#).as_bytes(), b"\xff\"}"].concat();
    let (no_json, wrong) = ("no JSON", "no object, without a body, or with a field of a wrong type");
    vec![
        (CANARY.into(), no_json),
        (b"".to_vec(), no_json),
        (format!(r#"{{"body": "{CANARY}"}} {{}}"#).into_bytes(), no_json),
        ([b"{\"body\": \"a\", \"more\": ".as_slice(), &[b'['; 100_000]].concat(), no_json),
        (not_utf8, "the value is not UTF-8"),
        (format!(r#"[{{"body": "{CANARY}"}}]"#).into_bytes(), wrong),
        (b"null".to_vec(), wrong),
        (br#"{"body": 7}"#.to_vec(), wrong),
        (br#"{"text": "good"}"#.to_vec(), wrong),
        (with(r#""external_id": 7"#), wrong),
        (with(&format!(r#""body": "{CANARY}""#)), wrong),
        (with(r#""sent_at": "yesterday""#), wrong),
        (with(r#""sent_at": "0000-01-01T00:00:00Z""#), wrong),
        (br#"{"body": "a\u0000"}"#.to_vec(), "a NUL character cannot be stored or scored"),
        (with(r#""external_id": "a\u0000""#), "a NUL character cannot be stored or scored"),
        (with(&format!(r#""source": "{}""#, "s".repeat(501))), "source has over 500 characters"),
        (format!(r#"{{"body": "{}"}}"#, "x".repeat(65_537)).into_bytes(), "body has over 65536 characters"),
    ]
}

#[test]
fn what_is_no_message_is_filed_with_the_reason() {
    let brokers = Brokers::start(&[("in", 1)]);
    let mut database = Database::new();
    let writer = brokers.writer();
    let bad = bad();
    for (value, _) in &bad {
        writer.send("in", 0, Some(CANARY.as_bytes()), Some(value));
        writer.send("in", 0, None, Some(br#"{"body": "good"}"#));
    }
    // A tombstone says only that a key is gone.
    writer.send("in", 0, Some(b"key"), None);
    writer.flush();
    let gateway = brokers.reader(&database, "in", &[]);
    await_value(&mut database, STORED, i64::try_from(bad.len()).unwrap());
    let all = i64::try_from(2 * bad.len() + 1).unwrap();
    await_that("all is told as read", || brokers.committed("sentiment-gateway", "in", 1) == all);
    let filed = database.rows(
        "SELECT topic, partition, record_offset, reason, key, value FROM messages.kafka_rejected ORDER BY record_offset",
    );
    assert_eq!(filed.len(), bad.len());
    for (place, (row, (value, reason))) in filed.iter().zip(&bad).enumerate() {
        let stood = (row.get::<_, &str>(0), row.get::<_, i32>(1), row.get::<_, i64>(2));
        assert_eq!(stood, ("in", 0, i64::try_from(2 * place).unwrap()));
        assert_eq!(row.get::<_, &str>(3), *reason, "{place}");
        assert_eq!((row.get::<_, &[u8]>(4), row.get::<_, &[u8]>(5)), (CANARY.as_bytes(), value.as_slice()));
    }
    assert_eq!(figure(&gateway, r#"sentiment_gateway_kafka_records_total{outcome="tombstone"}"#), 1.0);
    assert!(gateway.await_log("records were rejected").contains("no JSON"));
    drop(gateway);
    let _again = brokers.reader(&database, "in", &["--kafka-group", "other"]);
    await_that("all is read again", || brokers.committed("other", "in", 1) == all);
    assert_eq!(database.rows("SELECT FROM messages.kafka_rejected").len(), bad.len(), "filed once");
    database.run(
        "UPDATE messages.kafka_rejected SET rejected_at = now() - interval '40 days' WHERE record_offset > 0",
    );
    crate::harness::run_clean(&database, &["migrate", "--retention", "30d"]);
    assert_eq!(database.rows("SELECT FROM messages.kafka_rejected").len(), 1, "retention is kept to");
}

#[test]
fn dead_letters_go_to_a_topic_as_they_were() {
    let brokers = Brokers::start(&[("in", 1), ("dead", 1)]);
    let mut database = Database::new();
    let writer = brokers.writer();
    writer.send("in", 0, None, Some(br#"{"body": "good"}"#));
    writer.send("in", 0, Some(b"key"), Some(CANARY.as_bytes()));
    writer.send("in", 0, None, Some(b"{}"));
    // Larger than a producer's messages are by default: that one goes to the table.
    writer.send("in", 0, None, Some(&vec![b'x'; 2_000_000]));
    writer.send("in", 0, None, Some(br#"{"body": "good"}"#));
    writer.flush();
    let _gateway = brokers.reader(&database, "in", &["--kafka-dead-letters", "dead"]);
    await_value(&mut database, STORED, 2);
    let letters = brokers.records("dead", 2);
    let seen: Vec<_> = letters.iter().map(|letter| (letter.key(), letter.payload())).collect();
    assert_eq!(seen, [(Some(&b"key"[..]), Some(CANARY.as_bytes())), (None, Some(&b"{}"[..]))]);
    let place = ["sentiment-topic", "sentiment-partition", "sentiment-offset", "sentiment-reason"];
    assert_eq!(place.map(|name| header(&letters[0], name)), ["in", "0", "1", "no JSON"]);
    await_that("all is told as read", || brokers.committed("sentiment-gateway", "in", 1) == 5);
    assert_eq!(
        rows(&mut database, "SELECT record_offset || reason FROM messages.kafka_rejected"),
        ["3no JSON"]
    );
}

/// A trigger or a constraint of the database's owner refuses one of many: the others are stored, and it is filed.
#[test]
fn what_the_database_refuses_is_found_and_filed() {
    let brokers = Brokers::start(&[("in", 2)]);
    let mut database = Database::new();
    crate::harness::run_clean(&database, &["migrate"]);
    database.run(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION USING ERRCODE = TG_ARGV[0], MESSAGE = 'not this one'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON messages.message FOR EACH ROW
             WHEN (NEW.body LIKE '%refused%') EXECUTE FUNCTION refuse('check_violation');
         CREATE TRIGGER limited BEFORE INSERT ON messages.message FOR EACH ROW
             WHEN (NEW.body LIKE '%too much%') EXECUTE FUNCTION refuse('program_limit_exceeded');
         CREATE TRIGGER spam BEFORE INSERT ON messages.message FOR EACH ROW
             WHEN (NEW.body LIKE '%spam%') EXECUTE FUNCTION refuse('SP001')",
    );
    let writer = brokers.writer();
    for n in 0..500 {
        let body = if n == 321 { format!("refused {CANARY}") } else { format!("good {n}") };
        writer.send("in", n % 2, None, Some(format!(r#"{{"body": "{body}"}}"#).as_bytes()));
    }
    writer.send("in", 0, None, Some(br#"{"body": "too much"}"#));
    writer.send("in", 1, None, Some(br#"{"body": "spam"}"#));
    // Names that no index takes.
    let long: String = (0..1000_u32).filter_map(|n| char::from_u32(0x1F000 + n)).collect();
    let (source, name) = long.split_at(long.len() / 2);
    let value = format!(r#"{{"source": "{source}", "external_id": "{name}", "body": "good"}}"#);
    writer.send("in", 0, None, Some(value.as_bytes()));
    writer.flush();
    let _gateway = brokers.reader(&database, "in", &[]);
    await_value(&mut database, STORED, 499);
    await_that("all is told as read", || brokers.committed("sentiment-gateway", "in", 2) == 503);
    let filed =
        "SELECT partition || ' ' || record_offset || ' ' || reason FROM messages.kafka_rejected ORDER BY 1";
    let refused = "the database refused it, SQLSTATE ";
    assert_eq!(
        rows(&mut database, filed),
        [
            format!("0 250 {refused}54000"),
            "0 251 source has over 1300 bytes".into(),
            format!("1 160 {refused}23514"),
            format!("1 250 {refused}SP001")
        ]
    );
    for state in ["23514", "54000", "SP001"] {
        database.ask(Level::Error, state);
    }
}

/// What is too much for the database at once comes in fewer at once.
#[test]
fn what_takes_longer_than_a_statement_may_is_stored_in_parts() {
    let brokers = Brokers::start(&[("in", 1)]);
    let mut database = Database::new();
    crate::harness::run_clean(&database, &["migrate"]);
    database.run(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$;
         CREATE TRIGGER slow BEFORE INSERT ON messages.message FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    brokers.writer().fill("in", 1, 200);
    let gateway = brokers.reader(&database, "in", &["--statement-timeout", "1s"]);
    await_value(&mut database, STORED, 200);
    await_that("all is told as read", || brokers.committed("sentiment-gateway", "in", 1) == 200);
    assert!(!gateway.log().contains("records wait to be stored"), "{}", gateway.log());
    assert!(database.logged(Level::Error, "57014") >= 1);
    database.ask(Level::Error, "57014");
}

#[test]
fn what_the_gateway_writes_itself_is_passed_over_by_a_pattern() {
    let brokers = Brokers::start(&[("reviews", 1), ("reviews-dead", 1), ("reviews-scored", 1)]);
    let mut database = Database::new();
    let writer = brokers.writer();
    writer.fill("reviews", 1, 10);
    writer.send("reviews", 0, None, Some(b"no JSON"));
    writer.flush();
    let own = ["--kafka-dead-letters", "reviews-dead", "--kafka-out-topic", "reviews-scored"];
    let gateway = brokers.reader(&database, "^reviews.*", &own);
    await_value(&mut database, STORED, 10);
    await_that("all is told as read", || {
        let read = |topic| brokers.committed("sentiment-gateway", topic, 1);
        (read("reviews"), read("reviews-dead"), read("reviews-scored")) == (11, 1, 10)
    });
    assert_eq!(
        (brokers.records("reviews-dead", 1).len(), brokers.records("reviews-scored", 10).len()),
        (1, 10)
    );
    assert_eq!(database.value::<i64>(STORED), 10);
    let figure = |outcome: &str| {
        figure(&gateway, &format!(r#"sentiment_gateway_kafka_records_total{{outcome="{outcome}"}}"#))
    };
    assert_eq!(["stored", "rejected", "tombstone", "own"].map(figure), [10.0, 1.0, 0.0, 11.0]);
    assert_eq!(gateway.log().matches("a pattern of topics takes in").count(), 1, "{}", gateway.log());
}
