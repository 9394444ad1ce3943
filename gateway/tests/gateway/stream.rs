//! The live stream: all that is committed, in the order of commits, also for those who come back.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

use sentiment_tests::{Database, Level};
use serde_json::{Value, json};
use ureq::BodyReader;

use crate::harness::{Gateway, PATIENCE, agent, run_clean};

/// An open stream.
struct Stream {
    lines: BufReader<BodyReader<'static>>,
}

/// An event: its id, and its message.
struct Event {
    id: String,
    message: Value,
}

impl Stream {
    /// Opens one; once this is back, what is committed from now on is heard.
    fn open(gateway: &Gateway, query: &str, last: Option<&str>) -> Stream {
        let mut request = agent().get(format!("{}/v1/stream{query}", gateway.url));
        request = request.header("authorization", gateway.bearer());
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.call().unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream { lines: BufReader::new(response.into_body().into_reader()) }
    }

    /// The next event; none if the stream has ended.
    fn next(&mut self) -> Option<Event> {
        let mut id = String::new();
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.strip_prefix("id: ") {
                id = value.trim().to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some(Event { id, message: serde_json::from_str(data).unwrap() });
            }
        }
    }

    /// Where it begins: the id that it is opened with.
    fn beginning(&mut self) -> String {
        let mut lines = self.lines.by_ref().lines().map_while(Result::ok);
        lines.find_map(|line| line.strip_prefix("id: ").map(str::to_owned)).unwrap()
    }

    fn bodies(&mut self, count: usize) -> Vec<String> {
        let body = |event: Event| event.message["body"].as_str().unwrap().to_owned();
        (0..count).map(|_| self.next().map(body).unwrap()).collect()
    }
}

const INSERT: &str = "INSERT INTO messages.message (source, body) VALUES ('sql', $1)";

#[test]
fn what_any_client_commits_is_heard_and_what_is_rolled_back_is_not() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let mut stream = Stream::open(&gateway, "", None);
    gateway.post("/v1/messages", &json!({"source": "rest", "body": "I love it"})).ok();
    let mut transaction = database.client().transaction().unwrap();
    transaction.execute(INSERT, &[&"never"]).unwrap();
    transaction.rollback().unwrap();
    database.client().execute(INSERT, &[&"I hate it"]).unwrap();
    let first = stream.next().unwrap().message;
    assert_eq!((&first["body"], &first["label"]), (&json!("I love it"), &json!("positive")));
    let second = stream.next().unwrap().message;
    assert_eq!((&second["body"], &second["label"]), (&json!("I hate it"), &json!("negative")));
    let listed = gateway.get("/v1/messages").ok();
    assert!(listed["messages"].as_array().unwrap().contains(&second), "both ways out show the same");
}

/// The id of a message is drawn before its transaction commits. Who goes by ids would lose the one that commits late.
#[test]
fn who_comes_back_misses_nothing_that_was_committed_late() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let mut stream = Stream::open(&gateway, "", None);
    let mut late = database.connect("postgres");
    let mut transaction = late.transaction().unwrap();
    transaction.execute(INSERT, &[&"late"]).unwrap();
    database.client().execute(INSERT, &[&"early"]).unwrap();
    let early = stream.next().unwrap();
    assert_eq!(early.message["body"], "early");
    drop(stream);
    transaction.commit().unwrap();
    let late: i64 = database.value("SELECT id FROM messages.message WHERE body = 'late'");
    assert!(late < early.message["id"].as_i64().unwrap());
    let mut again = Stream::open(&gateway, "", Some(&early.id));
    assert_eq!(again.bodies(1), ["late"]);
    database.client().execute(INSERT, &[&"live"]).unwrap();
    assert_eq!(again.bodies(1), ["live"]);
    // In the address too, and from the beginning.
    let mut all = Stream::open(&gateway, "?last_event_id=0-0", None);
    assert_eq!(all.bodies(3), ["early", "late", "live"]);
}

/// Nor who was cut off before there was anything to hear.
#[test]
fn who_has_heard_nothing_yet_comes_back_to_where_it_began() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let mut all = Stream::open(&gateway, "", None);
    database.client().execute(INSERT, &[&"before"]).unwrap();
    assert_eq!(all.bodies(1), ["before"]);
    let mut stream = Stream::open(&gateway, "?label=negative", None);
    let beginning = stream.beginning();
    drop((stream, all, gateway));
    database.client().execute(INSERT, &[&"I hate it"]).unwrap();
    database.client().execute(INSERT, &[&"I love it"]).unwrap();
    let gateway = Gateway::beside(&database, &[]);
    let mut again = Stream::open(&gateway, "", Some(&beginning));
    assert_eq!(again.beginning(), beginning);
    assert_eq!(again.bodies(2), ["I hate it", "I love it"]);
}

/// Thousands of messages by four clients, a reader that is cut off again and again: each message once, in one order.
#[test]
fn a_reader_who_is_cut_off_again_and_again_gets_each_message_once() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let mut stream = Stream::open(&gateway, "", None);
    let mut seen: Vec<(String, i64)> = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mut client = database.connect("postgres");
            scope.spawn(move || {
                for n in 0..75 {
                    let count = i64::from(n % 20 + 1);
                    let insert = "INSERT INTO messages.message (source, body) SELECT 'a', 'good' FROM generate_series(1, $1::bigint)";
                    client.execute(insert, &[&count]).unwrap();
                }
            });
        }
        let all = 4 * (0..75).map(|n| n % 20 + 1).sum::<usize>();
        while seen.len() < all {
            // Where it is cut off differs, also within a batch.
            for _ in 0..(seen.len() % 113 + 7).min(all - seen.len()) {
                let event = stream.next().unwrap();
                seen.push((event.id, event.message["id"].as_i64().unwrap()));
            }
            stream = Stream::open(&gateway, "", seen.last().map(|(id, _)| id.as_str()));
        }
    });
    let mut ids: Vec<i64> = seen.iter().map(|(_, id)| *id).collect();
    ids.sort_unstable();
    let stored: Vec<i64> =
        database.rows("SELECT id FROM messages.message ORDER BY id").iter().map(|row| row.get(0)).collect();
    assert_eq!(ids, stored);
}

/// The schema refuses them, yet a row that cannot be shown as it is must not silence all streams.
#[test]
fn times_without_an_end_are_shown_as_the_nearest() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run("ALTER TABLE messages.message DROP CONSTRAINT message_times");
    let mut stream = Stream::open(&gateway, "", None);
    for time in ["infinity", "0044-03-15 BC", "12026-01-01"] {
        let insert = "INSERT INTO messages.message (source, body, sent_at) VALUES ('sql', 'good', $1::text::timestamptz)";
        database.client().execute(insert, &[&time]).unwrap();
    }
    let latest = json!("9998-12-31T23:59:59.999999Z");
    for shown in [&latest, &json!("0001-01-01T00:00:00Z"), &latest] {
        assert_eq!(stream.next().unwrap().message["sent_at"], *shown);
    }
    let page = gateway.get("/v1/messages").ok();
    assert_eq!((page["messages"].as_array().unwrap().len(), &page["messages"][0]["sent_at"]), (3, &latest));
}

#[test]
fn a_gateway_whose_streams_hear_nothing_is_not_ready_until_they_do() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    assert_eq!(gateway.get("/readyz").status, 200);
    let number: String =
        database.value("SELECT pg_get_functiondef('messages.number_batches()'::regprocedure)");
    database.run(
        "CREATE OR REPLACE FUNCTION messages.number_batches() RETURNS bigint LANGUAGE plpgsql
             AS $$ BEGIN RAISE division_by_zero; END $$",
    );
    let await_status = |status: u16| {
        let started = std::time::Instant::now();
        while gateway.get("/readyz").status != status {
            assert!(started.elapsed() < PATIENCE, "/readyz is not {status}");
        }
    };
    await_status(503);
    database.run(&number);
    await_status(200);
    let mut stream = Stream::open(&gateway, "", None);
    database.client().execute(INSERT, &[&"live"]).unwrap();
    assert_eq!(stream.bodies(1), ["live"]);
    database.ask(Level::Error, "22012");
}

/// A server that takes over without the last commits gives their positions to others.
#[test]
fn streams_begin_again_where_the_database_has_lost_what_they_showed() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let mut stream = Stream::open(&gateway, "", None);
    let mut last = String::new();
    for body in ["kept", "lost", "lost, too"] {
        database.client().execute(INSERT, &[&body]).unwrap();
        last = stream.next().unwrap().id;
    }
    database.run(
        "DELETE FROM messages.message WHERE body <> 'kept'; DELETE FROM messages.batch WHERE position > 1",
    );
    let started = std::time::Instant::now();
    assert!(stream.next().is_none() && started.elapsed() < PATIENCE / 6, "{:?}", started.elapsed());
    database.client().execute(INSERT, &[&"new"]).unwrap();
    let mut again = Stream::open(&gateway, "", Some(&last));
    assert_eq!(again.bodies(1), ["new"]);
    database.client().execute(INSERT, &[&"newer"]).unwrap();
    assert_eq!(again.bodies(1), ["newer"]);
    // Nor is an id that never was a reason to hear nothing.
    let mut beyond = Stream::open(&gateway, "", Some("999999999999-1"));
    assert_eq!(beyond.bodies(2), ["new", "newer"]);
}

#[test]
fn filters_hold_and_bad_ids_are_refused() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let mut stream = Stream::open(&gateway, "?label=negative&source=sql", None);
    gateway.post("/v1/messages", &json!({"source": "rest", "body": "I hate it"})).ok();
    for body in ["I love it", "I hate it", "awful"] {
        database.client().execute(INSERT, &[&body]).unwrap();
    }
    assert_eq!(stream.bodies(2), ["I hate it", "awful"]);
    for bad in ["x", "7", "-1-2", "1-2-3"] {
        let request =
            agent().get(format!("{}/v1/stream", gateway.url)).header("authorization", gateway.bearer());
        let answer = crate::harness::Answer::from(request.header("last-event-id", bad).call().unwrap());
        answer.refused(400);
    }
}

/// A reader who does not read is dropped, while the others go on; what it costs the gateway has an end.
#[test]
fn a_slow_reader_is_dropped_and_a_good_one_goes_on() {
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--write-timeout", "2s"]);
    let mut slow = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap()).unwrap();
    let head = format!("GET /v1/stream HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n\r\n", gateway.bearer());
    std::io::Write::write_all(&mut slow, head.as_bytes()).unwrap();
    let mut start = [0; 12];
    slow.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    let mut good = Stream::open(&gateway, "", None);
    let gateway = &gateway;
    std::thread::scope(|scope| {
        // It reads all the time, and comes back should it be too slow for once.
        let reading = scope.spawn(move || {
            let (mut seen, mut last) = (0, "0-0".to_owned());
            while seen < 4000 {
                match good.next() {
                    Some(event) => (seen, last) = (seen + 1, event.id),
                    None => good = Stream::open(gateway, "", Some(&last)),
                }
            }
        });
        for _ in 0..40 {
            database.run(
                "INSERT INTO messages.message (source, body) SELECT 'a', repeat('good ', 2000) FROM generate_series(1, 100)",
            );
        }
        reading.join().unwrap();
    });
    let started = std::time::Instant::now();
    loop {
        let metrics = gateway.get("/metrics").body;
        if metrics.lines().any(|line| line == "sentiment_gateway_streams 0") {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "the slow reader is still there:\n{metrics}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn a_stream_ends_with_its_key() {
    let database = Database::new();
    let mut gateway = Gateway::start(&database);
    let key = |arguments: &[&str]| run_clean(&database, &[&["key", "create"], arguments].concat());
    gateway.key = key(&["lost"]).trim().to_owned();
    let mut lost = Stream::open(&gateway, "", None);
    gateway.key = key(&["short", "--expires-in", "3s"]).trim().to_owned();
    let mut short = Stream::open(&gateway, "", None);
    let started = std::time::Instant::now();
    let list = run_clean(&database, &["key", "list"]);
    let id = list.lines().find(|line| line.contains("\tlost\t")).unwrap().split('\t').next().unwrap();
    run_clean(&database, &["key", "revoke", id]);
    // Before it would be noticed without the notification.
    assert!(lost.next().is_none() && started.elapsed() < PATIENCE / 6, "{:?}", started.elapsed());
    assert!(short.next().is_none() && started.elapsed() < PATIENCE / 6, "{:?}", started.elapsed());
}

#[test]
fn streams_have_a_limit_and_end_with_the_gateway() {
    let database = Database::new();
    let mut gateway = Gateway::with(&database, &["--max-streams", "1"]);
    let mut stream = Stream::open(&gateway, "", None);
    gateway.get("/v1/stream").refused(503);
    gateway.signal("-TERM");
    assert!(stream.next().is_none());
    assert!(gateway.ends());
}

/// Else each page would sort all that is left of the statement.
#[test]
fn a_statement_of_many_rows_is_read_in_portions_and_in_its_order() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run(
        "INSERT INTO messages.message (source, body) SELECT 'a', 'before';
         INSERT INTO messages.message (id, source, body) SELECT 10000 - n * 2, 'a', n::text FROM generate_series(1, 4500) AS n;
         INSERT INTO messages.message (source, body) SELECT 'a', 'after'",
    );
    let (mut last, mut seen) = ("0-0".to_owned(), Vec::new());
    for count in [1000, 1001, 500, 2001] {
        let mut stream = Stream::open(&gateway, "", Some(&last));
        for event in std::iter::from_fn(|| stream.next()).take(count) {
            seen.push(event.message["body"].as_str().unwrap().to_owned());
            last = event.id;
        }
    }
    let many = (1..=4500).rev().map(|n: usize| n.to_string());
    let expected: Vec<String> =
        std::iter::once("before".to_owned()).chain(many).chain(["after".to_owned()]).collect();
    assert_eq!(seen, expected);
    let most: i64 = database.value(
        "SELECT max(count) FROM messages.batch, LATERAL (SELECT count(*) FROM messages.message WHERE ids @> id) AS own",
    );
    assert_eq!(most, 2000);
}

#[test]
fn a_key_has_a_quarter_of_the_streams() {
    let database = Database::new();
    let mut gateway = Gateway::with(&database, &["--max-streams", "8"]);
    let _streams = [Stream::open(&gateway, "", None), Stream::open(&gateway, "", None)];
    gateway.get("/v1/stream").refused(503);
    gateway.key = run_clean(&database, &["key", "create", "other"]).trim().to_owned();
    Stream::open(&gateway, "", None);
}
