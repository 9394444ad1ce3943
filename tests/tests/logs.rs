//! No text gets into a log: at the lowest level, with all that the server can add, whatever goes wrong and whichever way the
//! text came in. What the server writes of its own accord (statements, rows that break a constraint) is not ours; see SECURITY.md.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::Write;
use std::time::{Duration, Instant};

use postgres::types::ToSql;
use sentiment_tests::{CANARY, Database, Entry, Server};

const SETTINGS: [&str; 9] = [
    "log_min_messages=debug5",
    "log_error_verbosity=verbose",
    "log_statement=none",
    "log_lock_waits=on",
    "deadlock_timeout=20ms",
    "log_temp_files=0",
    "log_checkpoints=on",
    "log_connections=on",
    "shared_preload_libraries=pg_sentiment",
];

/// What a message looks like: not like a name, which errors do show.
fn message() -> String {
    format!("I love my {CANARY}, don't you?")
}

const MODELS: &str = "
    CREATE TABLE texts AS SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || n AS body,
        CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label FROM generate_series(1, 100) AS n;
    SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes');
    SELECT train_sentiment('forest', 'texts', 'body', 'label', 'random_forest', '{\"trees\": 3}');
    CREATE FUNCTION pg_temp.nothing() RETURNS void LANGUAGE sql AS ''";

/// Calls with the text as `$1`, wherever a text can be given: those that answer and those that do not.
const CALLS: &[&str] = &[
    "SELECT sentiment($1), sentiment($1, 'm'), sentiment($1, 'auto')",
    "SELECT sentiment($1, 'nothing')",
    "SELECT sentiment($1, 'm@77')",
    "SELECT sentiment($1, 'm@x')",
    "SELECT sentiment('fine', $1)",
    "SELECT sentiment('fine', $1 || '@1')",
    "SELECT sentiment('fine', 'm@' || $1)",
    "SELECT sentiment_score($1), sentiment_score($1, 'nothing')",
    "SELECT sentiment_probability($1, 'positive')",
    "SELECT sentiment_probability($1, 'no such label')",
    "SELECT sentiment_probability('fine', $1)",
    "SELECT sentiment_detail($1), sentiment_json($1)",
    "SELECT sentiment_detail($1, 'nothing')",
    "SELECT sentiment_json('fine', $1)",
    "SELECT * FROM sentiment_batch(ARRAY[$1, NULL, $1])",
    "SELECT * FROM sentiment_batch(ARRAY[$1], 'nothing')",
    "SELECT * FROM sentiment_explain($1)",
    "SELECT * FROM sentiment_explain($1, 'm', -1)",
    "SELECT * FROM sentiment_tokens($1)",
    "SELECT * FROM sentiment_tokens($1, $1)",
    "SELECT sentiment_at($1, 'english@2')",
    "SELECT sentiment_at($1, 'm')",
    "SELECT sentiment_at($1, $1)",
    "SELECT sentiment_score_at($1, 'm@9')",
    "SELECT learn_sentiment('m', $1, 'positive')",
    "SELECT learn_sentiment('m', $1, $1)",
    "SELECT learn_sentiment($1, $1, 'positive')",
    "SELECT learn_sentiment('m', $1, NULL)",
    "SELECT learn_sentiment('english', $1, 'positive')",
    "SELECT learn_sentiment('m@1', $1, 'positive')",
    "SELECT refresh_sentiment('m') WHERE $1 <> ''",
    "SELECT refresh_sentiment($1)",
    "SELECT refresh_sentiment('forest') WHERE $1 <> ''",
    "SELECT set_sentiment_term('m', $1, 0.5)",
    "SELECT set_sentiment_term('m', 'lit', 7) WHERE $1 <> ''",
    "SELECT set_sentiment_term($1, $1, 0.5)",
    "SELECT deploy_sentiment($1, 1)",
    "SELECT rollback_sentiment($1)",
    "SELECT drop_sentiment($1)",
    "SELECT export_sentiment($1)",
    "SELECT import_sentiment($1, '\\x00')",
    "SELECT import_sentiment('i', convert_to($1, 'UTF8'))",
    "SELECT import_sentiment('i', export_sentiment('m') || convert_to($1, 'UTF8'))",
    "SELECT train_sentiment('t', 'messages', 'body', 'body') WHERE $1 <> ''",
    "SELECT train_sentiment('t', 'messages', 'body', 'sentiment') WHERE $1 <> ''",
    "SELECT train_sentiment($1, 'texts', 'body', 'label')",
    "SELECT train_sentiment('t', 'texts', 'body', 'label', $1)",
    "SELECT train_sentiment('t', 'texts', 'body', 'label', options => jsonb_build_object($1, 1))",
    "SELECT train_sentiment('t', 'texts', 'body', 'label', options => jsonb_build_object('language', $1))",
    "SELECT train_sentiment('t', 'texts', 'body', 'label', options => jsonb_build_object('label_scores', jsonb_build_object($1, 1)))",
    "SELECT train_sentiment('t', 'texts', 'body', 'label', options => to_jsonb($1))",
    "SELECT train_sentiment('t', 'texts', 'body', 'label', deploy => $1)",
    "SELECT * FROM evaluate_sentiment('m', 'messages', 'body', 'body') WHERE $1 <> ''",
    "SELECT * FROM confusion_sentiment($1, 'messages', 'body', 'body')",
    "SELECT * FROM drift_sentiment('m', 'messages', 'body') WHERE $1 <> ''",
    "SELECT * FROM drift_sentiment($1, 'messages', 'body')",
    "SELECT enable_sentiment('messages', 'body', $1)",
    "SELECT set_config('sentiment.default_model', $1, false)",
    "SELECT sentiment($1)",
    "SELECT set_config('sentiment.default_model', 'english', $1 = '')",
];

/// Tables that do not take a row, or not its score.
const TABLES: &str = "
    CREATE TABLE messages (body text);
    INSERT INTO messages SELECT 'I love my CANARY number ' || n FROM generate_series(1, 200) AS n;
    SELECT enable_sentiment('messages', 'body');
    CREATE TABLE gone (body text, sentiment text);
    CREATE TRIGGER score BEFORE INSERT ON gone FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'model=nothing');
    CREATE TABLE refused (LIKE gone);
    CREATE TRIGGER score BEFORE INSERT ON refused FOR EACH ROW
        EXECUTE FUNCTION sentiment_trigger('body', 'model=nothing', 'on_error=raise');
    CREATE TABLE misspelt (LIKE gone);
    CREATE TRIGGER score BEFORE INSERT ON misspelt FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'lable=x');
    CREATE TABLE narrow (body text, sentiment varchar(3));
    CREATE TRIGGER score BEFORE INSERT ON narrow FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'on_error=raise');
    CREATE TABLE narrow_too (LIKE narrow);
    CREATE TRIGGER score BEFORE INSERT ON narrow_too FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body');
    CREATE TABLE numbers (body int, sentiment text);
    CREATE TRIGGER score BEFORE INSERT ON numbers FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('sentiment', 'label=body');
    CREATE TABLE generated (body text, version text DEFAULT 'm@88', label text GENERATED ALWAYS AS (sentiment_at(body, version)) STORED);
    CREATE TABLE checked (body text CHECK (sentiment(body, 'nothing') IS NOT NULL));
    CREATE TABLE indexed (body text);
    CREATE INDEX ON indexed (sentiment_at(body, 'm@1' || CASE WHEN body = '' THEN '' ELSE '9' END));
    CREATE FUNCTION score() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        new.body := public.sentiment(new.body, 'nothing'); RETURN new; END $$;
    CREATE TABLE handmade (body text);
    CREATE TRIGGER score BEFORE INSERT ON handmade FOR EACH ROW EXECUTE FUNCTION score();
    CREATE TABLE dynamic (body text);
    CREATE FUNCTION score_dynamically() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        EXECUTE 'SELECT public.sentiment(' || quote_literal(new.body) || ', ''nothing'')'; RETURN new; END $$;
    CREATE TRIGGER score BEFORE INSERT ON dynamic FOR EACH ROW EXECUTE FUNCTION score_dynamically();
    CREATE TABLE trained (body text, sentiment text);
    CREATE TRIGGER score BEFORE INSERT ON trained FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'model=m');
    CREATE TABLE many (body text)";

const ROWS_TAKEN: [(&str, bool); 14] = [
    ("messages", true),
    ("gone", true),
    ("refused", false),
    ("misspelt", false),
    ("narrow", false),
    ("narrow_too", true),
    ("numbers", false),
    ("generated", false),
    ("checked", false),
    ("indexed", false),
    ("handmade", false),
    ("dynamic", false),
    ("trained", true),
    ("many", true),
];

/// The entries that hold a text.
fn leaks(server: &Server) -> Vec<Entry> {
    server.log().into_iter().filter(|entry| entry.text.contains(CANARY)).collect()
}

#[test]
fn no_text_is_logged() {
    let server = Server::start(&SETTINGS);
    for encoding in ["UTF8", "LATIN1"] {
        let mut database = Database::encoded_on(&server, encoding);
        database.run(MODELS);
        database.run(&TABLES.replace("CANARY", CANARY));
        called(&mut database);
        copied(&mut database);
        waited_for(&mut database);
        in_parallel(&mut database);
        rescored(&mut database);
        database.ask_all_so_far();
    }
    assert!(server.log().len() > 1_000, "debug5 says a lot: {}", server.log().len());
    assert!(leaks(&server).is_empty(), "{:#?}", leaks(&server));
}

fn called(database: &mut Database<'_>) {
    let message = message();
    let parameters: [&(dyn ToSql + Sync); 1] = [&message];
    for call in CALLS {
        if let Err(error) = database.client().query(*call, &parameters) {
            let shown = format!("{:?}", error.as_db_error().unwrap_or_else(|| panic!("{call}: {error}")));
            assert!(!shown.contains(CANARY), "{call}: {shown}");
        }
    }
}

/// Every table, by COPY and by INSERT.
fn copied(database: &mut Database<'_>) {
    for (table, taken) in ROWS_TAKEN {
        let column = if table == "numbers" { "sentiment" } else { "body" };
        let insert = format!("INSERT INTO {table} ({column}) VALUES ($1)");
        let inserted = database.client().execute(&insert, &[&message()]);
        assert_eq!(inserted.is_ok(), taken, "{insert}: {inserted:?}");
        let copy = format!("COPY {table} ({column}) FROM STDIN");
        let mut writer = database.client().copy_in(&copy).unwrap();
        let sent = (0..50).try_for_each(|at| writeln!(writer, "{} {at}", message()));
        let done = sent
            .map_err(|error| error.to_string())
            .and_then(|()| writer.finish().map_err(|error| format!("{error:?}")));
        assert_eq!(done.is_ok(), taken, "{copy}: {done:?}");
        let shown = done.err().unwrap_or_default();
        assert!(!shown.contains(CANARY), "{copy}: {shown}");
    }
}

/// A trigger that waits for the registry in the middle of a COPY: the server says so, with where it is. Then it is told to stop.
fn waited_for(database: &mut Database<'_>) {
    for stopped in [false, true] {
        let mut copying = database.connect("postgres");
        // From debug3 on the server says where it looks for a function that a row of a COPY is the first to need.
        copying.batch_execute("INSERT INTO messages VALUES ('fine')").unwrap();
        let mut holder = database.connect("postgres");
        holder.batch_execute("BEGIN; LOCK TABLE sentiment.model").unwrap();
        copying
            .batch_execute(if stopped { "SET lock_timeout = '1s'" } else { "SET lock_timeout = 0" })
            .unwrap();
        let before = waits(database.server());
        let worker = std::thread::spawn(move || {
            let mut writer = copying.copy_in("COPY trained (body) FROM STDIN").unwrap();
            writeln!(writer, "{}", message()).unwrap();
            writer.finish().map(drop).map_err(|error| error.to_string())
        });
        let begin = Instant::now();
        while waits(database.server()) == before {
            assert!(begin.elapsed() < Duration::from_secs(60), "nobody waits");
            std::thread::sleep(Duration::from_millis(50));
        }
        if !stopped {
            holder.batch_execute("COMMIT").unwrap();
        }
        // Not to find the model in time is an error that a trigger warns of, or one that ends the statement.
        let ended = worker.join().unwrap();
        assert_eq!(ended.is_err(), stopped, "{ended:?}");
    }
}

fn waits(server: &Server) -> usize {
    server.log().iter().filter(|entry| entry.text.contains("still waiting for AccessShareLock")).count()
}

/// An error in a parallel worker comes twice, with the leader's context.
fn in_parallel(database: &mut Database<'_>) {
    let rows = format!(
        "INSERT INTO many SELECT '{} ' || n FROM generate_series(1, 20000) AS n",
        message().replace('\'', "''")
    );
    database.run(&rows);
    database.run(
        "ANALYZE many; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
         SET max_parallel_workers_per_gather = 2",
    );
    database.run("SELECT count(sentiment(body)) FROM many");
    for call in [
        "SELECT count(sentiment(body, 'nothing')) FROM many",
        "SELECT count(sentiment(body, body)) FROM many",
        "SELECT count(sentiment_probability(body, body)) FROM many",
    ] {
        let failure = database.failure(call);
        assert!(!format!("{failure:?}").contains(CANARY), "{failure:?}");
    }
}

/// Rows that are there already.
fn rescored(database: &mut Database<'_>) {
    for call in [
        "UPDATE messages SET sentiment_version = NULL; CALL rescore_sentiment('messages')",
        "ALTER TABLE messages ALTER sentiment TYPE varchar(3) USING NULL; CALL rescore_sentiment('messages')",
        "SELECT enable_sentiment('messages', 'body')",
        "SELECT enable_sentiment('messages', 'no such column')",
        "ALTER TABLE messages ALTER sentiment TYPE text; SELECT enable_sentiment('messages', 'body', 'nothing')",
        "SELECT stale_sentiment('messages')",
        "SET statement_timeout = '1ms'; SELECT enable_sentiment('many', 'body')",
        "RESET statement_timeout; SELECT disable_sentiment('messages', true)",
    ] {
        for statement in call.split("; ") {
            // Whether it fails is other tests' matter.
            let _ = database.client().batch_execute(statement);
        }
    }
}

/// The background worker warns of what it cannot do: of a model that is called like a message, with messages to learn from.
#[test]
fn the_worker_logs_no_text() {
    let server = Server::start(&SETTINGS);
    let mut database = Database::on(&server);
    database.run(MODELS);
    let message = message();
    for call in [
        "SELECT import_sentiment($1, export_sentiment('m'))",
        "SELECT deploy_sentiment($1, 1)",
        "SELECT learn_sentiment($1, $1, 'positive')",
        "SELECT learn_sentiment('m', $1, 'positive')",
        // As a label was filed that the deployed version does not have.
        "WITH filed AS (INSERT INTO sentiment.feedback (model, body, label, created_by) VALUES ('m', $1, $1, '') RETURNING id)
         INSERT INTO sentiment.unlearned SELECT 'm', id FROM filed",
    ] {
        database.client().query(call, &[&message]).unwrap();
    }
    let broken =
        "DELETE FROM sentiment.part WHERE id = (SELECT parts[1] FROM sentiment.version WHERE model = $1)";
    database.client().execute(broken, &[&message]).unwrap();
    database.run(&format!("ALTER SYSTEM SET sentiment.refresh_databases = '{}'", database.name().to_owned()));
    database.run("ALTER SYSTEM SET sentiment.refresh_interval = '50ms'");
    database.run("SELECT pg_reload_conf()");
    let begin = Instant::now();
    let warned = |entry: &Entry| entry.text.contains("refreshing model (a name of");
    while !server.log().iter().any(warned)
        || database.value::<i64>("SELECT count(*) FROM sentiment.versions WHERE model = 'm'") < 2
    {
        assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", server.log().last());
        std::thread::sleep(Duration::from_millis(100));
    }
    database.ask_all_so_far();
    assert!(leaks(&server).is_empty(), "{:#?}", leaks(&server));
}
