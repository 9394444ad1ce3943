//! A version that an object of the database names stays: neither a drop nor the pruning of old versions takes it.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use sentiment_tests::{Database, Level};

const TEXTS: &str = "
    CREATE TABLE texts AS
    SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || md5(n::text) AS body,
           CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label
    FROM generate_series(1, 100) AS n";

/// Each way to name a version, what an error calls the object that does, and what removes it.
const PINS: [(&str, &str, &str); 23] = [
    ("CREATE INDEX pin ON texts (sentiment_at(body, $v$%$v$))", "index public.pin", "DROP INDEX pin"),
    (
        "CREATE INDEX pin ON texts (label) WHERE sentiment_score_at(body, $v$%$v$) > 0",
        "index public.pin",
        "DROP INDEX pin",
    ),
    (
        "CREATE TABLE pin (body text, l text GENERATED ALWAYS AS (sentiment_at(body, $v$%$v$)) STORED)",
        "default value for column l of table public.pin",
        "DROP TABLE pin",
    ),
    (
        "CREATE TABLE pin (l text DEFAULT sentiment('x', $v$%$v$))",
        "default value for column l of table public.pin",
        "DROP TABLE pin",
    ),
    (
        "CREATE TABLE pin (body text CHECK (sentiment_at(body, $v$%$v$) <> ''))",
        "constraint pin_body_check on table public.pin",
        "DROP TABLE pin",
    ),
    (
        "CREATE DOMAIN pin AS text CHECK (sentiment_at(VALUE, $v$%$v$) <> '')",
        "constraint pin_check",
        "DROP DOMAIN pin",
    ),
    ("CREATE DOMAIN pin AS text DEFAULT sentiment_at('x', $v$%$v$)", "type public.pin", "DROP DOMAIN pin"),
    ("CREATE VIEW pin AS SELECT sentiment_at(body, $v$%$v$) FROM texts", "view public.pin", "DROP VIEW pin"),
    (
        "CREATE VIEW pin AS SELECT sentiment_score(body, $v$%$v$) FROM texts",
        "view public.pin",
        "DROP VIEW pin",
    ),
    (
        "CREATE MATERIALIZED VIEW pin AS SELECT sentiment_at(body, $v$%$v$) FROM texts",
        "materialized view public.pin",
        "DROP MATERIALIZED VIEW pin",
    ),
    (
        "CREATE RULE pin AS ON UPDATE TO texts WHERE sentiment_at(new.body, $v$%$v$) = '' DO INSTEAD NOTHING",
        "rule pin on table public.texts",
        "DROP RULE pin ON texts",
    ),
    (
        "CREATE VIEW pin AS SELECT sentiment(body, $v$%$v$::varchar) FROM texts",
        "view public.pin",
        "DROP VIEW pin",
    ),
    (
        "CREATE VIEW pin AS SELECT sentiment(body, $v$%$v$::name::text) FROM texts",
        "view public.pin",
        "DROP VIEW pin",
    ),
    (
        "CREATE OPERATOR ~~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = sentiment_at); CREATE INDEX pin ON texts ((body ~~~ $v$%$v$))",
        "index public.pin",
        "DROP INDEX pin; DROP OPERATOR ~~~ (text, text)",
    ),
    (
        "CREATE STATISTICS pin ON (sentiment_at(body, $v$%$v$)), label FROM texts",
        "statistics object public.pin",
        "DROP STATISTICS pin",
    ),
    (
        "CREATE FUNCTION pin(body text DEFAULT sentiment_at('x', $v$%$v$)) RETURNS text LANGUAGE sql AS 'SELECT body'",
        "function public.pin(text)",
        "DROP FUNCTION pin",
    ),
    (
        "CREATE POLICY pin ON texts USING (sentiment_at(body, $v$%$v$) = '')",
        "policy pin on table public.texts",
        "DROP POLICY pin ON texts",
    ),
    (
        "CREATE POLICY pin ON texts FOR INSERT WITH CHECK (sentiment_at(body, $v$%$v$) = '')",
        "policy pin on table public.texts",
        "DROP POLICY pin ON texts",
    ),
    (
        "CREATE TRIGGER pin BEFORE UPDATE ON texts FOR EACH ROW WHEN (sentiment_at(new.body, $v$%$v$) = '')
             EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "trigger pin on table public.texts",
        "DROP TRIGGER pin ON texts",
    ),
    (
        "CREATE TRIGGER pin BEFORE INSERT ON texts FOR EACH ROW
             EXECUTE FUNCTION sentiment_trigger('body', 'label=label', $v$model=%$v$)",
        "trigger pin on table public.texts",
        "DROP TRIGGER pin ON texts",
    ),
    (
        "CREATE TABLE pin (body text) PARTITION BY LIST (sentiment_at(body, $v$%$v$))",
        "table public.pin",
        "DROP TABLE pin",
    ),
    (
        "CREATE FUNCTION pin(body text) RETURNS text IMMUTABLE RETURN sentiment_at(body, $v$%$v$)",
        "function public.pin(text)",
        "DROP FUNCTION pin",
    ),
    (
        "CREATE FUNCTION pin(body text) RETURNS text LANGUAGE sql SET sentiment.default_model = $v$%$v$ AS 'SELECT sentiment(body)'",
        "function public.pin(text)",
        "DROP FUNCTION pin",
    ),
];

/// Two versions of a model, the newer one deployed: it is the object alone that keeps the other.
fn train(database: &mut Database<'_>, model: &str, more: &str) -> String {
    let train = "SELECT model_version FROM train_sentiment($1, 'texts', 'body', 'label', 'naive_bayes', $2::text::jsonb, deploy => 'always')";
    let mut version = || database.client().query_one(train, &[&model, &more]).unwrap().get(0);
    let (older, _): (String, String) = (version(), version());
    older
}

fn drop_version(database: &mut Database<'_>, version: &str) -> Result<(), (String, String)> {
    let drop =
        "SELECT drop_sentiment(v.model, v.number) FROM sentiment.versions AS v WHERE v.model_version = $1";
    let dropped =
        database.client().query(drop, &[&version]).map(|rows| assert_eq!(rows.len(), 1, "{version}"));
    dropped.map_err(|error| {
        let error = error.as_db_error().unwrap();
        (error.code().code().to_owned(), error.message().to_owned())
    })
}

/// Whatever the model is called, and however the server writes strings.
#[test]
fn each_object_says_so() {
    let mut database = Database::new();
    database.run(TEXTS);
    for (conforming, model) in [("on", "mood"), ("on", "we\\ird' (ü😀"), ("off", "we\\ird'")] {
        database
            .run(&format!("SET standard_conforming_strings = {conforming}; SET escape_string_warning = off"));
        for (pin, object, unpin) in PINS {
            let version = train(&mut database, model, "{}");
            database.run(&pin.replace('%', &version));
            let (state, message) = drop_version(&mut database, &version)
                .err()
                .unwrap_or_else(|| panic!("dropped: {pin} {version} {conforming}"));
            assert_eq!(
                (state.as_str(), &*message),
                ("2BP01", &*format!("model version \"{version}\" is named by {object}"))
            );
            database.ask(Level::Error, "2BP01");
            database.run(unpin);
            drop_version(&mut database, &version).unwrap_or_else(|error| panic!("{pin}: {error:?}"));
        }
    }
}

/// Arrays of constants are constants of their own, which hold their texts with what there is of each: its length and its bytes.
#[test]
fn arrays_count() {
    let mut database = Database::new();
    database.run(TEXTS);
    for model in ["mood", "good mood", &"ü".repeat(14), &"m".repeat(63)] {
        let versions: Vec<String> = (0..2).map(|_| train(&mut database, model, "{}")).collect();
        let [version, other] = &versions[..] else { panic!("{versions:?}") };
        for (array, subscript) in
            [("{%}", 1), ("{x,NULL,%}", 3), ("{{%},{yyy}}", 1), ("{english@2,%,english@1}", 2)]
        {
            let array = array.replace('%', &format!("\"{version}\""));
            database.run(&format!(
                "CREATE INDEX pin ON texts (sentiment_at(body, ('{array}'::text[])[{subscript}]))"
            ));
            let (state, message) = drop_version(&mut database, version).unwrap_err();
            assert!(state == "2BP01" && message.ends_with("is named by index public.pin"), "{message}");
            database.ask(Level::Error, "2BP01");
            database.run("DROP INDEX pin");
        }
        // Of another version only a part is there.
        database.run(&format!(
            "CREATE VIEW pin AS SELECT sentiment(body, v) FROM texts, unnest('{{\"{version}\",\"{other}2\",\"x{other}\"}}'::varchar[]) AS v"
        ));
        drop_version(&mut database, other).unwrap();
        drop_version(&mut database, version).unwrap_err();
        database.ask(Level::Error, "2BP01");
        database.run("DROP VIEW pin");
        drop_version(&mut database, version).unwrap();
    }
}

/// What a database or a role is set to is named as well.
#[test]
fn settings_of_databases_and_roles_count() {
    let mut database = Database::new();
    database.run(TEXTS);
    // Of a name of its own, for one of the settings is for all databases of the server.
    let version = train(&mut database, "of settings", "{}");
    let name = database.name().to_owned();
    for (who, object) in [
        (format!("DATABASE {name}"), format!("database {name}")),
        (format!("ROLE postgres IN DATABASE {name}"), "role postgres".to_owned()),
        ("ROLE ALL".to_owned(), format!("database {name}")),
    ] {
        database.run(&format!("ALTER {who} SET sentiment.default_model = '{version}'"));
        let (state, message) = drop_version(&mut database, &version).unwrap_err();
        assert_eq!(state, "2BP01");
        assert!(message.ends_with(&format!("is named by {object}")), "{message}");
        database.ask(Level::Error, "2BP01");
        database.run(&format!("ALTER {who} RESET sentiment.default_model"));
    }
    // Those of other databases are not meant.
    database.run(&format!("ALTER DATABASE template0 SET sentiment.default_model = '{version}'"));
    let dropped = drop_version(&mut database, &version);
    database.run("ALTER DATABASE template0 RESET sentiment.default_model");
    dropped.unwrap();
}

/// With a database that is not updated yet, the library says so too, though it cannot say by what.
#[test]
fn the_script_of_0_1_0_refuses_as_well() {
    let mut database = Database::new();
    database.run("DROP EXTENSION pg_sentiment; CREATE EXTENSION pg_sentiment VERSION '0.1.0'");
    database.run(TEXTS);
    let version = train(&mut database, "mood", "{}");
    database.run("CREATE VIEW pin AS SELECT sentiment_at(body, 'mood@1') FROM texts");
    let (state, _) = drop_version(&mut database, &version).unwrap_err();
    database.ask(Level::Error, "2BP01");
    assert_eq!(state, "2BP01");
    database.refuses("2BP01", "SELECT drop_sentiment('mood')");
    database.run("DROP VIEW pin; SELECT drop_sentiment('mood')");
}

/// Whoever asks waits for nobody's table, and asks also where the extension's schema has got another name.
#[test]
fn asking_locks_nothing() {
    let mut database = Database::new();
    database.run(TEXTS);
    let version = train(&mut database, "mood", "{}");
    database.run("CREATE VIEW pin AS SELECT sentiment_at(body, 'mood@1') FROM texts; CREATE FUNCTION f() RETURNS text RETURN (SELECT sentiment_at(body, 'mood@1') FROM texts)");
    let mut holder = database.connect("postgres");
    holder
        .batch_execute(
            "BEGIN; LOCK TABLE texts IN ACCESS EXCLUSIVE MODE; LOCK TABLE pin IN ACCESS EXCLUSIVE MODE",
        )
        .unwrap();
    database.run("SET lock_timeout = '10s'");
    let (state, _) = drop_version(&mut database, &version).unwrap_err();
    assert_eq!(state, "2BP01");
    database.ask(Level::Error, "2BP01");
    holder.batch_execute("ROLLBACK").unwrap();
    database.run("DROP VIEW pin; DROP FUNCTION f; ALTER SCHEMA public RENAME TO app; SET search_path = app");
    drop_version(&mut database, &version).unwrap();
}

/// A name that another begins with, or ends with, is another.
#[test]
fn others_are_not_meant() {
    let mut database = Database::new();
    database.run(TEXTS);
    let (short, long) = (train(&mut database, "ood", "{}"), train(&mut database, "mood", "{}"));
    assert_eq!((&*short, &*long), ("ood@1", "mood@1"));
    database.run(
        "CREATE INDEX pin ON texts (sentiment_at(body, 'mood@1')); CREATE VIEW another AS SELECT sentiment(body, 'ood') FROM texts;
         CREATE VIEW twelfth AS SELECT sentiment(body, 'ood@12'), 'ood@1x' FROM texts",
    );
    drop_version(&mut database, &short).unwrap();
}

/// Going on training leaves what is named, whatever `keep_versions` says.
#[test]
fn pruning_leaves_it() {
    let mut database = Database::new();
    database.run(TEXTS);
    let version = train(&mut database, "mood", r#"{"keep_versions": 1}"#);
    database.run("CREATE POLICY pin ON texts USING (sentiment_at(body, 'mood@1') = 'positive')");
    for _ in 0..2 {
        train(&mut database, "mood", r#"{"keep_versions": 1}"#);
    }
    let kept = "SELECT string_agg(number::text, ',' ORDER BY number) FROM sentiment.versions";
    assert_eq!(version, "mood@1");
    // The current one, and the one that a rollback goes back to, stay as well.
    assert_eq!(database.value::<String>(kept), "1,5,6");
    database.run("DROP POLICY pin ON texts; SELECT 1");
    train(&mut database, "mood", r#"{"keep_versions": 1}"#);
    assert_eq!(database.value::<String>(kept), "7,8");
}

/// An index takes a while to build, and a model may be refreshed many times meanwhile.
#[test]
fn pruning_waits_for_what_is_being_made() {
    let mut database = Database::new();
    database.run(TEXTS);
    train(&mut database, "mood", r#"{"keep_versions": 1}"#);
    let kept = "SELECT string_agg(number::text, ',' ORDER BY number) FROM sentiment.versions";
    let mut other = database.connect("postgres");
    for (end, versions) in [("ROLLBACK", "5,6"), ("COMMIT", "5,9,10")] {
        let oldest: i32 = database.value("SELECT min(number) FROM sentiment.versions");
        other
            .batch_execute(&format!("BEGIN; CREATE INDEX pin ON texts (sentiment_at(body, 'mood@{oldest}'))"))
            .unwrap();
        train(&mut database, "mood", r#"{"keep_versions": 1}"#);
        other.batch_execute(end).unwrap();
        train(&mut database, "mood", r#"{"keep_versions": 1}"#);
        assert_eq!(database.value::<String>(kept), versions);
    }
    database.run("INSERT INTO texts VALUES ('sunny')");
}

/// What was made since a transaction's snapshot counts, though the transaction does not see it.
#[test]
fn what_was_made_since_the_snapshot_counts() {
    let mut database = Database::new();
    database.run(TEXTS);
    for _ in 0..2 {
        train(&mut database, "mood", r#"{"keep_versions": 5}"#);
    }
    let mut other = database.connect("postgres");
    database.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    other.batch_execute("CREATE INDEX pin ON texts (sentiment_at(body, 'mood@1'))").unwrap();
    for drop in ["drop_sentiment('mood', 1)", "drop_sentiment('mood')"] {
        database.run("SAVEPOINT before");
        let failure = database.failure(&format!("SELECT {drop}"));
        assert_eq!(
            (&*failure.state, failure.message.contains("index public.pin")),
            ("2BP01", true),
            "{failure:?}"
        );
        database.run("ROLLBACK TO before");
    }
    train(&mut database, "mood", r#"{"keep_versions": 1}"#);
    database.run("COMMIT");
    let kept = "SELECT string_agg(number::text, ',' ORDER BY number) FROM sentiment.versions";
    assert_eq!(database.value::<String>(kept), "1,5,6");
    database.run("INSERT INTO texts VALUES ('sunny')");
}
