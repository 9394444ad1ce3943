//! Every function can be stopped at any moment, by a cancel, a time limit or the end of its session, and leaves nothing behind.
//! ROUNDS and SEED choose.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use postgres::Client;
use postgres::error::SqlState;
use sentiment_tests::{Database, Level, Server, asked_for, chance, note, trouble};

const SCENE: &str = "
    CREATE EXTENSION pg_sentiment;
    CREATE TABLE texts AS
    SELECT n AS id, CASE WHEN n % 2 = 0 THEN 'sunny ' ELSE 'rainy ' END || md5(n::text) || ' ' || md5((n + 1)::text) AS body,
           CASE WHEN n % 2 = 0 THEN 'good' ELSE 'bad' END AS label
    FROM generate_series(1, 3000) AS n;
    SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes',
        '{\"min_texts\": 1, \"folds\": 2, \"keep_versions\": 10000}', deploy => 'always') FROM generate_series(1, 2);
    SELECT train_sentiment('spare', 'texts', 'body', 'label', 'naive_bayes');
    CREATE TABLE scored (body text);
    INSERT INTO scored SELECT body FROM texts;
    SELECT enable_sentiment('scored', 'body', 'm');
    UPDATE scored SET sentiment_version = 'm@1';
    SELECT count(learn_sentiment('m', 'foggy ' || md5(n::text), 'bad')) FROM generate_series(1, 1000) AS n";

/// A call of every function that takes a while, or many of it.
const STATEMENTS: [&str; 24] = [
    "SELECT count(sentiment(body, 'm')), count(sentiment(body)) FROM texts",
    "SELECT count(sentiment_score(body, 'auto')) FROM texts",
    "SELECT sum(sentiment_probability(body, 'good', 'm')) FROM texts",
    "SELECT count(d) FROM texts, sentiment_detail(body, 'm') AS d",
    "SELECT count(sentiment_json(body, 'm')) FROM texts",
    "SELECT count(b) FROM sentiment_batch((SELECT array_agg(body) FROM texts), 'm') AS b",
    "SELECT count(e) FROM texts, sentiment_explain(body, 'm') AS e WHERE id < 300",
    "SELECT count(t) FROM texts, sentiment_tokens(body, 'm') AS t",
    "SELECT count(sentiment_at(body, 'm@1')), count(sentiment_score_at(body, 'm@2')) FROM texts",
    "SELECT enable_sentiment('texts', 'body', 'm')",
    "SELECT disable_sentiment('scored', drop_columns => true)",
    "CALL rescore_sentiment('scored', 100)",
    "SELECT stale_sentiment('scored') FROM generate_series(1, 20)",
    "INSERT INTO scored (body) SELECT body FROM texts",
    "SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes', '{\"keep_versions\": 10000}', deploy => 'always')",
    "SELECT train_sentiment('m', 'texts', 'body', 'label', 'logistic_regression', '{\"keep_versions\": 10000}', deploy => 'always')",
    "SELECT train_sentiment('m', 'texts', 'body', 'label', 'random_forest', '{\"trees\": 10, \"keep_versions\": 10000}')",
    "SELECT count(e) FROM evaluate_sentiment('m', 'texts', 'body', 'label') AS e",
    "SELECT count(c) FROM confusion_sentiment('m', 'texts', 'body', 'label') AS c, drift_sentiment('m', 'texts', 'body')",
    "SELECT deploy_sentiment('m', 1), rollback_sentiment('m') FROM generate_series(1, 30) AS n",
    "SELECT import_sentiment('copy', export_sentiment('m')) FROM generate_series(1, 3)",
    "SELECT drop_sentiment('spare')",
    "SELECT count(learn_sentiment('m', body, label)), set_sentiment_term('spare', 'x', NULL) FROM texts WHERE id < 500",
    "SELECT refresh_sentiment('m')",
];

/// What none of these may change unless it is committed; and what may never be.
const STATE: &str = "
    SELECT concat((SELECT string_agg(v::text, ' ' ORDER BY v) FROM sentiment.version AS v),
        (SELECT string_agg(m::text, ' ' ORDER BY m) FROM sentiment.model AS m),
        (SELECT count(*) FROM sentiment.part), (SELECT count(*) FROM sentiment.deployment),
        (SELECT count(*) FROM sentiment.unlearned), (SELECT count(*) FROM sentiment.feedback),
        (SELECT count(*) FROM scored), (SELECT count(*) FROM pg_trigger), (SELECT count(*) FROM pg_attribute WHERE attrelid = 'texts'::regclass),
        (SELECT count(*) FROM sentiment.training_progress))";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    Cancel,
    TimeLimit,
    Terminate,
}

fn pid(client: &mut Client) -> i32 {
    client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0)
}

fn state(client: &mut Client) -> String {
    client.query_one(STATE, &[]).unwrap().get(0)
}

/// Runs a statement that the time limit of another one, still in force, may stop as well.
fn in_peace(client: &mut Client, statement: &str) {
    while let Err(error) = client.batch_execute(statement) {
        assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED), "{statement}");
    }
}

/// Runs a statement in a transaction that is undone (but for a procedure, which commits), and stops it after `delay`. Whether
/// it was stopped, and how long it went on then.
fn stopped(server: &Server, statement: &str, stop: Stop, delay: Duration) -> Option<Duration> {
    let mut client = server.connect("postgres", "postgres");
    let mut other = server.connect("postgres", "postgres");
    let pid = pid(&mut client);
    client.batch_execute("SET sentiment.train_memory = '1GB'; SELECT sentiment('good')").unwrap();
    let procedure = statement.starts_with("CALL");
    if !procedure {
        client.batch_execute("BEGIN").unwrap();
    }
    if stop == Stop::TimeLimit {
        let limit = delay.as_millis().max(1);
        client.batch_execute(&format!("SET statement_timeout = {limit}")).unwrap();
    }
    let begun = Instant::now();
    let stopping = thread::spawn(move || {
        thread::sleep(delay);
        let function = match stop {
            Stop::TimeLimit => return Instant::now(),
            Stop::Cancel => "pg_cancel_backend",
            Stop::Terminate => "pg_terminate_backend",
        };
        let asked = Instant::now();
        other.batch_execute(&format!("SELECT {function}({pid})")).unwrap();
        asked
    });
    let done = client.batch_execute(statement);
    let ended = Instant::now();
    let asked = stopping.join().unwrap();
    let Err(error) = done else {
        // What comes too late is ignored by a session that waits, but for the end of the session.
        if stop != Stop::Terminate && !procedure {
            in_peace(&mut client, "ROLLBACK");
        }
        return None;
    };
    let expected = if stop == Stop::Terminate { SqlState::ADMIN_SHUTDOWN } else { SqlState::QUERY_CANCELED };
    let code = error.code();
    let lost = stop == Stop::Terminate && code.is_none();
    assert!(code == Some(&expected) || lost, "{statement}, {stop:?} after {:?}: {error:?}", begun.elapsed());
    if stop != Stop::Terminate {
        if !procedure {
            in_peace(&mut client, "ROLLBACK");
        }
        in_peace(&mut client, "RESET statement_timeout");
        let label: String = client.query_one("SELECT sentiment('sunny', 'm')", &[]).unwrap().get(0);
        assert_eq!(label, "good", "the session goes on");
    }
    Some(ended.saturating_duration_since(asked))
}

/// How long a statement takes if it is left alone.
fn takes(client: &mut Client, statement: &str) -> Duration {
    let begun = Instant::now();
    if statement.starts_with("CALL") {
        client.batch_execute(statement).unwrap();
        let begin_again = "UPDATE scored SET sentiment_version = 'm@1'";
        let took = begun.elapsed();
        client.batch_execute(begin_again).unwrap();
        return took;
    }
    client.batch_execute(&format!("BEGIN; {statement}; ROLLBACK")).unwrap();
    begun.elapsed()
}

fn delay(rng: &mut Rng, takes: Duration) -> Duration {
    takes.mul_f64(rng.f64() * 1.1)
}

#[test]
fn every_function_at_any_moment() {
    let mut rng = chance("cancel");
    let server = Server::start(&[]);
    let mut client = server.connect("postgres", "postgres");
    client.batch_execute(SCENE).unwrap();
    client.batch_execute("SET sentiment.train_memory = '1GB'").unwrap();
    let before = state(&mut client);
    let mut counts: BTreeMap<Stop, [u32; 2]> = BTreeMap::new();
    let mut slowest = (Duration::ZERO, "");
    for statement in STATEMENTS {
        let takes = takes(&mut client, statement);
        for _ in 0..asked_for("ROUNDS", 2) {
            for stop in [Stop::Cancel, Stop::TimeLimit, Stop::Terminate] {
                let ended = stopped(&server, statement, stop, delay(&mut rng, takes));
                let [all, stops] = counts.entry(stop).or_default();
                *all += 1;
                *stops += u32::from(ended.is_some());
                slowest = slowest.max((ended.unwrap_or_default(), statement));
                let gone = format!(
                    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> {}",
                    pid(&mut client)
                );
                while client.query_one(&gone, &[]).unwrap().get::<_, i64>(0) > 0 {
                    thread::sleep(Duration::from_millis(1));
                }
                assert_eq!(state(&mut client), before, "{statement}, {stop:?}");
            }
        }
    }
    let found = trouble(&server.log(), &["57014", "57P01"]);
    assert!(found.is_empty(), "{found:#?}");
    note(&format!("calls and those stopped: {counts:?}; the longest went on for {slowest:?}"));
    assert!(slowest.0 < Duration::from_secs(5), "{slowest:?}");
}

/// Long texts take their time: whoever evaluates them is asked between two.
#[test]
fn evaluating_stops_between_two_texts() {
    let mut database = Database::new();
    database.run("CREATE TABLE texts AS SELECT repeat('so happy ', 8000) || n AS body, 'positive' AS label FROM generate_series(1, 1000) AS n");
    for call in [
        "evaluate_sentiment('english', 'texts', 'body', 'label')",
        "confusion_sentiment('english', 'texts', 'body', 'label')",
        "drift_sentiment('english', 'texts', 'body')",
    ] {
        let mut client = database.connect("postgres");
        client.batch_execute("SELECT sentiment('x'); SET statement_timeout = '20ms'").unwrap();
        let error = client.batch_execute(&format!("SELECT count(*) FROM {call}")).unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
        database.ask(Level::Error, "57014");
        client.batch_execute("RESET statement_timeout").unwrap();
        let read = "SELECT texts FROM sentiment.cache WHERE model_version = 'english@2'";
        let texts: i64 = client.query_one(read, &[]).unwrap().get(0);
        assert!(texts < 900, "{call}: {texts} texts were read");
    }
}
