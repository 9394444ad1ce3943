//! Copies of a server: standbys under load, recovery to a point in time, subscribers.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use postgres::error::SqlState;
use sentiment_tests::{Server, asked_for, note, trouble};

/// Texts of which every model can learn, right and wrong way round; a table that is scored. A model that is large enough to be
/// shared.
const SCENE: &str = "
    CREATE EXTENSION pg_sentiment;
    CREATE TABLE texts AS
    SELECT CASE WHEN n % 2 = 0 THEN 'sunny ' ELSE 'rainy ' END || md5(n::text) AS body,
           CASE WHEN n % 2 = 0 THEN 'good' ELSE 'bad' END AS label,
           CASE WHEN n % 2 = 0 THEN 'bad' ELSE 'good' END AS other
    FROM generate_series(1, 4000) AS n;
    SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes', '{\"min_texts\": 1, \"folds\": 2}');
    CREATE TABLE messages (id int PRIMARY KEY, body text);
    SELECT enable_sentiment('messages', 'body', 'm')";

const OPTIONS: &str = "'{\"min_texts\": 1, \"folds\": 2}'";

fn one<T: postgres::types::FromSqlOwned>(client: &mut Client, sql: &str) -> T {
    client.query_one(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

/// Asks until the answer is yes.
fn until(what: &str, client: &mut Client, sql: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while !client.query_one(sql, &[]).is_ok_and(|row| row.get::<_, Option<bool>>(0) == Some(true)) {
        assert!(Instant::now() < end, "{what}: not within a minute");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a standby has all that is written so far.
fn catch_up(primary: &mut Client, standby: &mut Client) {
    let position: String = one(primary, "SELECT pg_current_wal_insert_lsn()::text");
    until("the standby", standby, &format!("SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn"));
}

/// What everything that is stored says, to be compared between servers.
const CONTENT: &str = "
    SELECT concat((SELECT string_agg(v::text, ' ' ORDER BY v) FROM sentiment.version AS v),
        (SELECT string_agg(m::text, ' ' ORDER BY m) FROM sentiment.model AS m),
        (SELECT string_agg(id || md5(payload), ' ' ORDER BY id) FROM sentiment.part),
        (SELECT string_agg(m::text, ' ' ORDER BY id) FROM messages AS m))";

/// Reads on a standby until it is told to stop; how often it did, and how often a recovery that could not wait ended that.
fn read(mut client: Client, done: &AtomicBool) -> (u32, u32) {
    let (mut reads, mut conflicts, mut last) = (0, 0, 0);
    while !done.load(Ordering::Relaxed) {
        match client.query_one(
            "SELECT split_part(model_version, '@', 2)::int, label FROM sentiment_detail('sunny', 'm')",
            &[],
        ) {
            Ok(row) => {
                let (number, label): (i32, String) = (row.get(0), row.get(1));
                // Odd versions have learned it right.
                assert_eq!(label, if number % 2 == 1 { "good" } else { "bad" }, "m@{number}");
                assert!(number >= last, "m@{number} after m@{last}");
                (reads, last) = (reads + 1, number);
            }
            Err(error) => {
                assert_eq!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{error:?}");
                conflicts += 1;
            }
        }
    }
    (reads, conflicts)
}

/// A model a second on the primary, sessions that score on the standby all the time, and through its promotion; then the standby
/// is a primary with everything.
#[test]
fn a_standby_under_load_and_its_promotion() {
    let primary = Server::start(&["wal_level=replica"]);
    let mut writer = primary.connect("postgres", "postgres");
    writer.batch_execute(SCENE).unwrap();
    let standby = primary.standby();
    let mut asker = standby.connect("postgres", "postgres");
    until("the standby", &mut asker, "SELECT sentiment('sunny', 'm') = 'good'");
    let done = AtomicBool::new(false);
    let seconds = asked_for("SECONDS", 6);
    let (reads, conflicts) = thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| standby.connect("postgres", "postgres"))
            .map(|reader| scope.spawn(|| read(reader, &done)))
            .collect();
        for second in 1..=seconds {
            let begun = Instant::now();
            let label = if second % 2 == 1 { "other" } else { "label" };
            let train = format!(
                "SELECT train_sentiment('m', 'texts', 'body', '{label}', 'naive_bayes', {OPTIONS}, deploy => 'always')"
            );
            writer.batch_execute(&train).unwrap();
            writer
                .batch_execute(&format!("INSERT INTO messages VALUES ({second}, 'sunny or rainy')"))
                .unwrap();
            thread::sleep(Duration::from_secs(1).saturating_sub(begun.elapsed()));
        }
        catch_up(&mut writer, &mut asker);
        let content: String = one(&mut writer, CONTENT);
        primary.kill_all();
        asker.batch_execute("SELECT pg_promote()").unwrap();
        until("the promotion", &mut asker, "SELECT NOT pg_is_in_recovery()");
        assert_eq!(one::<String>(&mut asker, CONTENT), content, "nothing is lost");
        // The next version is even or odd as the last label says.
        let label = if seconds % 2 == 1 { "label" } else { "other" };
        let train = format!(
            "SELECT train_sentiment('m', 'texts', 'body', '{label}', 'naive_bayes', {OPTIONS}, deploy => 'always')"
        );
        asker.batch_execute(&train).unwrap();
        thread::sleep(Duration::from_millis(200));
        done.store(true, Ordering::Relaxed);
        let counts: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        (counts.iter().map(|count| count.0).sum::<u32>(), counts.iter().map(|count| count.1).sum::<u32>())
    });
    note(&format!(
        "{seconds} models in {seconds} s: 4 sessions on the standby scored {reads} times, {conflicts} ended by recovery"
    ));
    let scored = "SELECT count(*) FROM messages WHERE sentiment = sentiment_at(body, sentiment_version)";
    assert_eq!(one::<i64>(&mut asker, scored), i64::try_from(seconds).unwrap());
    asker
        .batch_execute(
            "SELECT learn_sentiment('m', 'foggy', 'bad'), refresh_sentiment('m'), rollback_sentiment('m')",
        )
        .unwrap();
    asker.batch_execute("CALL rescore_sentiment('messages')").unwrap();
    let found = trouble(&standby.log(), &["40001", "08006", "57P01", "57P03"]);
    assert!(found.iter().all(|entry| entry.process == "walreceiver"), "{found:#?}");
}

/// Recovered to before a deployment, the old version is live and the new one waits; to after it, the new one is live.
#[test]
fn recovery_to_before_and_after_a_deployment() {
    let primary = Server::start(&[
        "wal_level=replica",
        "archive_mode=on",
        "archive_command=mkdir -p archive && cp %p archive/%f",
    ]);
    let mut client = primary.connect("postgres", "postgres");
    client.batch_execute(SCENE).unwrap();
    let backups = ["before", "after", "dropped"].map(|point| (point, primary.backup()));
    client.batch_execute(&format!("SELECT train_sentiment('m', 'texts', 'body', 'other', 'naive_bayes', {OPTIONS}, deploy => 'never')")).unwrap();
    client.batch_execute("INSERT INTO messages VALUES (1, 'sunny')").unwrap();
    let mut contents = Vec::new();
    for (point, change) in [
        ("before", "SELECT deploy_sentiment('m', 2)"),
        ("after", "SELECT drop_sentiment('m', 1)"),
        ("dropped", "SELECT drop_sentiment('m')"),
    ] {
        contents.push(one::<String>(&mut client, CONTENT));
        client.batch_execute(&format!("SELECT pg_create_restore_point('{point}')")).unwrap();
        client
            .batch_execute(&format!(
                "{change}; INSERT INTO messages VALUES ((SELECT max(id) + 1 FROM messages), 'sunny')"
            ))
            .unwrap();
    }
    let last: String = one(&mut client, "SELECT pg_walfile_name(pg_switch_wal())");
    until("the archive", &mut client, &format!("SELECT last_archived_wal >= '{last}' FROM pg_stat_archiver"));
    let restore = format!("restore_command=cp {}/archive/%f %p", primary.data().display());
    for ((point, backup), content) in backups.into_iter().zip(contents) {
        let target = format!("recovery_target_name={point}");
        let server = backup.recover(&[&restore, &target, "recovery_target_action=promote"]);
        let mut client = server.connect("postgres", "postgres");
        until("the end of recovery", &mut client, "SELECT NOT pg_is_in_recovery()");
        assert_eq!(one::<String>(&mut client, CONTENT), content, "{point}");
        let label: String = one(&mut client, "SELECT sentiment('sunny', 'm')");
        assert_eq!(label, if point == "before" { "good" } else { "bad" }, "{point}");
        // Life goes on from there, another way.
        let number = one::<String>(&mut client, "SELECT deploy_sentiment('m', 2)");
        assert_eq!(
            (number, one::<String>(&mut client, "SELECT sentiment('sunny', 'm')")),
            ("m@2".into(), "bad".into())
        );
        client.batch_execute("SELECT learn_sentiment('m', 'foggy', 'bad'), refresh_sentiment('m')").unwrap();
        let found = trouble(&server.log(), &["57P03"]);
        assert!(found.is_empty(), "{point}: {found:#?}");
    }
}

/// A publisher and a subscriber, each with a database of the extension.
fn logical() -> (Server, Client, Server, Client) {
    let (publisher, subscriber) =
        (Server::start(&["wal_level=logical"]), Server::start(&["wal_level=logical"]));
    let mut source = publisher.connect("postgres", "postgres");
    source.batch_execute(SCENE).unwrap();
    let mut target = subscriber.connect("postgres", "postgres");
    target.batch_execute("CREATE EXTENSION pg_sentiment").unwrap();
    (publisher, source, subscriber, target)
}

fn subscribe(publisher: &Server, target: &mut Client) {
    let connection = format!("host={} port=5432 user=postgres dbname=postgres", publisher.socket());
    target.batch_execute(&format!("CREATE SUBSCRIPTION s CONNECTION '{connection}' PUBLICATION p")).unwrap();
    until(
        "the first copy",
        target,
        "SELECT count(*) > 0 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel",
    );
}

/// A scored table arrives as it was scored, whether or not the subscriber has a trigger that scores by another model, unless that one is to
/// fire always.
#[test]
fn a_scored_table_is_replicated_as_it_is() {
    let (publisher, mut source, subscriber, mut target) = logical();
    source.batch_execute("INSERT INTO messages SELECT n, 'sunny ' || n FROM generate_series(1, 100) AS n; CREATE PUBLICATION p FOR TABLE messages").unwrap();
    target
        .batch_execute("CREATE TABLE messages (id int PRIMARY KEY, body text); SELECT enable_sentiment('messages', 'body')")
        .unwrap();
    subscribe(&publisher, &mut target);
    source.batch_execute("INSERT INTO messages SELECT n, 'rainy ' || n FROM generate_series(101, 200) AS n; UPDATE messages SET body = 'rainy' WHERE id = 1").unwrap();
    until("the rows", &mut target, "SELECT count(*) = 200 AND min(body) = 'rainy' FROM messages");
    let rows = "SELECT string_agg(m::text, ' ' ORDER BY id) FROM messages AS m";
    assert_eq!(one::<String>(&mut target, rows), one::<String>(&mut source, rows));
    assert_eq!(one::<i64>(&mut target, "SELECT count(*) FROM messages WHERE sentiment_version <> 'm@1'"), 0);
    // What the subscriber's own users write, its trigger scores.
    target.batch_execute("INSERT INTO messages VALUES (1000, 'what a great day')").unwrap();
    assert_eq!(
        one::<String>(&mut target, "SELECT sentiment_version FROM messages WHERE id = 1000"),
        "english@2"
    );
    // What arrives too, if that is asked for.
    target.batch_execute("ALTER TABLE messages ENABLE ALWAYS TRIGGER pg_sentiment").unwrap();
    source
        .batch_execute("INSERT INTO messages VALUES (201, 'what a great day'); UPDATE messages SET body = 'awful' WHERE id = 2")
        .unwrap();
    until(
        "the rows",
        &mut target,
        "SELECT count(*) = 202 AND count(*) FILTER (WHERE body = 'awful') = 1 FROM messages",
    );
    let scored = "SELECT string_agg(sentiment || ' ' || sentiment_version, ' ' ORDER BY id) FROM messages WHERE id IN (2, 201)";
    assert_eq!(one::<String>(&mut target, scored), "negative english@2 positive english@2");
    let logs = [publisher.log(), subscriber.log()].concat();
    let found = trouble(&logs, &[]);
    assert!(found.is_empty(), "{found:#?}");
}

/// The registry's tables are replicated like any others, and a deployment takes effect in the subscriber's open sessions.
#[test]
fn models_are_replicated_with_the_registry() {
    let (publisher, mut source, subscriber, mut target) = logical();
    source
        .batch_execute("CREATE PUBLICATION p FOR TABLE sentiment.model, sentiment.part, sentiment.version, sentiment.deployment")
        .unwrap();
    let mut open = subscriber.connect("postgres", "postgres");
    assert!(open.batch_execute("SELECT sentiment('sunny', 'm')").is_err());
    subscribe(&publisher, &mut target);
    let prepared = open.prepare("SELECT sentiment('sunny', 'm')").unwrap();
    let mut follows = |wanted: &str| {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let said: String = open.query_one(&prepared, &[]).unwrap().get(0);
            let plain: String = one(&mut open, "SELECT sentiment('sunny', 'm')");
            if said == wanted && plain == wanted {
                return;
            }
            assert!(Instant::now() < end, "an open session still says {said}");
            thread::sleep(Duration::from_millis(20));
        }
    };
    follows("good");
    source.batch_execute(&format!("SELECT train_sentiment('m', 'texts', 'body', 'other', 'naive_bayes', {OPTIONS}, deploy => 'always')")).unwrap();
    follows("bad");
    source.batch_execute("SELECT rollback_sentiment('m')").unwrap();
    follows("good");
    source.batch_execute("SELECT count(learn_sentiment('m', 'sunny', 'bad')) FROM generate_series(1, 9000); SELECT refresh_sentiment('m')").unwrap();
    follows("bad");
    source.batch_execute("SELECT deploy_sentiment('m', 1), drop_sentiment('m', 2)").unwrap();
    follows("good");
    let bytes = "SELECT md5(export_sentiment('m', 3)) || count(*) FROM sentiment.versions";
    assert_eq!(one::<String>(&mut target, bytes), one::<String>(&mut source, bytes));
    source.batch_execute("SELECT drop_sentiment('m')").unwrap();
    until("the end of the model", &mut target, "SELECT count(*) = 0 FROM sentiment.version");
    let gone = open.query_one("SELECT sentiment('sunny', 'm')", &[]).unwrap_err();
    assert_eq!(gone.code(), Some(&SqlState::UNDEFINED_OBJECT));
    let logs = [publisher.log(), subscriber.log()].concat();
    let found = trouble(&logs, &["42704"]);
    assert!(found.is_empty(), "{found:#?}");
}

/// A newer publisher sends columns that an older subscriber lacks, so the README has subscribers updated first.
#[test]
fn subscribers_are_updated_before_their_publisher() {
    let (publisher, mut source, subscriber, mut target) = logical();
    let train = format!(
        "SELECT train_sentiment('n', 'texts', 'body', 'other', 'naive_bayes', {OPTIONS}, deploy => 'always')"
    );
    source
        .batch_execute(&format!(
            "DROP EXTENSION pg_sentiment CASCADE; CREATE EXTENSION pg_sentiment VERSION '0.1.0'; {train};
             CREATE PUBLICATION p FOR TABLE sentiment.model, sentiment.part, sentiment.version, sentiment.deployment"
        ))
        .unwrap();
    subscribe(&publisher, &mut target);
    until("the model", &mut target, "SELECT sentiment('sunny', 'n') = 'bad'");
    source.batch_execute(&train).unwrap();
    until("a version of the older publisher", &mut target, "SELECT max(number) = 2 FROM sentiment.versions");
    source.batch_execute("ALTER EXTENSION pg_sentiment UPDATE").unwrap();
    source.batch_execute(&train).unwrap();
    until("a version of the newer one", &mut target, "SELECT max(number) = 3 FROM sentiment.versions");
    let logs = [publisher.log(), subscriber.log()].concat();
    let found = trouble(&logs, &["42704"]);
    assert!(found.is_empty(), "{found:#?}");
}
