//! What the views for operators answer where the README's examples do not reach: sums over versions, every form of a trigger,
//! and that looking and scoring write nothing.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use sentiment_tests::Database;

const MODEL: &str = "
    CREATE TABLE texts AS SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || n AS body,
        CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label FROM generate_series(1, 100) AS n;
    SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes');";

fn session_texts(database: &mut Database<'_>, model: &str) -> i64 {
    database.value(&format!("SELECT session_texts FROM sentiment.models WHERE model = '{model}'"))
}

/// Versions come and go, the sum of what the session had them read stays; another session has its own.
#[test]
fn texts_are_counted_over_versions() {
    let mut database = Database::new();
    database.run(MODEL);
    assert_eq!((session_texts(&mut database, "m"), session_texts(&mut database, "english")), (0, 0));
    database.run("SET sentiment.cache_size = '1MB'");
    for round in 1..=20 {
        database.run("SELECT sentiment(body, 'm'), sentiment(body) FROM texts LIMIT 10");
        database.run("SELECT learn_sentiment('m', 'foggy', 'negative'); SELECT refresh_sentiment('m')");
        assert_eq!(
            (session_texts(&mut database, "m"), session_texts(&mut database, "english")),
            (10 * round, 10 * round)
        );
    }
    let cached: i64 =
        database.value("SELECT sum(texts)::bigint FROM sentiment.cache WHERE model_version LIKE 'm@%'");
    assert!(cached <= 200, "{cached}");
    let mut other = database.connect("postgres");
    let there: i64 =
        other.query_one("SELECT sum(session_texts)::bigint FROM sentiment.models", &[]).unwrap().get(0);
    assert_eq!(there, 0);
    // A batch counts its texts, NULL is none, and what is dropped is forgotten by the view.
    database.run("SELECT * FROM sentiment_batch(ARRAY['a', NULL, 'b'], 'm')");
    assert_eq!(session_texts(&mut database, "m"), 202);
    database.run("SELECT drop_sentiment('m')");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM sentiment.models WHERE model = 'm'"), 0);
}

/// Every form of a trigger: by hand, with default columns, pinned, off, broken, on a partitioned table, off on one partition of it, in other
/// encodings.
#[test]
fn tables_are_listed_as_they_are_scored() {
    for encoding in ["UTF8", "LATIN1"] {
        let mut database = Database::encoded(encoding);
        database.run(MODEL);
        database.run(
            "CREATE TABLE usual (body text); SELECT enable_sentiment('usual', 'body');
             CREATE TABLE \"Übel\" (\"Tëxt\" text); SELECT enable_sentiment('\"Übel\"', 'Tëxt', 'm', 'Läbel', NULL, 'a\\000b');
             CREATE TABLE handmade (body text, sentiment_score float8);
             CREATE TRIGGER by_hand BEFORE INSERT ON handmade FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body');
             CREATE TABLE pinned (body text, l text);
             CREATE TRIGGER t BEFORE INSERT ON pinned FOR EACH ROW
                 EXECUTE FUNCTION sentiment_trigger('body', 'label=l', 'model=m@1', 'on_error=raise');
             ALTER TABLE pinned DISABLE TRIGGER t;
             CREATE TABLE broken (body text);
             CREATE TRIGGER t BEFORE INSERT ON broken FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'lable=x');
             CREATE TABLE gone (body text, l text);
             CREATE TRIGGER t BEFORE INSERT ON gone FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'label=l', 'model=nothing');
             CREATE TABLE lost (body text, l text);
             CREATE TRIGGER t BEFORE INSERT ON lost FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'label=l', 'model=m@99');
             CREATE TABLE replicated (body text, l text);
             CREATE TRIGGER t BEFORE INSERT ON replicated FOR EACH ROW
                 EXECUTE FUNCTION sentiment_trigger('body', 'label=l', 'model=english@1');
             ALTER TABLE replicated ENABLE REPLICA TRIGGER t;
             CREATE TABLE parts (body text, day int) PARTITION BY LIST (day);
             CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1);
             CREATE TABLE part_2 PARTITION OF parts FOR VALUES IN (2);
             SELECT enable_sentiment('parts', 'body', 'auto');
             ALTER TABLE part_2 DISABLE TRIGGER pg_sentiment;
             CREATE TABLE off (body text, day int) PARTITION BY LIST (day);
             CREATE TABLE off_1 PARTITION OF off FOR VALUES IN (1);
             SELECT enable_sentiment('off', 'body'); ALTER TABLE off DISABLE TRIGGER pg_sentiment",
        );
        let listed = "SELECT target::text, concat_ws('|', enabled, text_column, label_column, score_column, version_column, model, model_version)
                      FROM sentiment.tables ORDER BY target::text COLLATE \"C\"";
        let listed: Vec<(String, String)> =
            database.rows(listed).iter().map(|row| (row.get(0), row.get(1))).collect();
        let expected = [
            ("\"Übel\"", "t|Tëxt|Läbel|a\\000b|m|m@1"),
            ("broken", "f"),
            ("gone", "t|body|l|nothing"),
            ("lost", "t|body|l|m@99"),
            ("off", "f|body|sentiment|sentiment_score|sentiment_version|english|english@2"),
            ("part_2", "f|body|sentiment|sentiment_score|sentiment_version|auto"),
            ("parts", "t|body|sentiment|sentiment_score|sentiment_version|auto"),
            ("pinned", "f|body|l|m@1|m@1"),
            ("replicated", "f|body|l|english@1|english@1"),
            ("handmade", "t|body|sentiment_score|english|english@2"),
            ("usual", "t|body|sentiment|sentiment_score|sentiment_version|english|english@2"),
        ];
        let mut expected = expected.map(|(table, about)| (table.to_owned(), about.to_owned()));
        expected.sort();
        let mut sorted = listed;
        sorted.sort();
        assert_eq!(sorted, expected, "{encoding}");
        database.run("SET sentiment.default_model = 'm'");
        let followed = "SELECT model_version FROM sentiment.tables WHERE target = 'usual'::regclass";
        assert_eq!(database.value::<String>(followed), "m@1");
        assert!(database.value::<bool>(
            "SELECT deployed_at IS NOT NULL FROM sentiment.tables WHERE target = 'usual'::regclass"
        ));
    }
}

/// A trigger that refuses every row is not shown as one that scores.
#[test]
fn what_refuses_rows_is_not_enabled() {
    let mut database = Database::new();
    // The table's other columns, when the trigger fires, its other arguments, and how it refuses a row, if it does.
    let triggers = [
        ("sentiment text", "BEFORE INSERT OR UPDATE", "", None),
        ("sentiment text", "BEFORE INSERT OR DELETE", "", None),
        ("sentiment text, sentiment_score int", "BEFORE INSERT", "", Some("42804")),
        (
            "sentiment text, two text GENERATED ALWAYS AS (body) STORED",
            "BEFORE INSERT",
            ", 'label=two'",
            Some("22023"),
        ),
        (
            "sentiment text GENERATED ALWAYS AS (body) STORED, sentiment_score real",
            "BEFORE INSERT",
            "",
            Some("22023"),
        ),
        ("sentiment text", "BEFORE INSERT", ", 'label=body'", Some("22023")),
        ("sentiment text", "BEFORE INSERT", ", 'label=sentiment', 'version=sentiment'", Some("22023")),
        ("sentiment text", "AFTER INSERT", "", Some("39P01")),
    ];
    for (number, (columns, fires, arguments, refusal)) in triggers.into_iter().enumerate() {
        database.run(&format!(
            "CREATE TABLE t{number} (body text, {columns});
             CREATE TRIGGER scored {fires} ON t{number} FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body'{arguments})"
        ));
        let enabled = format!("SELECT enabled FROM sentiment.tables WHERE target = 't{number}'::regclass");
        assert_eq!(database.value::<bool>(&enabled), refusal.is_none(), "{columns} {fires} {arguments}");
        let insert = format!("INSERT INTO t{number} (body) VALUES ('so happy')");
        match refusal {
            Some(state) => database.refuses(state, &insert),
            None => database.run(&insert),
        }
    }
    database.run(
        "CREATE TABLE lost (body text, sentiment text);
         CREATE TRIGGER scored BEFORE DELETE ON lost FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body');
         CREATE TRIGGER stated BEFORE INSERT ON lost FOR EACH STATEMENT EXECUTE FUNCTION sentiment_trigger('body')",
    );
    let enabled = "SELECT count(*) FROM sentiment.tables WHERE target = 'lost'::regclass AND enabled";
    assert_eq!(database.value::<i64>(enabled), 0);
}

/// In a transaction that may write nothing, everything that looks and scores works, and takes no transaction number.
#[test]
fn looking_and_scoring_write_nothing() {
    let mut database = Database::new();
    database.run(MODEL);
    database.run("CREATE TABLE messages (body text); SELECT enable_sentiment('messages', 'body', 'm')");
    database.run(
        "BEGIN READ ONLY;
         SELECT sentiment(body, 'm'), sentiment(body), sentiment_detail(body, 'auto') FROM texts;
         SELECT * FROM sentiment.models; SELECT * FROM sentiment.versions; SELECT * FROM sentiment.deployments;
         SELECT * FROM sentiment.cache; SELECT * FROM sentiment.tables; SELECT * FROM sentiment.training_progress;
         SELECT stale_sentiment('messages'); SELECT * FROM drift_sentiment('m', 'texts', 'body')",
    );
    assert!(database.value::<bool>("SELECT pg_current_xact_id_if_assigned() IS NULL"));
    database.run("COMMIT");
}

/// The README's alert for stale rows goes on where some tables can no longer be scored, or cannot be read.
#[test]
fn alert_for_stale_rows() {
    let readme = std::fs::read_to_string(sentiment_tests::repository().join("README.md")).unwrap();
    let alert = &readme[readme.find("SELECT target, stale FROM (").unwrap()..];
    let alert = alert.split(';').next().unwrap();
    let mut database = Database::new();
    database.run(
        "CREATE TABLE labelled AS SELECT n || ' sunny' AS body, (n % 2)::text AS label FROM generate_series(1, 40) AS n;
         SELECT train_sentiment('gone', 'labelled', 'body', 'label', 'naive_bayes');
         CREATE TABLE fine (body text, other text);
         SELECT enable_sentiment('fine', 'body');
         SELECT enable_sentiment('fine', 'other', 'auto', 'other_label', 'other_score', 'other_version');
         INSERT INTO fine SELECT 'so happy' FROM generate_series(1, 1500);
         UPDATE fine SET sentiment_version = 'english@1';
         CREATE TABLE modelless (body text);
         SELECT enable_sentiment('modelless', 'body', 'gone');
         SELECT drop_sentiment('gone');
         CREATE TABLE renamed (body text);
         SELECT enable_sentiment('renamed', 'body');
         ALTER TABLE renamed RENAME body TO message;
         CREATE TABLE retyped (body text);
         SELECT enable_sentiment('retyped', 'body');
         ALTER TABLE retyped ALTER sentiment_score TYPE numeric;
         CREATE TABLE picked (body text, sentiment text, sentiment_version text);
         CREATE TRIGGER score BEFORE INSERT ON picked FOR EACH ROW WHEN (NEW.body <> '') EXECUTE FUNCTION sentiment_trigger('body');
         CREATE TABLE versionless (body text, other text);
         SELECT enable_sentiment('versionless', 'body');
         SELECT enable_sentiment('versionless', 'other', NULL, 'other_label', 'other_score', NULL);
         CREATE TABLE meaningless (body text, sentiment text);
         CREATE TRIGGER score BEFORE INSERT ON meaningless FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'nonsense')",
    );
    let mut other = database.connect("postgres");
    other.batch_execute("CREATE TEMP TABLE passing (body text); SELECT enable_sentiment('passing', 'body'); INSERT INTO passing VALUES ('so sad')").unwrap();
    assert!(
        !database.value::<bool>("SELECT enabled FROM sentiment.tables WHERE target = 'retyped'::regclass")
    );
    let alerts = database.rows(&format!("SELECT target::text, stale FROM ({alert}) AS a"));
    let alerts: Vec<(String, i64)> = alerts.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(alerts, [("fine".to_owned(), 1500)]);
}
