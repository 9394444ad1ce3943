//! One question, one answer: whichever way a statement is run, and on a standby too.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::time::{Duration, Instant};

use postgres::Client;
use sentiment_tests::{Database, Failure, Server};

/// What every way has to find: a line a label with count and sum of scores, in whatever order the rows are read.
const SUMMARY: &str = "
    SELECT coalesce(string_agg(format('%s %s %s', label, n, total), E'\\n' ORDER BY label), '') FROM (
        SELECT sentiment(body) AS label, count(*) AS n, sum(sentiment_score(body)::numeric) AS total
        FROM messages GROUP BY 1) AS labels";

const MESSAGES: &str = "
    CREATE TABLE messages (id int PRIMARY KEY, body text);
    INSERT INTO messages
        SELECT i, format('%s the %s was %s %s', (ARRAY['omg', 'today', 'well,', '#news'])[1 + i % 4], (ARRAY['bus', 'film', 'soup'])[1 + i % 3],
                         (ARRAY['great', 'awful', 'late', 'not bad', 'on time', 'lovely', 'so-so'])[1 + i % 7], repeat('!', i % 3))
        FROM generate_series(1, 20000) AS i;
    ANALYZE messages";

fn summary(client: &mut Client) -> String {
    client.query_one(SUMMARY, &[]).unwrap().get(0)
}

#[test]
fn parallel_sequential_scan() {
    let mut database = Database::new();
    database.run(MESSAGES);
    database.run("SET max_parallel_workers_per_gather = 0");
    let alone = summary(database.client());
    assert_eq!(alone.lines().count(), 3, "{alone}");
    database.run(
        "SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
         SET min_parallel_table_scan_size = 0; SET parallel_leader_participation = off",
    );
    let plan: Vec<String> = database
        .rows(&format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {SUMMARY}"))
        .iter()
        .map(|row| row.get(0))
        .collect();
    let plan = plan.join("\n");
    assert!(plan.contains("Workers Launched: 2") && plan.contains("Parallel Seq Scan"), "{plan}");
    assert_eq!(summary(database.client()), alone);
    // a worker has the leader's settings
    database.run("SET sentiment.default_model = 'no_such_model'");
    database.refuses("42704", SUMMARY);
}

/// A session keeps what it read last: asked side by side, of one text or of several, each function answers as it does alone.
#[test]
fn functions_side_by_side() {
    let mut database = Database::new();
    database.run(MESSAGES);
    database.run("INSERT INTO messages VALUES (0, ''), (-1, NULL), (-2, repeat('so good ', 9000)), (-3, repeat('so good ', 9000) || 'x')");
    let functions = [
        "sentiment(body)",
        "sentiment_score(body)::text",
        "sentiment_score(body, 'multilingual')::text",
        "sentiment_probability(body, 'negative', 'auto')::text",
        "(SELECT string_agg(token, ' ') FROM sentiment_tokens(body))",
        "sentiment_score('how lovely')::text",
        "sentiment_json(body)::text",
        "(SELECT sum(weight)::text FROM sentiment_explain(body))",
        "sentiment_score(body, 'english@1')::text",
    ];
    let rows = "FROM messages WHERE id < 300 ORDER BY id";
    let alone: Vec<Vec<Option<String>>> = functions
        .iter()
        .map(|function| {
            database.rows(&format!("SELECT {function} {rows}")).iter().map(|row| row.get(0)).collect()
        })
        .collect();
    for _ in 0..2 {
        let twice = functions.iter().chain(functions.iter().rev()).copied().collect::<Vec<_>>().join(", ");
        for (at, row) in database.rows(&format!("SELECT {twice} {rows}")).iter().enumerate() {
            for (column, alone) in alone.iter().chain(alone.iter().rev()).enumerate() {
                assert_eq!(row.get::<_, Option<String>>(column), alone[at], "row {at}, column {column}");
            }
        }
    }
}

#[test]
fn prepared_statement_and_cursor() {
    let mut database = Database::new();
    database.run(MESSAGES);
    let expected: Vec<(i32, Option<String>)> = database
        .rows("SELECT id, sentiment(body) FROM messages WHERE id <= 1000 ORDER BY id")
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    for mode in ["force_generic_plan", "force_custom_plan", "auto"] {
        database.run(&format!("SET plan_cache_mode = {mode}"));
        let one = database.client().prepare("SELECT sentiment(body) FROM messages WHERE id = $1").unwrap();
        for (id, label) in &expected {
            let row = database.client().query_one(&one, &[id]).unwrap();
            assert_eq!(&row.get::<_, Option<String>>(0), label, "{mode}: message {id}");
        }
    }
    database.run(
        "BEGIN; DECLARE answers SCROLL CURSOR FOR SELECT id, sentiment(body) FROM messages WHERE id <= 1000 ORDER BY id",
    );
    let mut fetched = Vec::new();
    loop {
        let rows = database.rows("FETCH 37 FROM answers");
        fetched.extend(rows.iter().map(|row| (row.get(0), row.get(1))));
        if rows.is_empty() {
            break;
        }
    }
    assert_eq!(fetched, expected);
    let rows = database.rows("FETCH ABSOLUTE 500 FROM answers");
    assert_eq!(&(rows[0].get(0), rows[0].get(1)), &expected[499]);
    database.run("COMMIT");
}

/// A cursor over a function's rows goes back also where these are more than `work_mem` holds.
#[test]
fn a_cursor_goes_back_over_a_functions_rows() {
    let mut database = Database::new();
    database.run(
        "SET work_mem = '64kB'; BEGIN;
         DECLARE answers SCROLL CURSOR FOR SELECT ord FROM sentiment_batch(ARRAY(SELECT 'so good ' || i FROM generate_series(1, 20000) AS i));
         MOVE FORWARD ALL FROM answers",
    );
    for (fetch, expected) in
        [("PRIOR", 20000), ("PRIOR", 19999), ("RELATIVE -5000", 14999), ("ABSOLUTE 7", 7)]
    {
        assert_eq!(database.value::<i32>(&format!("FETCH {fetch} FROM answers")), expected, "{fetch}");
    }
    database.run("COMMIT");
}

/// A prepared statement holds no model: it follows the setting.
#[test]
fn prepared_statement_follows_the_default_model() {
    let mut database = Database::new();
    database.run("SET plan_cache_mode = force_generic_plan; PREPARE answer AS SELECT sentiment('so happy')");
    assert_eq!(database.client().simple_query("EXECUTE answer").unwrap().len(), 3);
    database.run("SET sentiment.default_model = 'no_such_model'");
    database.refuses("42704", "EXECUTE answer");
    database.run("SET sentiment.default_model = 'english@1'; EXECUTE answer");
}

#[test]
fn security_definer_and_other_languages() {
    let mut database = Database::new();
    database.run(MESSAGES);
    let expected = summary(database.client());
    database.run(&format!(
        "CREATE FUNCTION as_owner() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$ {SUMMARY} $$;
         CREATE FUNCTION in_plpgsql() RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$ BEGIN RETURN ({SUMMARY}); END $$;
         CREATE ROLE consistency_nobody"
    ));
    database.run("SET ROLE consistency_nobody");
    assert_eq!(database.failure(SUMMARY).state, "42501");
    assert_eq!(database.value::<String>("SELECT as_owner()"), expected);
    database.run("RESET ROLE");
    assert_eq!(database.value::<String>("SELECT in_plpgsql()"), expected);
    database.run("DROP OWNED BY consistency_nobody; DROP ROLE consistency_nobody");
}

/// Scoring writes nothing, so that it works where nothing can be written.
#[test]
fn read_only_transaction() {
    let mut database = Database::new();
    database.run(MESSAGES);
    let expected = summary(database.client());
    database.run("BEGIN TRANSACTION READ ONLY ISOLATION LEVEL SERIALIZABLE");
    assert_eq!(summary(database.client()), expected);
    assert_eq!(database.value::<String>("SELECT min(model) FROM sentiment.models"), "english");
    database.run("COMMIT; CREATE TABLE plain (body text); SET default_transaction_read_only = on");
    let refusal = database.failure("SELECT enable_sentiment('plain', 'body')");
    assert_eq!(refusal.state, "25006");
    assert!(refusal.hint.contains("READ WRITE"), "{}", refusal.hint);
}

#[test]
fn standby() {
    let primary = Server::start(&[]);
    let standby = primary.standby();
    let mut database = Database::on(&primary);
    database.run(MESSAGES);
    database.run("CREATE TABLE scored (body text); SELECT enable_sentiment('scored', 'body')");
    database.run("INSERT INTO scored SELECT body FROM messages WHERE id <= 100");
    let expected = summary(database.client());

    let position: String = database.value("SELECT pg_current_wal_insert_lsn()::text");
    let mut maintenance = standby.connect("postgres", "postgres");
    let begin = Instant::now();
    let replayed = format!("SELECT coalesce(pg_last_wal_replay_lsn() >= '{position}'::pg_lsn, false)");
    while !maintenance.query_one(&replayed, &[]).unwrap().get::<_, bool>(0) {
        assert!(begin.elapsed() < Duration::from_secs(60), "the standby does not catch up with {position}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut reader = standby.connect(database.name(), "postgres");
    assert!(reader.query_one("SELECT pg_is_in_recovery()", &[]).unwrap().get::<_, bool>(0));
    assert_eq!(summary(&mut reader), expected);
    let same = "SELECT bool_and(sentiment IS NOT DISTINCT FROM sentiment(body)) FROM scored";
    assert!(reader.query_one(same, &[]).unwrap().get::<_, bool>(0));
    assert_eq!(reader.query_one("SELECT stale_sentiment('scored')", &[]).unwrap().get::<_, i64>(0), 0);
    for refused in [
        "SELECT enable_sentiment('messages', 'body')",
        "SELECT disable_sentiment('scored')",
        "CALL rescore_sentiment('scored')",
        "SELECT train_sentiment('m', 'messages', 'body', 'body')",
        "SELECT deploy_sentiment('m', 1)",
        "SELECT rollback_sentiment('m')",
        "SELECT drop_sentiment('m')",
        "SELECT import_sentiment('m', '')",
        "SELECT learn_sentiment('m', 'so happy', 'positive')",
        "SELECT set_sentiment_term('m', 'lit', 1)",
        "SELECT refresh_sentiment('m')",
    ] {
        let error = reader.batch_execute(refused).unwrap_err();
        let refusal = Failure::from(error.as_db_error().unwrap());
        assert_eq!(refusal.state, "25006", "{refused}");
        assert!(refusal.hint.contains("on the primary"), "{refused}: {}", refusal.hint);
    }
    drop(reader);
    drop(maintenance);
    let log = standby.log();
    assert!(!log.iter().any(|entry| entry.state == "XX000"), "{log:?}");
}
