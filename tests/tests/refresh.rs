//! Learning every few seconds: what a refresh costs, who sees it when, that the registry does not grow without end, and the
//! background worker that does it.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use sentiment_tests::{Database, Entry, Level, Server, note};

/// Made-up messages of a vocabulary in which a few words are frequent and most are rare; `from` on, `rows` of them.
fn messages(from: usize, rows: usize) -> String {
    let last = from + rows - 1;
    format!(
        "SELECT (CASE WHEN n % 3 = 0 THEN 'sunny ' WHEN n % 3 = 1 THEN 'rainy ' ELSE 'cloudy ' END)
                || (SELECT string_agg('w' || floor(exp(10 * abs(hashint8extended(n * 17 + w, 1) % 100000) / 100000.0)), ' ')
                    FROM generate_series(1, 14) AS w) AS body,
                (ARRAY['positive', 'negative', 'neutral'])[n % 3 + 1] AS label
         FROM generate_series({from}::bigint, {last}) AS n"
    )
}

fn teach(model: &str, from: usize, rows: usize) -> String {
    format!("SELECT count(learn_sentiment('{model}', body, label)) FROM ({}) AS m", messages(from, rows))
}

/// Bytes of WAL written so far.
const WAL: &str = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint";

/// 1,000 examples on a model of 30,000 rows: at most 1 MB of WAL, and the next statement of another session knows.
#[test]
fn what_a_refresh_costs() {
    let server = Server::start(&["full_page_writes=on", "maintenance_work_mem=1GB"]);
    let mut database = Database::on(&server);
    database.run(&format!("CREATE TABLE texts AS {}", messages(1, 30_000)));
    for (model, algorithm) in [("bayes", "naive_bayes"), ("logistic", "logistic_regression")] {
        let trained = database.rows(&format!(
            "SELECT bytes FROM train_sentiment('{model}', 'texts', 'body', 'label', '{algorithm}', '{{\"folds\": 2}}')"
        ));
        let bytes: i64 = trained[0].get(0);
        let mut other = database.connect("postgres");
        let mut ask = |text: &str| -> String {
            other.query_one("SELECT sentiment($1, $2)", &[&text, &model]).unwrap().get(0)
        };
        ask("a word");
        let (mut slowest, mut most) = (0.0_f64, 0);
        for round in 0..5 {
            database.run(&teach(model, 100_000 * (round + 1), 1_000));
            database.run(&format!("SELECT learn_sentiment('{model}', 'quokka{round} quokka{round}', 'negative') FROM generate_series(1, 9)"));
            let before: i64 = database.value(WAL);
            let row =
                database.rows(&format!("SELECT rows_used, refresh_ms FROM refresh_sentiment('{model}')"));
            let wal = database.value::<i64>(WAL) - before;
            assert_eq!(row[0].get::<_, i64>(0), 1_009);
            assert_eq!(ask(&format!("quokka{round}")), "negative", "{algorithm}: the next statement knows");
            slowest = slowest.max(row[0].get(1));
            most = most.max(wal);
        }
        note(&format!(
            "{algorithm}, {bytes} bytes: a refresh with 1,000 examples took up to {slowest:.1} ms and {most} bytes of WAL"
        ));
        assert!(most < 1_000_000, "{algorithm}: {most} bytes of WAL");
    }
}

/// Hundreds of refreshes: versions are pruned, deltas are merged and taken into their base, and learning goes on.
#[test]
fn the_registry_stays_bounded() {
    let mut database = Database::new();
    database.run(&format!("CREATE TABLE texts AS {}", messages(1, 1_000)));
    for algorithm in ["naive_bayes", "logistic_regression"] {
        database.run(&format!(
            "SELECT train_sentiment('m', 'texts', 'body', 'label', '{algorithm}', '{{\"keep_versions\": 5}}')"
        ));
        let mut sizes = Vec::new();
        for round in 1..=240 {
            database.run(&teach("m", 1_000 * round, 50));
            database.run("SELECT refresh_sentiment('m')");
            if round % 40 == 0 {
                database
                    .run("VACUUM sentiment.part, sentiment.version, sentiment.deployment, sentiment.model");
                sizes.push(database.value::<i64>(
                    "SELECT sum(pg_total_relation_size(r))::bigint FROM unnest(ARRAY['sentiment.part', 'sentiment.version',
                     'sentiment.deployment', 'sentiment.model']::regclass[]) AS r",
                ));
            }
        }
        note(&format!("{algorithm}: the registry's size every 40 refreshes: {sizes:?}"));
        assert!(sizes[5] < sizes[2] + sizes[2] / 2, "{algorithm}: {sizes:?}");
        let versions = "SELECT count(*) FROM sentiment.version";
        assert_eq!(database.value::<i64>(versions), 5, "{algorithm}");
        let parts = "SELECT max(cardinality(parts)) FROM sentiment.version";
        assert!(database.value::<i32>(parts) <= 12, "{algorithm}");
        let missing = "SELECT count(*) FROM sentiment.part AS p WHERE NOT EXISTS (
            SELECT FROM sentiment.version AS v WHERE p.id = ANY (v.parts))";
        assert_eq!(database.value::<i64>(missing), 0, "{algorithm}: parts that nothing needs are gone");
        assert_eq!(database.value::<String>("SELECT sentiment('sunny sunny', 'm')"), "positive");
        database.run("SELECT drop_sentiment('m')");
    }
}

/// Long texts take memory: what is more than one refresh should hold waits for the next.
#[test]
fn a_refresh_takes_so_many_bytes() {
    let mut database = Database::new();
    database.run(&format!("CREATE TABLE texts AS {}", messages(1, 300)));
    database.run("SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes')");
    database.run("SELECT learn_sentiment('m', repeat('sunny rainy ', 5400) || n, 'positive') FROM generate_series(1, 400) AS n");
    let refresh = "SELECT rows_used FROM refresh_sentiment('m')";
    let (first, second, third): (i64, i64, i64) =
        (database.value(refresh), database.value(refresh), database.value(refresh));
    assert!((200..300).contains(&first), "{first}");
    assert_eq!((first + second, third), (400, 0));
    assert_eq!(database.value::<i64>("SELECT count(*) FROM sentiment.unlearned"), 0);
}

/// What no version has a label for stays in the queue, and must not keep what is behind it, however much it is.
#[test]
fn what_cannot_be_learned_is_passed_by() {
    let mut database = Database::new();
    database.run(&format!("CREATE TABLE texts AS {}", messages(1, 100)));
    database.rows("SELECT train_sentiment('m', 'texts', 'body', 'label')");
    database.run(
        "WITH filed AS (INSERT INTO sentiment.feedback (model, body, label, created_by)
             SELECT 'm', 'a word', CASE WHEN n <= 2500 THEN 'gone' ELSE 'positive' END, 'postgres'
             FROM generate_series(1, 2510) AS n RETURNING id)
         INSERT INTO sentiment.unlearned SELECT model, id FROM filed, (VALUES ('l'), ('m'), ('n')) AS models (model)",
    );
    for used in [6, 4, 0] {
        let refreshed = "SELECT rows_used FROM refresh_sentiment('m', 6)";
        assert_eq!(database.value::<i64>(refreshed), used);
    }
    let left = "SELECT array_agg(n ORDER BY model) FROM (SELECT model, count(*) AS n FROM sentiment.unlearned GROUP BY model) AS q";
    assert_eq!(database.value::<Vec<i64>>(left), [2510, 2500, 2510], "other models' are theirs");
}

/// A session keeps the plan by which it files: also over what it rests on.
#[test]
fn filing_goes_on_where_the_extension_is_made_anew() {
    let mut database = Database::new();
    database.run(&format!("CREATE TABLE texts AS {}", messages(1, 100)));
    let file = "SELECT learn_sentiment('m', 'a word', 'positive') FROM generate_series(1, 20)";
    for round in 1..=2 {
        database.run("DROP EXTENSION pg_sentiment; CREATE EXTENSION pg_sentiment");
        database.refuses("42704", file);
        database.rows("SELECT train_sentiment('m', 'texts', 'body', 'label')");
        database.run(file);
        assert_eq!(database.value::<i64>("SELECT count(*) FROM sentiment.unlearned"), 20);
        database.refuses("22023", "SELECT learn_sentiment('m', 'a word', 'sunny')");
        database.run("ALTER TABLE sentiment.feedback ADD COLUMN note text");
        database.run(file);
        assert_eq!(database.value::<i64>("SELECT count(*) FROM sentiment.feedback"), 40, "{round}");
    }
}

/// What waits is filed faster than it is analysed: a refresh goes along the queue, and reads no more of it than it takes.
#[test]
fn a_refresh_reads_what_it_takes() {
    let server = Server::start(&["autovacuum=off"]);
    let mut database = Database::on(&server);
    database.run(&format!("CREATE TABLE texts AS {}", messages(1, 100)));
    database.rows("SELECT train_sentiment('m', 'texts', 'body', 'label')");
    database.run(
        "WITH filed AS (INSERT INTO sentiment.feedback (model, body, label, created_by)
             SELECT 'm', 'a word', 'positive', 'postgres' FROM generate_series(1, 200000) RETURNING id)
         INSERT INTO sentiment.unlearned SELECT 'm', id FROM filed",
    );
    database.run("BEGIN");
    assert_eq!(database.value::<i64>("SELECT rows_used FROM refresh_sentiment('m', 100)"), 100);
    let read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'feedback'";
    let read: i64 = database.value(read);
    database.run("COMMIT");
    assert!(read < 10_000, "{read} examples were read");
}

/// Shorthand for a question that is asked until it has the right answer.
fn until(what: &str, client: &mut Client, sql: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while !client.query_one(sql, &[]).unwrap().get::<_, bool>(0) {
        assert!(Instant::now() < end, "{what}: not within a minute");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Models that go on learning and models that do not, with something new to each.
const MODELS: &str = "CREATE TABLE texts AS SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || n AS body,
                 CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label FROM generate_series(1, 100) AS n;
             SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes');
             SELECT train_sentiment('forest', 'texts', 'body', 'label', 'random_forest', '{\"trees\": 5}');
             SELECT learn_sentiment('m', 'foggy', 'negative') FROM generate_series(1, 20);
             SELECT learn_sentiment('forest', 'foggy', 'negative');
             SELECT import_sentiment('network', export_sentiment('english')), deploy_sentiment('network', 1),
                 learn_sentiment('network', 'foggy', 'negative')";

/// Preloaded, the library refreshes by itself: the databases that are listed, while they are.
#[test]
fn a_background_worker_refreshes() {
    let server =
        Server::start(&["shared_preload_libraries=pg_sentiment", "sentiment.refresh_interval=100ms"]);
    let (mut listed, mut other) = (Database::on(&server), Database::on(&server));
    let list = |databases: &str| {
        let mut client = server.connect("postgres", "postgres");
        client
            .batch_execute(&format!("ALTER SYSTEM SET sentiment.refresh_databases = '{databases}'"))
            .unwrap();
        client.batch_execute("SELECT pg_reload_conf()").unwrap();
    };
    for database in [&mut listed, &mut other] {
        database.run(MODELS);
    }
    list(&format!("{}, nowhere_to_be_found", listed.name()));
    let refreshed =
        "SELECT current_version > 1 AND current_version = last_version FROM sentiment.model WHERE name = 'm'";
    until("a refresh", listed.client(), refreshed);
    assert_eq!(listed.value::<String>("SELECT sentiment('foggy', 'm')"), "negative");
    listed.run("SELECT set_sentiment_term('m', 'stellar', 1)");
    until("a term of the user's own", listed.client(), "SELECT sentiment('stellar', 'm') = 'positive'");
    let still = "SELECT count(*) FROM sentiment.unlearned WHERE model IN ('forest', 'network')";
    assert_eq!(
        listed.value::<i64>(still),
        2,
        "what does not go on learning waits for its next training, unwarned"
    );

    // What cannot be refreshed is a warning, and the others go on.
    listed.run("SELECT import_sentiment('broken', export_sentiment('m')); SELECT deploy_sentiment('broken', 1);
        UPDATE sentiment.part SET payload = set_byte(payload, 1000, 255 - get_byte(payload, 1000))
        WHERE id = (SELECT parts[1] FROM sentiment.version WHERE model = 'broken');
        SELECT learn_sentiment('broken', 'foggy', 'negative'); SELECT learn_sentiment('m', 'gusty', 'negative')");
    until(
        "a refresh beside a damaged model",
        listed.client(),
        "SELECT count(*) = 0 FROM sentiment.unlearned WHERE model = 'm'",
    );
    let warned =
        |entry: &Entry| entry.process == "pg_sentiment refresh" && entry.level == Some(Level::Warning);
    let warnings: Vec<Entry> = server.log().into_iter().filter(warned).collect();
    assert_eq!(warnings.len(), 1, "said once a minute, not ten times a second: {warnings:?}");
    assert!(warnings[0].state == "XX001" && warnings[0].text.contains(listed.name()), "{warnings:?}");
    // A worker's log lines name no database: both have to account for it.
    listed.ask(Level::Warning, "XX001");
    other.ask(Level::Warning, "XX001");
    let worker = "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_sentiment refresh'";
    until("the worker", listed.client(), worker);

    // One whose database is not listed any more goes.
    assert_eq!(other.value::<i32>("SELECT current_version FROM sentiment.model WHERE name = 'm'"), 1);
    list(other.name());
    until("the other database's turn", other.client(), refreshed);
    let gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'pg_sentiment refresh' AND datname <> current_database()";
    until("the end of the first worker", other.client(), gone);
    list("");
    until(
        "the end of the worker",
        other.client(),
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'pg_sentiment refresh'",
    );
}

/// A name that is longer than the server's is cut as the server cuts it, and leads nowhere else.
#[test]
fn long_names_of_databases_are_cut() {
    let listed = format!("sentiment.refresh_databases={}", "x".repeat(200));
    let server = Server::start(&[
        "shared_preload_libraries=pg_sentiment",
        "sentiment.refresh_interval=100ms",
        &listed,
    ]);
    let nowhere = |entry: &Entry| entry.process == "pg_sentiment refresh" && entry.state == "3D000";
    let end = Instant::now() + Duration::from_secs(30);
    while !server.log().iter().any(nowhere) {
        assert!(Instant::now() < end, "no worker looked for the database");
        thread::sleep(Duration::from_millis(20));
    }
    let log = server.log();
    let name = format!("\"{}\"", "x".repeat(63));
    assert!(log.iter().filter(|entry| nowhere(entry)).all(|entry| entry.text.contains(&name)), "{log:?}");
}

/// Databases may be called anything. The worker's own complaint says which one it looked for.
#[test]
fn names_of_databases_may_be_quoted() {
    let server = Server::start(&[
        "shared_preload_libraries=pg_sentiment",
        "sentiment.refresh_interval=100ms",
        r#"sentiment.refresh_databases="shop, berlin", Plain one ,," ""spaced"" ",in"side"#,
    ]);
    let end = Instant::now() + Duration::from_secs(30);
    for name in ["shop, berlin", "Plain one", " \"spaced\" ", "in\"side"] {
        let looked_for = format!("database \"{name}\" does not exist");
        while !server.log().iter().any(|entry| entry.state == "3D000" && entry.text.contains(&looked_for)) {
            assert!(Instant::now() < end, "no worker looked for {name}: {:?}", server.log());
            thread::sleep(Duration::from_millis(20));
        }
    }
    let nowhere = server.log().into_iter().filter(|entry| entry.state == "3D000").count();
    assert_eq!(nowhere, 4, "{:?}", server.log());
    let mut client = server.connect("postgres", "postgres");
    for bad in [r#""open"#, r#""app"s"#, r#"a, "b"""#] {
        let refused = client
            .batch_execute(&format!("ALTER SYSTEM SET sentiment.refresh_databases = '{bad}'"))
            .unwrap_err();
        let refused = refused.as_db_error().unwrap();
        assert!(refused.code().code() == "22023" && refused.hint().is_some(), "{refused:?}");
    }
}

/// Whoever cancels what a worker does finds it at rest most often: it had ended, and come back only a minute later.
#[test]
fn a_worker_outlives_cancels() {
    let server = Server::start(&["shared_preload_libraries=pg_sentiment", "sentiment.refresh_interval=1s"]);
    let mut database = Database::on(&server);
    database.run(MODELS);
    let mut client = server.connect("postgres", "postgres");
    let list = format!("ALTER SYSTEM SET sentiment.refresh_databases = '{}'", database.name());
    client.batch_execute(&list).unwrap();
    client.batch_execute("SELECT pg_reload_conf()").unwrap();
    let learned = "SELECT count(*) = 0 FROM sentiment.unlearned WHERE model = 'm'";
    until("a refresh", database.client(), learned);
    let worker = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_sentiment refresh'";
    let pid: i32 = database.value(worker);
    // Not just before its next look, which a cancel would end.
    let rests = "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_sentiment refresh' AND state = 'idle'
        AND clock_timestamp() - state_change BETWEEN '100ms' AND '500ms'";
    for _ in 0..3 {
        until("rest", database.client(), rests);
        database.run(&format!("SELECT pg_cancel_backend({pid})"));
    }
    database.run("SELECT learn_sentiment('m', 'gusty', 'negative')");
    until("the next refresh", database.client(), learned);
    assert_eq!(database.value::<i32>(worker), pid);
    // On a busy machine a cancel may come late, when it looks again.
    database.ask(Level::Warning, "57014");
}

/// What somebody has locked for long is left for later. And what the worker's sessions would begin with does not stop it.
#[test]
fn a_locked_model_keeps_no_other_waiting() {
    let server =
        Server::start(&["shared_preload_libraries=pg_sentiment", "sentiment.refresh_interval=100ms"]);
    let mut database = Database::on(&server);
    database.run(MODELS);
    database.run("SELECT import_sentiment('a', export_sentiment('m')), deploy_sentiment('a', 1), learn_sentiment('a', 'foggy', 'negative')");
    database.run(&format!(
        "ALTER DATABASE {0} SET default_transaction_read_only = on;
         ALTER DATABASE {0} SET default_transaction_isolation = 'serializable'",
        database.name()
    ));
    let mut holder = server.connect("postgres", "postgres");
    holder
        .batch_execute(&format!("ALTER SYSTEM SET sentiment.refresh_databases = '{}'", database.name()))
        .unwrap();
    database.run("BEGIN; SELECT deploy_sentiment('a', 1)");
    let mut other = server.connect(database.name(), "postgres");
    holder.batch_execute("SELECT pg_reload_conf()").unwrap();
    until(
        "a refresh beside a locked model",
        &mut other,
        "SELECT current_version > 1 FROM sentiment.model WHERE name = 'm'",
    );
    let still = "SELECT count(*) > 0 FROM sentiment.unlearned WHERE model = 'a'";
    assert!(other.query_one(still, &[]).unwrap().get::<_, bool>(0));
    database.run("COMMIT");
    database.ask_all_so_far();
    database.ask(Level::Warning, "55P03");
}

/// What is filed, learned and set while a training runs is not forgotten when that is deployed.
#[test]
fn what_comes_while_training_is_kept() {
    let mut database = Database::new();
    database.run(MODELS);
    database.run(
        "CREATE FUNCTION wait() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
             PERFORM pg_advisory_xact_lock_shared(1);
             RETURN true;
         END $$;
         CREATE VIEW slow AS SELECT * FROM texts WHERE wait();
         SELECT pg_advisory_lock(1)",
    );
    let mut trainer = database.connect("postgres");
    let train = "SELECT train_sentiment('m', 'slow', 'body', 'label', 'naive_bayes', deploy => 'always')";
    let training = thread::spawn(move || trainer.batch_execute(train).unwrap());
    let waits = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    until("the training", database.client(), waits);
    database.run(
        "SELECT learn_sentiment('m', 'quokka', 'negative') FROM generate_series(1, 20);
         SELECT refresh_sentiment('m');
         SELECT learn_sentiment('m', 'wombat', 'negative') FROM generate_series(1, 10);
         SELECT set_sentiment_term('m', 'stellar', 1)",
    );
    database.run("SELECT pg_advisory_unlock(1)");
    training.join().unwrap();
    assert_eq!(database.value::<i32>("SELECT current_version FROM sentiment.model WHERE name = 'm'"), 3);
    assert!(database.value::<bool>("SELECT terms_changed FROM sentiment.model WHERE name = 'm'"));
    assert_eq!(database.value::<i64>("SELECT rows_used FROM refresh_sentiment('m')"), 30);
    let labels = "SELECT concat_ws(' ', sentiment('quokka', 'm'), sentiment('wombat', 'm'), sentiment('stellar', 'm'))";
    assert_eq!(database.value::<String>(labels), "negative negative positive");
}

/// A version that is deployed by hand after its training has learned what it was trained on, and nothing that came since. Who goes back
/// to it later has nothing filed anew.
#[test]
fn what_was_trained_on_is_not_learned_twice() {
    let mut database = Database::new();
    database.run(MODELS);
    database.run(
        "SELECT learn_sentiment('m', 'quokka', 'negative') FROM generate_series(1, 20);
         SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes', deploy => 'never');
         SELECT learn_sentiment('m', 'wombat', 'negative') FROM generate_series(1, 10)",
    );
    let refresh = "SELECT rows_used FROM refresh_sentiment('m')";
    assert_eq!(database.value::<i64>(refresh), 50, "all is new to the version before");
    database.run("SELECT deploy_sentiment('m', 2)");
    assert_eq!(database.value::<i64>(refresh), 10, "what version 2 was not trained on");
    database.run("SELECT deploy_sentiment('m', 2)");
    assert_eq!(database.value::<i64>(refresh), 0, "what a version gone back to has not learned");
}

/// The same of more examples than a text holds numbers that is read as texts to score are.
#[test]
fn nothing_of_much_feedback_is_learned_twice() {
    let mut database = Database::new();
    database.run(MODELS);
    database.run(
        "INSERT INTO sentiment.feedback (model, body, label, created_by)
             SELECT 'm', 'quokka ' || n, 'negative', 'somebody' FROM generate_series(1, 20000) AS n;
         INSERT INTO sentiment.unlearned SELECT model, id FROM sentiment.feedback ON CONFLICT DO NOTHING;
         SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes', deploy => 'never');
         SELECT deploy_sentiment('m', 2)",
    );
    assert_eq!(database.value::<i64>("SELECT count(*) FROM sentiment.unlearned WHERE model = 'm'"), 0);
}

/// A term that is set while a refresh is not committed yet is in the next one.
#[test]
fn a_term_that_is_set_beside_a_refresh_is_kept() {
    let mut database = Database::new();
    database.run(MODELS);
    database.run("SELECT set_sentiment_term('m', 'lunar', -1)");
    let mut refreshing = database.connect("postgres");
    refreshing.batch_execute("BEGIN; SELECT refresh_sentiment('m')").unwrap();
    let mut setting = database.connect("postgres");
    let setting =
        thread::spawn(move || setting.batch_execute("SELECT set_sentiment_term('m', 'stellar', 1)").unwrap());
    let waits = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    until("whoever sets it", database.client(), waits);
    refreshing.batch_execute("COMMIT").unwrap();
    setting.join().unwrap();
    assert!(database.value::<bool>("SELECT terms_changed FROM sentiment.model WHERE name = 'm'"));
    database.run("SELECT refresh_sentiment('m')");
    assert_eq!(database.value::<String>("SELECT sentiment('stellar', 'm')"), "positive");
}

/// A transaction whose snapshot is older than a model says so, and does not take it for another or for none.
#[test]
fn what_was_made_meanwhile_is_said_to_be() {
    let mut database = Database::new();
    database.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    let mut other = database.connect("postgres");
    other.batch_execute(MODELS).unwrap();
    for call in [
        "drop_sentiment('m')",
        "deploy_sentiment('m', 1)",
        "rollback_sentiment('m')",
        "refresh_sentiment('m')",
        "learn_sentiment('m', 'foggy', 'negative')",
        "set_sentiment_term('m', 'stellar', 1)",
    ] {
        database.run("SAVEPOINT before");
        database.refuses("40001", &format!("SELECT {call}"));
        database.run("ROLLBACK TO before");
    }
    database.refuses("42704", "SELECT drop_sentiment('n')");
    database.run("ROLLBACK");
}

/// Without preloading the settings can be read, and no session can change them.
#[test]
fn the_workers_settings_are_the_servers() {
    let mut database = Database::new();
    database.run("SELECT sentiment('good')");
    assert_eq!(database.value::<String>("SELECT current_setting('sentiment.refresh_interval')"), "0");
    assert_eq!(database.failure("SET sentiment.refresh_interval = 100").state, "55P02");
    assert_eq!(database.failure("SET sentiment.refresh_databases = 'x'").state, "55P02");
}
