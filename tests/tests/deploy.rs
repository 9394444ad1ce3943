//! A change of model reaches every session at commit, on standbys too, and nobody before.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::time::{Duration, Instant};

use postgres::Client;
use sentiment_tests::{Database, Level, Server};

/// Texts of two labels that are easily told apart; `mood` says which is which.
const TEXTS: &str = "
    CREATE TABLE texts AS
    SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || md5(n::text) AS body,
           CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label,
           CASE WHEN n % 2 = 1 THEN 'positive' ELSE 'negative' END AS other
    FROM generate_series(1, 200) AS n;
    SELECT train_sentiment('mood', 'texts', 'body', 'label', 'naive_bayes');
    SELECT train_sentiment('mood', 'texts', 'body', 'other', 'naive_bayes', deploy => 'never')";

const SCORE: &str = "SELECT sentiment('sunny', 'mood')";

fn label(client: &mut Client) -> String {
    client.query_one(SCORE, &[]).unwrap().get(0)
}

#[test]
fn the_next_statement_of_another_session_follows() {
    let mut database = Database::new();
    database.run(TEXTS);
    let mut other = database.connect("postgres");
    let prepared = other.prepare(SCORE).unwrap();
    let by_plan = |other: &mut Client| -> String { other.query_one(&prepared, &[]).unwrap().get(0) };
    assert_eq!((label(&mut other), by_plan(&mut other)), ("positive".into(), "positive".into()));

    database.run("BEGIN; SELECT deploy_sentiment('mood', 2)");
    assert_eq!(database.value::<String>(SCORE), "negative", "one's own change shows");
    assert_eq!(
        (label(&mut other), by_plan(&mut other)),
        ("positive".into(), "positive".into()),
        "before commit"
    );
    database.run("ROLLBACK");
    assert_eq!(database.value::<String>(SCORE), "positive", "undone");
    assert_eq!(label(&mut other), "positive", "after rollback");

    other.batch_execute("BEGIN").unwrap();
    assert_eq!(label(&mut other), "positive");
    database.run("SELECT deploy_sentiment('mood', 2)");
    assert_eq!(
        (label(&mut other), by_plan(&mut other)),
        ("negative".into(), "negative".into()),
        "in a transaction"
    );
    other.batch_execute("COMMIT").unwrap();

    database.run("BEGIN; SAVEPOINT s; SELECT rollback_sentiment('mood'); ROLLBACK TO s; COMMIT");
    assert_eq!((database.value::<String>(SCORE), label(&mut other)), ("negative".into(), "negative".into()));
    database.run("SELECT rollback_sentiment('mood')");
    assert_eq!((label(&mut other), by_plan(&mut other)), ("positive".into(), "positive".into()));
    assert_eq!(database.value::<String>("SELECT sentiment_at('sunny', 'mood@2')"), "negative");
}

#[test]
fn parallel_workers_and_triggers_follow() {
    let mut database = Database::new();
    database.run(TEXTS);
    database.run(
        "SELECT enable_sentiment('texts', 'body', 'mood');
         SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
         SET max_parallel_workers_per_gather = 2",
    );
    let count = "SELECT count(*) FROM texts WHERE sentiment(body, 'mood') = label";
    assert_eq!(database.value::<i64>(count), 200);
    database.run("SELECT deploy_sentiment('mood', 2)");
    assert_eq!(database.value::<i64>(count), 0);
    assert_eq!(database.value::<i64>("SELECT stale_sentiment('texts')"), 200);
    database.run("CALL rescore_sentiment('texts')");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM texts WHERE sentiment_version = 'mood@2'"), 200);
}

/// Processes that run a statement together begin at different times, and a deployment may come between them.
#[test]
fn a_parallel_statement_is_scored_by_one_version() {
    let mut database = Database::new();
    database.run(TEXTS);
    database.run("CREATE TABLE many AS SELECT body FROM texts, generate_series(1, 200); ANALYZE many");
    let count = "SELECT sentiment_json(body, 'mood') ->> 'model_version' AS version FROM many";
    let scored_twice = format!(
        "WITH first AS MATERIALIZED (SELECT version, count(*) FROM ({count}) AS t GROUP BY 1),
              waited AS MATERIALIZED (SELECT pg_advisory_lock(1) FROM first),
              second AS MATERIALIZED (
                  SELECT version, count(*) FROM ({count} WHERE (SELECT count(*) FROM waited) > 0) AS t GROUP BY 1)
         SELECT string_agg(version, ' ') FROM (TABLE first UNION ALL TABLE second) AS versions"
    );
    for participation in ["on", "off"] {
        database.run("SELECT deploy_sentiment('mood', 1), pg_advisory_lock(1)");
        let mut reader = database.connect("postgres");
        let settings = format!(
            "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
             SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = {participation}"
        );
        reader.batch_execute(&settings).unwrap();
        let plan = reader.query(&format!("EXPLAIN {scored_twice}"), &[]).unwrap();
        let gathers = plan.iter().filter(|row| row.get::<_, &str>(0).contains("Gather")).count();
        assert_eq!(gathers, 2);
        let versions =
            answer_beside(&mut database, &mut reader, &scored_twice, "SELECT deploy_sentiment('mood', 2)");
        assert_eq!(versions, "mood@1 mood@1", "{participation}");
        assert_eq!(label(&mut reader), "negative", "the next statement follows");
        let version: String = reader.query_one(&format!("{count} LIMIT 1"), &[]).unwrap().get(0);
        assert_eq!(version, "mood@2", "one that runs in parallel, too");
    }
}

/// What `reader` is answered to a statement in the midst of which it waits for lock 1, and `change` is committed.
fn answer_beside(database: &mut Database<'_>, reader: &mut Client, statement: &str, change: &str) -> String {
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| reader.query_one(statement, &[]).unwrap().get::<_, String>(0));
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        while database.value::<i64>(waiting) == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        database.run(change);
        database.run("SELECT pg_advisory_unlock(1)");
        answer.join().unwrap()
    })
}

/// The server takes in news whenever it locks a relation, as it does for each text that is stored out of line.
#[test]
fn a_statement_over_long_texts_is_scored_by_one_version() {
    let mut database = Database::new();
    database.run(TEXTS);
    database.run(
        "CREATE TABLE long (id int, body text);
         ALTER TABLE long ALTER body SET STORAGE EXTERNAL;
         INSERT INTO long SELECT n, repeat('sunny day ', 500) FROM generate_series(1, 100) AS n",
    );
    let mut reader = database.connect("postgres");
    let versions = |model: &str| {
        format!(
            "SELECT string_agg(DISTINCT version, ' ') FROM (
                 SELECT sentiment_json(body, '{model}') ->> 'model_version' AS version,
                        CASE WHEN id = 50 THEN pg_advisory_lock_shared(1) END
                 FROM long OFFSET 0) AS t"
        )
    };
    database.run("SELECT pg_advisory_lock(1)");
    let change = "SELECT deploy_sentiment('mood', 2)";
    assert_eq!(answer_beside(&mut database, &mut reader, &versions("mood"), change), "mood@1");
    assert_eq!(label(&mut reader), "negative", "the next statement follows");

    // Nor does it fail where its version is dropped.
    reader.batch_execute("SELECT pg_advisory_unlock_all()").unwrap();
    database.run("SELECT pg_advisory_lock(1)");
    let change = "SELECT drop_sentiment('mood', 1)";
    assert_eq!(answer_beside(&mut database, &mut reader, &versions("mood@1"), change), "mood@1");
    let gone = reader.batch_execute("SELECT sentiment('sunny', 'mood@1')").unwrap_err();
    assert_eq!(gone.code().unwrap().code(), "42704");
    database.ask(Level::Error, "42704");
}

/// A cursor's rows are of one statement, whatever runs between one FETCH and the next.
#[test]
fn a_cursor_is_scored_by_one_version() {
    let mut database = Database::new();
    database.run(TEXTS);
    let mut reader = database.connect("postgres");
    let begin = "BEGIN; DECLARE versions CURSOR FOR SELECT sentiment_json(body, 'mood') ->> 'model_version' FROM texts";
    reader.batch_execute(begin).unwrap();
    let fetch = |reader: &mut Client| -> String { reader.query_one("FETCH versions", &[]).unwrap().get(0) };
    assert_eq!(fetch(&mut reader), "mood@1");
    database.run("SELECT deploy_sentiment('mood', 2)");
    for _ in 0..2 {
        assert_eq!(fetch(&mut reader), "mood@1");
        assert_eq!(label(&mut reader), "negative", "other statements follow");
    }
    database.run("SELECT rollback_sentiment('mood')");
    assert_eq!((fetch(&mut reader), label(&mut reader)), ("mood@1".into(), "positive".into()));
    // So it is beside changes of its own transaction, which other statements see at once.
    reader.batch_execute("COMMIT").unwrap();
    reader.batch_execute(begin).unwrap();
    reader.batch_execute("SELECT deploy_sentiment('mood', 2)").unwrap();
    for _ in 0..2 {
        assert_eq!((fetch(&mut reader), label(&mut reader)), ("mood@1".into(), "negative".into()));
    }
    reader.batch_execute("COMMIT").unwrap();
}

#[test]
fn a_standby_follows() {
    let primary = Server::start(&["wal_level=replica"]);
    let mut database = Database::on(&primary);
    database.run(TEXTS);
    let standby = primary.standby();
    let mut reader = standby.connect(database.name(), "postgres");
    let mut wait_for = |wanted: &str| {
        let end = Instant::now() + Duration::from_secs(30);
        let replayed = |reader: &mut Client| {
            reader.query_one(SCORE, &[]).is_ok_and(|row| row.get::<_, String>(0) == wanted)
        };
        while !replayed(&mut reader) {
            assert!(Instant::now() < end, "the standby still does not say {wanted}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let error = reader.batch_execute("SELECT rollback_sentiment('mood')").unwrap_err();
        assert_eq!(error.code().unwrap().code(), "25006");
    };
    wait_for("positive");
    database.run("SELECT deploy_sentiment('mood', 2)");
    wait_for("negative");
    database.run("SELECT rollback_sentiment('mood')");
    wait_for("positive");
    database.ask(Level::Error, "25006");
}

#[test]
fn rights() {
    let mut database = Database::new();
    database.run(TEXTS);
    database.run("CREATE ROLE deploy_reader LOGIN; CREATE ROLE deploy_trainer LOGIN; CREATE TABLE own (body text, label text);
        INSERT INTO own SELECT body, label FROM texts; GRANT SELECT ON own TO deploy_trainer;
        GRANT EXECUTE ON FUNCTION train_sentiment, deploy_sentiment, learn_sentiment, refresh_sentiment TO deploy_trainer");
    let mut reader = database.connect("deploy_reader");
    assert_eq!(label(&mut reader), "positive");
    let state = |client: &mut Client, sql: &str| {
        client.batch_execute(sql).unwrap_err().code().unwrap().code().to_owned()
    };
    for sql in [
        "SELECT deploy_sentiment('mood', 2)",
        "SELECT export_sentiment('mood')",
        "SELECT learn_sentiment('mood', 'x', 'positive')",
        "SELECT FROM sentiment.part",
        "SELECT FROM sentiment.feedback",
    ] {
        assert_eq!(state(&mut reader, sql), "42501", "{sql}");
    }
    reader.batch_execute("SELECT FROM sentiment.versions; SELECT FROM sentiment.deployments").unwrap();
    let mut trainer = database.connect("deploy_trainer");
    assert_eq!(state(&mut trainer, "SELECT train_sentiment('mine', 'texts', 'body', 'label')"), "42501");
    trainer.batch_execute("SELECT train_sentiment('mine', 'own', 'body', 'label', 'naive_bayes')").unwrap();
    trainer
        .batch_execute(
            "SELECT learn_sentiment('mine', 'foggy', 'negative'); SELECT refresh_sentiment('mine')",
        )
        .unwrap();
    assert_eq!(state(&mut trainer, "DELETE FROM sentiment.version"), "42501", "its rights are its own again");
    assert_eq!(
        database.value::<String>(
            "SELECT string_agg(DISTINCT created_by, ',') FROM sentiment.versions WHERE model = 'mine'"
        ),
        "deploy_trainer"
    );
    database.ask(Level::Error, "42501");
    database.run("DROP OWNED BY deploy_trainer; DROP ROLE deploy_trainer, deploy_reader");
}
