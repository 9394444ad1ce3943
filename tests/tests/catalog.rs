//! What the catalog says of each function: DESIGN.md's table, held against an installed extension.

use std::collections::BTreeMap;

use sentiment_tests::Database;

const SCORING: &str = "stable, parallel safe";
const FROZEN: &str = "immutable, parallel safe";
const COUNTING: &str = "stable, parallel unsafe";
const ACTION: &str = "volatile, parallel unsafe";

/// Every function that users see, with its arguments and what the planner is told.
const FUNCTIONS: [(&str, &str, &str); 27] = [
    ("sentiment", "body text, model text DEFAULT NULL::text", SCORING),
    ("sentiment_score", "body text, model text DEFAULT NULL::text", SCORING),
    ("sentiment_probability", "body text, label text, model text DEFAULT NULL::text", SCORING),
    (
        "sentiment_detail",
        "body text, model text DEFAULT NULL::text, OUT label text, OUT score double precision, \
         OUT confidence double precision, OUT probabilities jsonb, OUT coverage double precision, \
         OUT truncated boolean, OUT model_version text",
        SCORING,
    ),
    ("sentiment_json", "body text, model text DEFAULT NULL::text", SCORING),
    ("sentiment_batch", "bodies text[], model text DEFAULT NULL::text", SCORING),
    ("sentiment_explain", "body text, model text DEFAULT NULL::text, top_k integer DEFAULT 10", SCORING),
    ("sentiment_tokens", "body text, model text DEFAULT NULL::text", SCORING),
    ("sentiment_at", "body text, model_version text", FROZEN),
    ("sentiment_score_at", "body text, model_version text", FROZEN),
    ("sentiment_trigger", "", ACTION),
    (
        "enable_sentiment",
        "target regclass, text_column name, model text DEFAULT NULL::text, \
         label_column name DEFAULT 'sentiment'::name, score_column name DEFAULT 'sentiment_score'::name, \
         version_column name DEFAULT 'sentiment_version'::name, backfill boolean DEFAULT true",
        ACTION,
    ),
    ("disable_sentiment", "target regclass, drop_columns boolean DEFAULT false", ACTION),
    ("rescore_sentiment", "IN target regclass, IN batch integer DEFAULT 10000", ACTION),
    ("stale_sentiment", "target regclass", COUNTING),
    (
        "train_sentiment",
        "model text, source regclass, text_column name, label_column name, \
         algorithm text DEFAULT 'logistic_regression'::text, options jsonb DEFAULT '{}'::jsonb, \
         test_fraction double precision DEFAULT 0.2, seed bigint DEFAULT 42, deploy text DEFAULT 'if_better'::text, \
         OUT model_version text, OUT rows_train bigint, OUT rows_test bigint, OUT rows_skipped bigint, \
         OUT accuracy double precision, OUT macro_f1 double precision, OUT macro_recall double precision, \
         OUT log_loss double precision, OUT baseline_accuracy double precision, \
         OUT previous_macro_f1 double precision, OUT deployed boolean, OUT terms bigint, OUT bytes bigint, \
         OUT train_ms double precision",
        ACTION,
    ),
    ("evaluate_sentiment", "model text, source regclass, text_column name, label_column name", COUNTING),
    ("confusion_sentiment", "model text, source regclass, text_column name, label_column name", COUNTING),
    ("drift_sentiment", "model text, source regclass, text_column name", COUNTING),
    ("deploy_sentiment", "model text, version integer", ACTION),
    ("rollback_sentiment", "model text", ACTION),
    ("drop_sentiment", "model text, version integer DEFAULT NULL::integer", ACTION),
    ("export_sentiment", "model text, version integer DEFAULT NULL::integer", COUNTING),
    ("import_sentiment", "model text, payload bytea", ACTION),
    ("learn_sentiment", "model text, body text, label text", ACTION),
    ("set_sentiment_term", "model text, term text, score double precision", ACTION),
    ("refresh_sentiment", "model text, max_rows integer DEFAULT 100000", ACTION),
];

/// The functions that are not for PUBLIC: they change models, or let their bytes out.
const GRANTED: [&str; 9] = [
    "train_sentiment",
    "deploy_sentiment",
    "rollback_sentiment",
    "drop_sentiment",
    "export_sentiment",
    "import_sentiment",
    "learn_sentiment",
    "set_sentiment_term",
    "refresh_sentiment",
];

/// The functions of the extension, as (name, arguments, planner's facts, cost, comment, rights).
const CATALOG: &str = "
    SELECT proname::text, pg_get_function_arguments(p.oid),
           CASE provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END || ', parallel ' ||
           CASE proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END,
           procost::float8, obj_description(p.oid, 'pg_proc'), has_function_privilege('catalog_nobody', p.oid, 'EXECUTE'),
           nspname = 'public', prosecdef, prolang = (SELECT oid FROM pg_language WHERE lanname = 'c'),
           coalesce(proconfig::text LIKE '%search_path=%', false)
    FROM pg_proc AS p
         JOIN pg_depend ON classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e'
         JOIN pg_namespace AS n ON n.oid = pronamespace
    WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_sentiment')
    ORDER BY proname";

#[test]
fn functions() {
    let mut database = Database::new();
    database.run("CREATE ROLE catalog_nobody");
    let mut expected: BTreeMap<&str, (&str, &str)> =
        FUNCTIONS.iter().map(|(name, arguments, planner)| (*name, (*arguments, *planner))).collect();
    for row in database.rows(CATALOG) {
        let name: String = row.get(0);
        let comment: Option<String> = row.get(4);
        assert!(comment.is_some_and(|comment| comment.len() > 20), "{name} has no comment worth the name");
        assert!(!row.get::<_, bool>(7), "{name} is SECURITY DEFINER");
        assert!(row.get::<_, bool>(8) || row.get::<_, bool>(9), "{name} is not in C and sets no search_path");
        if !row.get::<_, bool>(6) {
            continue;
        }
        let (arguments, planner) =
            expected.remove(name.as_str()).unwrap_or_else(|| panic!("{name} is unexpected"));
        let signature: String = row.get(1);
        assert!(signature.starts_with(arguments), "{name}({signature})");
        assert_eq!(row.get::<_, String>(2), planner, "{name}");
        let cost: f64 = row.get(3);
        assert!(planner == ACTION || cost > 1.0, "{name} costs more than {cost} operators");
        assert_eq!(
            row.get::<_, bool>(5),
            !GRANTED.contains(&name.as_str()),
            "what PUBLIC may do with {name}"
        );
    }
    assert!(expected.is_empty(), "missing: {expected:?}");
    database.run("DROP ROLE catalog_nobody");
}

/// The README's tables of functions: their arguments, defaults and columns.
#[test]
fn the_readme_shows_each_function() {
    let mut database = Database::new();
    let readme = std::fs::read_to_string(sentiment_tests::repository().join("README.md")).unwrap();
    let rows = database.rows(
        "SELECT proname::text, pg_get_function_arguments(p.oid), array_to_string(ARRAY(
             SELECT name FROM unnest(proargnames, proargmodes) AS a (name, mode) WHERE mode IN ('o', 't')), ', '), prokind = 'p'
         FROM pg_proc AS p JOIN pg_depend ON classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e'
         WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_sentiment') AND pronamespace = 'public'::regnamespace",
    );
    assert_eq!(rows.len(), FUNCTIONS.len());
    for row in rows {
        let [name, arguments, columns] = [0, 1, 2].map(|at| row.get::<_, String>(at));
        let given =
            arguments.split("OUT ").next().unwrap_or_default().trim_end_matches(", ").replace("IN ", "");
        // As the README has them: types by their short names, defaults without a cast.
        let given = ["text", "name", "jsonb", "integer"]
            .iter()
            .fold(given, |given, of| given.replace(&format!("::{of}"), ""));
        let short = [("double precision", "float8"), ("boolean", "bool"), ("integer", "int")];
        let given = short.iter().fold(given, |given, (long, short)| given.replace(long, short));
        let call = if row.get(3) { "CALL " } else { "" };
        let signature = format!("| `{call}{name}({given})` |");
        let line = readme.lines().find(|line| line.starts_with(&signature));
        let line = line.unwrap_or_else(|| panic!("the README lacks {signature}"));
        assert!(line.contains(&columns), "the README lacks the columns of {name}: {columns}");
    }
}

#[test]
fn other_members_have_comments() {
    let mut database = Database::new();
    let bare: Vec<String> = database
        .rows(
            "SELECT pg_describe_object(classid, objid, 0) FROM pg_depend
             WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_sentiment')
               AND classid IN ('pg_class'::regclass, 'pg_namespace'::regclass, 'pg_proc'::regclass)
               AND obj_description(objid, classid::regclass::name) IS NULL",
        )
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(bare.is_empty(), "without comment: {bare:?}");
}

#[test]
fn extension() {
    let mut database = Database::new();
    let facts = database.rows(
        "SELECT a.trusted, a.superuser, a.relocatable, a.schema IS NULL, a.comment, e.extversion = i.default_version
         FROM pg_available_extension_versions AS a
              JOIN pg_extension AS e ON e.extname = a.name AND e.extversion = a.version
              JOIN pg_available_extensions AS i ON i.name = a.name
         WHERE a.name = 'pg_sentiment'",
    );
    assert_eq!(facts.len(), 1);
    let fact = |column: usize| facts[0].get::<_, bool>(column);
    assert!(fact(0) && fact(1), "trusted, for owners who are no superusers");
    assert!(!fact(2) && fact(3), "not relocatable, in the schema the user chooses");
    assert!(facts[0].get::<_, String>(4).len() > 20 && fact(5));
}

#[test]
fn goes_into_any_schema_and_leaves_without_a_trace() {
    let mut database = Database::new();
    database.run("DROP EXTENSION pg_sentiment");
    let before: String = database.value(OBJECTS);
    database.run(
        "CREATE SCHEMA \"My functions\";
         CREATE EXTENSION pg_sentiment SCHEMA \"My functions\";
         CREATE TABLE messages (body text);
         INSERT INTO messages VALUES ('so happy, great');
         SELECT \"My functions\".enable_sentiment('messages', 'body');
         INSERT INTO messages VALUES ('so sad, terrible');
         UPDATE messages SET sentiment_version = NULL",
    );
    database.run("CALL \"My functions\".rescore_sentiment('messages')");
    assert_eq!(database.value::<i64>("SELECT count(sentiment_version) FROM messages"), 2);
    assert_eq!(database.failure("ALTER EXTENSION pg_sentiment SET SCHEMA public").state, "0A000");
    database.run(
        "CREATE INDEX label ON messages (\"My functions\".sentiment_at(body, 'english@1'));
         ALTER SCHEMA \"My functions\" RENAME TO \"Our functions\";
         INSERT INTO messages VALUES ('great, so happy');
         UPDATE messages SET sentiment_version = NULL",
    );
    database.run("CALL \"Our functions\".rescore_sentiment('messages')");
    assert_eq!(database.value::<i64>("SELECT count(sentiment_version) FROM messages"), 3);
    assert_eq!(database.value::<String>("SELECT sentiment.pinned_by('english@1')"), "index public.label");
    assert_eq!(
        database.failure("DROP EXTENSION pg_sentiment").state,
        "2BP01",
        "the table's trigger depends on it"
    );
    database
        .run("DROP EXTENSION pg_sentiment CASCADE; CREATE EXTENSION pg_sentiment SCHEMA \"Our functions\"");
    assert_eq!(database.value::<i64>("SELECT count(sentiment) FROM messages"), 3, "what was written stays");
    database.run("INSERT INTO messages VALUES ('nobody reads this')");
    assert_eq!(database.value::<i64>("SELECT \"Our functions\".enable_sentiment('messages', 'body')"), 4);
    database.run("DROP TABLE messages; DROP EXTENSION pg_sentiment; DROP SCHEMA \"Our functions\"");
    assert_eq!(database.value::<String>(OBJECTS), before);
}

/// All objects of a database that are not the server's own.
const OBJECTS: &str = "
    SELECT coalesce(string_agg(name, ', ' ORDER BY name), '') FROM (
        SELECT nspname::text AS name FROM pg_namespace WHERE nspname !~ '^pg_'
        UNION ALL SELECT oid::regclass::text FROM pg_class WHERE oid >= 16384 AND relnamespace <> 'pg_toast'::regnamespace
        UNION ALL SELECT oid::regprocedure::text FROM pg_proc WHERE oid >= 16384
        UNION ALL SELECT oid::regtype::text FROM pg_type WHERE oid >= 16384) AS objects";

/// PostgreSQL 14 takes any name with a dot in it for somebody's setting.
#[test]
fn no_other_setting_has_our_prefix() {
    let mut database = Database::new();
    database.run("SELECT sentiment('fine')");
    let unknown = "SET sentiment.no_such_setting = 1";
    match database.value::<i32>("SELECT current_setting('server_version_num')::int") {
        ..150_000 => database.run(unknown),
        _ => assert_eq!(database.failure(unknown).state, "42602"),
    }
}
