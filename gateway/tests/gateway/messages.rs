//! Messages in and out: stored once, scored by the trigger, read a page at a time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use sentiment_tests::{CANARY, Database, Level};
use serde_json::{Value, json};

use crate::harness::{Gateway, PATIENCE, await_count};

fn count(database: &mut Database<'_>) -> i64 {
    database.value("SELECT count(*) FROM messages.message")
}

#[test]
fn a_message_is_stored_once_and_answered_with_its_score() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let message = json!({
        "source": "app", "external_id": "1", "author": "ann", "body": "best concert EVER 😍",
        "sent_at": "2026-01-31T12:00:00+01:00",
    });
    let first = gateway.post("/v1/messages", &message).ok();
    assert_eq!((&first["duplicate"], &first["label"]), (&json!(false), &json!("positive")));
    let mut again = message.clone();
    again["body"] = json!("worst concert ever");
    let second = gateway.post("/v1/messages", &again).ok();
    assert_eq!(second["duplicate"], true);
    for field in ["id", "label", "score", "model_version"] {
        assert_eq!(first[field], second[field], "{field}");
    }
    let stored: Value = database.value("SELECT to_jsonb(m) FROM messages.message AS m");
    for field in ["source", "external_id", "author", "body"] {
        assert_eq!(stored[field], message[field]);
    }
    let at: bool = database.value("SELECT sent_at = '2026-01-31 11:00+00' FROM messages.message");
    assert!(at);
}

/// What a client stores and does not hear of keeps the room of its request: a thousand such clients had a gigabyte of answers waiting.
#[test]
fn what_is_said_of_a_batch_has_a_limit() {
    let mut database = Database::new();
    // Long labels make an answer that no connection holds by itself.
    database.run(
        "CREATE TABLE labelled AS SELECT (ARRAY['awful', 'great'])[n % 2 + 1] || ' ' || md5(n::text) AS body,
             rpad((ARRAY['negative', 'positive'])[n % 2 + 1], 1000, '.') AS label FROM generate_series(1, 100) AS n;
         SELECT train_sentiment('long', 'labelled', 'body', 'label', 'naive_bayes', deploy => 'always')",
    );
    database
        .run(&format!("ALTER DATABASE {} SET sentiment.default_model = 'long'", database.name().to_owned()));
    let gateway = Gateway::with(&database, &["--max-body", "700000", "--max-bodies", "1000000"]);
    let batch = json!(vec![json!({"source": "a", "body": "great".repeat(6)}); 10_000]).to_string();
    let mut stream = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap()).unwrap();
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        gateway.bearer(),
        batch.len()
    );
    stream.write_all(&[head.as_bytes(), batch.as_bytes()].concat()).unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    let post = || gateway.post_bytes("/v1/messages", "application/json", batch.as_bytes());
    post().refused(503);
    gateway.post("/v1/messages", &json!({"source": "a", "body": "good"})).ok();
    assert_eq!(count(&mut database), 10_001);
    drop(stream);
    let started = Instant::now();
    while post().status >= 300 {
        assert!(started.elapsed() < PATIENCE, "room is not given back");
    }
}

/// As behind a pooler that gives each transaction another session.
#[test]
fn sessions_that_are_not_the_gateways_own_are_said_to_be_so() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run(
        "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN new; END $$;
         CREATE TRIGGER forget BEFORE INSERT ON messages.message FOR EACH ROW EXECUTE FUNCTION forget()",
    );
    let post = || gateway.post("/v1/messages", &json!({"source": "a", "body": "good"}));
    post().ok();
    // Not every request meets a session that has written.
    let answer = std::iter::repeat_with(post).take(100).find(|answer| answer.status != 200).unwrap();
    let refused = answer.refused(503);
    assert!(refused["sqlstate"] == "26000" && refused["detail"].to_string().contains("pooler"), "{refused}");
    database.ask_errors_so_far();
}

#[test]
fn a_batch_is_answered_in_its_order_and_stored_whole_or_not_at_all() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let bodies = ["I love it", "I hate it", "", "awful", "great"];
    let message = |n: usize| json!({"source": "a", "external_id": (n % 4).to_string(), "body": bodies[n]});
    let batch: Vec<Value> = (0..5).map(message).collect();
    let answers = gateway.post("/v1/messages", &json!(batch)).ok();
    let labels: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["label"].as_str()).collect();
    assert_eq!(labels, [Some("positive"), Some("negative"), None, Some("negative"), Some("positive")]);
    // The fifth has the first one's name.
    assert_eq!(answers[4]["duplicate"], true);
    assert_eq!(answers[4]["id"], answers[0]["id"]);
    assert_eq!(count(&mut database), 4);
    let spoilt = json!([{"source": "a", "body": "good"}, {"source": "a", "body": format!("{CANARY}\0")}]);
    assert_eq!(gateway.post("/v1/messages", &spoilt).refused(422)["at"], "[1].body");
    assert_eq!(count(&mut database), 4);
    // Without an external id, each is a message of its own.
    let nameless = json!([{"source": "a", "body": "same"}, {"source": "a", "body": "same"}]);
    gateway.post("/v1/messages", &nameless).ok();
    assert_eq!(count(&mut database), 6);
    assert_eq!(gateway.post("/v1/messages", &json!([])).ok(), json!([]));
}

#[test]
fn ten_thousand_are_a_batch_and_one_more_are_not() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let batch = |count: usize| -> Value {
        (0..count)
            .map(|n| json!({"source": "a", "external_id": n.to_string(), "body": format!("great {n}")}))
            .collect()
    };
    assert_eq!(gateway.post("/v1/messages", &batch(10_000)).ok().as_array().unwrap().len(), 10_000);
    gateway.post("/v1/messages", &batch(10_001)).refused(413);
    assert_eq!(count(&mut database), 10_000);
    let again = gateway.post("/v1/messages", &batch(10_000)).ok();
    assert!(again.as_array().unwrap().iter().all(|answer| answer["duplicate"] == true));
    assert_eq!(count(&mut database), 10_000);
}

/// Two gateways and eight clients send the same messages in different orders: each is stored once, and all are told the
/// same of it.
#[test]
fn instances_side_by_side_store_nothing_twice() {
    let mut database = Database::new();
    let gateways = [Gateway::start(&database), Gateway::start(&database)];
    let names: Vec<usize> = (0..300).collect();
    let answers: Vec<Vec<(String, Value)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|client| {
                let (gateway, mut names) = (&gateways[client % 2], names.clone());
                scope.spawn(move || {
                    names.rotate_left(client * 37);
                    if client % 3 == 0 {
                        names.reverse();
                    }
                    let mut heard = Vec::new();
                    for some in names.chunks(50) {
                        let message =
                            |n: &usize| json!({"source": "a", "external_id": n.to_string(), "body": "good"});
                        let batch: Vec<Value> = some.iter().map(message).collect();
                        let answers = gateway.post("/v1/messages", &json!(batch)).ok();
                        let ids = answers.as_array().unwrap().iter().map(|answer| answer["id"].clone());
                        heard.extend(some.iter().map(ToString::to_string).zip(ids));
                    }
                    heard.sort_by(|(a, _), (b, _)| a.cmp(b));
                    heard
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(count(&mut database), 300);
    assert!(answers.iter().all(|heard| *heard == answers[0]));
}

/// The table itself keeps (source, external_id) unique, whoever writes to it.
#[test]
fn another_client_cannot_store_a_name_twice_either() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    gateway.post("/v1/messages", &json!({"source": "a", "external_id": "1", "body": "good"})).ok();
    let failure =
        database.failure("INSERT INTO messages.message (source, external_id, body) VALUES ('a', '1', 'bad')");
    assert_eq!(failure.state, "23505");
    database.run("INSERT INTO messages.message (source, external_id, body) VALUES ('a', '2', 'bad')");
    let answer =
        gateway.post("/v1/messages", &json!({"source": "a", "external_id": "2", "body": "good"})).ok();
    assert_eq!((&answer["duplicate"], &answer["label"]), (&json!(true), &json!("negative")));
}

#[test]
fn pages_follow_each_other_and_filters_hold() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run(
        "INSERT INTO messages.message (source, body, sent_at)
         SELECT 'source ' || n % 2, CASE WHEN n % 5 = 0 THEN 'I hate it' ELSE 'I love it' END,
             '2026-01-01 00:00+00'::timestamptz + (n / 3) * interval '1 minute'
         FROM generate_series(1, 95) AS n",
    );
    let mut path = "/v1/messages?limit=20".to_owned();
    let mut seen: Vec<i64> = Vec::new();
    loop {
        let page = gateway.get(&path).ok();
        seen.extend(
            page["messages"].as_array().unwrap().iter().map(|message| message["id"].as_i64().unwrap()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/messages?limit=20&after={next}");
    }
    let expected: Vec<i64> = database
        .rows("SELECT id FROM messages.message ORDER BY sent_at DESC, id DESC")
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(seen, expected);
    for (parameters, condition) in [
        ("label=negative", "label = 'negative'"),
        ("source=source%201", "source = 'source 1'"),
        ("model_version=english%402&label=positive", "label = 'positive'"),
        ("model_version=english%401", "false"),
        (
            "since=2026-01-01T00:10:00Z&until=2026-01-01T00:20:00Z",
            "sent_at >= '2026-01-01 00:10+00' AND sent_at < '2026-01-01 00:20+00'",
        ),
        ("source=%27%20OR%20true--", "false"),
    ] {
        let page = gateway.get(&format!("/v1/messages?limit=1000&{parameters}")).ok();
        let expected: i64 =
            database.value(&format!("SELECT count(*) FROM messages.message WHERE {condition}"));
        let found = page["messages"].as_array().unwrap().len();
        assert_eq!(i64::try_from(found).unwrap(), expected, "{parameters}");
    }
    for bad in
        ["limit=0", "limit=1001", "limit=x", "since=yesterday", "nonsense=1", "label=%FF", "limit=1&limit=2"]
    {
        gateway.get(&format!("/v1/messages?{bad}")).refused(400);
    }
    // A plus that is no %2B is read as a blank.
    let plus = gateway.get("/v1/messages?since=2026-01-01T00:00:00+01:00").refused(400);
    assert!(plus["detail"].as_str().unwrap().contains("%2B"), "{plus}");
    gateway.get("/v1/messages?since=2026-01-01T00:00:00%2B01:00").ok();
    gateway.get("/v1/messages?label=%00").refused(422);
    gateway.get("/v1/messages?after=%21").refused(422);
}

/// A client would ask for a page that has nothing.
#[test]
fn the_last_page_has_no_next_also_where_it_is_full() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run("INSERT INTO messages.message (source, body) SELECT 'a', 'good' FROM generate_series(1, 6)");
    let first = gateway.get("/v1/messages?limit=3").ok();
    let next = first["next"].as_str().unwrap();
    let second = gateway.get(&format!("/v1/messages?limit=3&after={next}")).ok();
    assert_eq!(second["messages"].as_array().unwrap().len(), 3);
    assert_eq!(second["next"], json!(null));
    assert_eq!(gateway.get("/v1/messages?limit=6").ok()["next"], json!(null));
    assert_eq!(gateway.get("/v1/messages?source=none").ok(), json!({"messages": [], "next": null}));
}

/// Source and name share an entry of an index, which has a size.
#[test]
fn names_of_any_script_are_stored_or_refused_and_not_too_long_for_the_index() {
    let database = Database::new();
    let gateway = Gateway::start(&database);
    // What no compression makes shorter: one character after another of the planes beyond the first.
    let name = |from: u32, count: u32| -> String {
        (0..count).map(|n| char::from_u32(0x20000 + (from + n) * 97 % 40_000).unwrap()).collect()
    };
    let post = |source: &str, name: &str| {
        gateway.post("/v1/messages", &json!({"source": source, "external_id": name, "body": "good"}))
    };
    post(&name(0, 325), &name(7, 325)).ok();
    assert_eq!(post(&name(0, 326), "a").refused(422)["at"], "source");
    assert_eq!(post("a", &name(0, 500)).refused(422)["at"], "external_id");
}

/// A page of long texts would be as large as a thousand of them.
#[test]
fn a_page_of_long_texts_is_shorter_and_the_next_goes_on() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run(
        "INSERT INTO messages.message (source, body) SELECT 'a', repeat('good ', 10000) FROM generate_series(1, 200)",
    );
    let (mut path, mut pages, mut seen) = ("/v1/messages?limit=1000".to_owned(), 0, 0);
    loop {
        let answer = gateway.get(&path);
        assert!(answer.body.len() < 5 << 20, "{}", answer.body.len());
        let page = answer.ok();
        seen += page["messages"].as_array().unwrap().len();
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/messages?limit=1000&after={next}");
    }
    assert_eq!((seen, pages), (200, 3));
}

/// A reader who goes away leaves no statement behind that keeps a connection busy.
#[test]
fn what_nobody_waits_for_any_more_is_cancelled() {
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--database-connections", "4"]);
    let mut locking = database.connect("postgres");
    let mut lock = locking.transaction().unwrap();
    lock.batch_execute("LOCK TABLE messages.message IN ACCESS EXCLUSIVE MODE").unwrap();
    let impatient: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(std::time::Duration::from_millis(500)))
        .build()
        .into();
    for path in ["/v1/messages", "/v1/summary"] {
        let request = impatient.get(format!("{}{path}", gateway.url));
        assert!(request.header("authorization", gateway.bearer()).call().is_err(), "{path}");
    }
    await_count(&mut database, "wait_event_type = 'Lock'", 0);
    lock.rollback().unwrap();
    gateway.get("/v1/messages").ok();
    database.ask(Level::Error, "57014");
}

/// Statements that read all of the table, if little of it is wanted, leave connections to what needs none of it.
#[test]
fn reads_that_take_long_do_not_take_the_connections() {
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--database-connections", "4"]);
    let mut locking = database.connect("postgres");
    let mut lock = locking.transaction().unwrap();
    lock.batch_execute("LOCK TABLE messages.message IN ACCESS EXCLUSIVE MODE").unwrap();
    std::thread::scope(|scope| {
        let gateway = &gateway;
        let read = |path: &'static str| scope.spawn(move || gateway.get(path).status);
        let reads: Vec<_> = ["/v1/messages", "/v1/summary"].repeat(4).into_iter().map(read).collect();
        await_count(&mut database, "wait_event_type = 'Lock'", 2);
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert_eq!(gateway.get("/readyz").status, 200);
        gateway.post("/v1/sentiment", &json!({"text": "good"})).ok();
        lock.rollback().unwrap();
        for read in reads {
            assert!([200, 503].contains(&read.join().unwrap()));
        }
    });
}

/// A character may be six bytes of JSON.
#[test]
fn a_page_is_as_short_as_its_json() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run(
        "INSERT INTO messages.message (source, body) SELECT 'a', repeat(chr(1), 60000) FROM generate_series(1, 20)",
    );
    let answer = gateway.get("/v1/messages");
    assert!(answer.body.len() < 5 << 20, "{}", answer.body.len());
    assert_eq!(answer.ok()["messages"].as_array().unwrap().len(), 12);
}
