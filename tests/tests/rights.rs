//! Who may do what: every function, table, view and sequence of the extension, read from the catalog, for everybody, a
//! trainer and the owner. What is new without an expectation fails.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::BTreeMap;

use postgres::Client;
use sentiment_tests::{Database, Level};

/// Everybody has it; those to whom it was granted and the owner; the owner alone.
#[derive(Clone, Copy, Debug, PartialEq)]
enum For {
    Everybody,
    Granted,
    Owner,
}

use For::{Everybody, Granted, Owner};

/// Every member of the extension, with who may execute it, select from it, or read its numbers.
const MEMBERS: &[(&str, For)] = &[
    ("confusion_sentiment", Everybody),
    ("deploy_sentiment", Granted),
    ("disable_sentiment", Everybody),
    ("drift_sentiment", Everybody),
    ("drop_sentiment", Granted),
    ("enable_sentiment", Everybody),
    ("evaluate_sentiment", Everybody),
    ("export_sentiment", Granted),
    ("import_sentiment", Granted),
    ("learn_sentiment", Granted),
    ("refresh_sentiment", Granted),
    ("rescore_sentiment", Everybody),
    ("rollback_sentiment", Granted),
    ("sentiment", Everybody),
    ("sentiment_at", Everybody),
    ("sentiment_batch", Everybody),
    ("sentiment_detail", Everybody),
    ("sentiment_explain", Everybody),
    ("sentiment_json", Everybody),
    ("sentiment_probability", Everybody),
    ("sentiment_score", Everybody),
    ("sentiment_score_at", Everybody),
    ("sentiment_tokens", Everybody),
    ("sentiment_trigger", Everybody),
    ("set_sentiment_term", Granted),
    ("stale_sentiment", Everybody),
    ("train_sentiment", Granted),
    ("sentiment.cached_models", Everybody),
    ("sentiment.is_pinned", Everybody),
    ("sentiment.pinned_by", Everybody),
    ("sentiment.registry_changed", Owner),
    ("sentiment.scored_tables", Everybody),
    ("sentiment.session_texts", Everybody),
    ("sentiment.shipped_models", Everybody),
    ("sentiment.training_sessions", Everybody),
    ("sentiment.cache", Everybody),
    ("sentiment.deployments", Everybody),
    ("sentiment.models", Everybody),
    ("sentiment.tables", Everybody),
    ("sentiment.training_progress", Everybody),
    ("sentiment.versions", Everybody),
    ("sentiment.deployment", Owner),
    ("sentiment.deployment_id_seq", Owner),
    ("sentiment.feedback", Owner),
    ("sentiment.feedback_id_seq", Owner),
    ("sentiment.model", Owner),
    ("sentiment.part", Owner),
    ("sentiment.part_id_seq", Owner),
    ("sentiment.term", Owner),
    ("sentiment.unlearned", Owner),
    ("sentiment.version", Owner),
];

/// Name, whether each role may use it at all, and whether anybody but the owner may change it.
const CATALOG: &str = "
    WITH member AS (
        SELECT classid, objid FROM pg_depend
        WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_sentiment')),
    role AS (SELECT unnest(ARRAY['rights_nobody', 'rights_trainer', 'rights_owner']) AS role)
    SELECT CASE pronamespace WHEN 'sentiment'::regnamespace THEN 'sentiment.' ELSE '' END || proname,
        (SELECT array_agg(role) FROM role WHERE has_function_privilege(role, p.oid, 'EXECUTE')), false
    FROM member JOIN pg_proc AS p ON p.oid = objid AND classid = 'pg_proc'::regclass
    UNION ALL
    SELECT 'sentiment.' || relname,
        (SELECT array_agg(role) FROM role WHERE CASE relkind WHEN 'S' THEN has_sequence_privilege(role, c.oid, 'SELECT, USAGE, UPDATE')
            ELSE has_table_privilege(role, c.oid, 'SELECT') END),
        EXISTS (SELECT FROM role WHERE relkind <> 'S' AND role <> 'rights_owner'
            AND has_table_privilege(role, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'))
    FROM member JOIN pg_class AS c ON c.oid = objid AND classid = 'pg_class'::regclass";

/// A database with the extension of an owner who is no superuser, a trainer and somebody else. Roles are the server's: each
/// test has the server to itself, one after the other.
struct Cast {
    database: Database<'static>,
}

const ROLES: [&str; 4] = ["rights_nobody", "rights_scorer", "rights_trainer", "rights_owner"];

impl Cast {
    fn new() -> Cast {
        let mut setup = sentiment_tests::Server::shared().connect("postgres", "postgres");
        for role in ROLES {
            setup.batch_execute(&format!("CREATE ROLE {role} LOGIN")).unwrap();
        }
        let mut cast = Cast { database: Database::owned_by("rights_owner") };
        cast.database.run("ALTER SCHEMA public OWNER TO rights_owner");
        cast.as_role("rights_owner")
            .batch_execute(&format!("CREATE EXTENSION pg_sentiment; {GRANTS}"))
            .unwrap();
        cast
    }

    fn as_role(&self, role: &str) -> Client {
        self.database.connect(role)
    }

    fn end(self) {
        drop(self.database);
        let mut setup = sentiment_tests::Server::shared().connect("postgres", "postgres");
        setup.batch_execute(&format!("DROP ROLE {}", ROLES.join(", "))).unwrap();
    }
}

/// What an owner grants to a trainer.
const GRANTS: &str = "
    GRANT EXECUTE ON FUNCTION train_sentiment, deploy_sentiment, rollback_sentiment, drop_sentiment, export_sentiment,
        import_sentiment, learn_sentiment, set_sentiment_term, refresh_sentiment TO rights_trainer";

/// The SQLSTATE of a statement, or `ok`.
fn outcome(client: &mut Client, sql: &str) -> String {
    match client.batch_execute(sql) {
        Ok(()) => "ok".into(),
        Err(error) => error.code().unwrap_or_else(|| panic!("{sql}: {error}")).code().into(),
    }
}

/// Tables of `rights_scorer`, of which nobody else may read `secret`. Every text of `letters` that others see is `good`.
const TABLES: &str = "
    CREATE TABLE secret (body text, label text);
    INSERT INTO secret SELECT 'so happy ' || n, CASE WHEN n % 2 = 0 THEN 'good' ELSE 'bad' END FROM generate_series(1, 40) AS n;
    SELECT enable_sentiment('secret', 'body');
    CREATE TABLE shared (LIKE secret);
    INSERT INTO shared SELECT body, label FROM secret;
    SELECT enable_sentiment('shared', 'body');
    GRANT SELECT ON shared TO PUBLIC;
    CREATE TABLE half (LIKE secret);
    GRANT SELECT (body) ON half TO PUBLIC;
    CREATE TABLE letters (body text, label text, whose text);
    INSERT INTO letters SELECT CASE WHEN n % 4 = 3 THEN 'terrible and sad ' ELSE 'so happy, great ' END || n,
        CASE WHEN n % 2 = 0 THEN 'good' ELSE 'bad' END,
        CASE WHEN n % 4 = 3 THEN 'rights_scorer' ELSE 'everybody' END FROM generate_series(1, 200) AS n;
    SELECT enable_sentiment('letters', 'body');
    GRANT SELECT, UPDATE ON letters TO PUBLIC;
    CREATE POLICY mine ON letters USING (whose IN ('everybody', current_user));
    ALTER TABLE letters ENABLE ROW LEVEL SECURITY";

/// Everything that is called: the function, a call, and what comes of it for nobody, the scorer, the trainer and the owner.
const CALLS: &[(&str, &str, [&str; 4])] = &[
    ("sentiment", "SELECT sentiment('so happy'), sentiment('so happy', 'm')", ["ok"; 4]),
    ("sentiment_score", "SELECT sentiment_score('so happy', 'm')", ["ok"; 4]),
    ("sentiment_probability", "SELECT sentiment_probability('so happy', 'good', 'm')", ["ok"; 4]),
    ("sentiment_detail", "SELECT sentiment_detail('so happy', 'm')", ["ok"; 4]),
    ("sentiment_json", "SELECT sentiment_json('so happy', 'm')", ["ok"; 4]),
    ("sentiment_batch", "SELECT * FROM sentiment_batch(ARRAY['so happy'], 'm')", ["ok"; 4]),
    ("sentiment_explain", "SELECT * FROM sentiment_explain('so happy', 'm')", ["ok"; 4]),
    ("sentiment_tokens", "SELECT * FROM sentiment_tokens('so happy', 'm')", ["ok"; 4]),
    ("sentiment_at", "SELECT sentiment_at('so happy', 'm@1')", ["ok"; 4]),
    ("sentiment_score_at", "SELECT sentiment_score_at('so happy', 'm@1')", ["ok"; 4]),
    ("sentiment_trigger", "SELECT sentiment_trigger()", ["39P01"; 4]),
    // A table that only its owner may read, alter or write.
    ("enable_sentiment", "SELECT enable_sentiment('secret', 'body')", ["42501", "ok", "42501", "42501"]),
    ("stale_sentiment", "SELECT stale_sentiment('secret')", ["42501", "ok", "42501", "42501"]),
    ("rescore_sentiment", "CALL rescore_sentiment('secret')", ["42501", "ok", "42501", "42501"]),
    ("disable_sentiment", "SELECT disable_sentiment('secret')", ["42501", "ok", "42501", "42501"]),
    (
        "evaluate_sentiment",
        "SELECT * FROM evaluate_sentiment('m', 'secret', 'body', 'label')",
        ["42501", "ok", "42501", "42501"],
    ),
    (
        "confusion_sentiment",
        "SELECT * FROM confusion_sentiment('m', 'secret', 'body', 'label')",
        ["42501", "ok", "42501", "42501"],
    ),
    (
        "drift_sentiment",
        "SELECT * FROM drift_sentiment('m', 'secret', 'body')",
        ["42501", "ok", "42501", "42501"],
    ),
    ("train_sentiment", "SELECT train_sentiment('n', 'secret', 'body', 'label')", ["42501"; 4]),
    // One that all may read.
    ("enable_sentiment", "SELECT enable_sentiment('shared', 'body')", ["42501", "ok", "42501", "42501"]),
    ("stale_sentiment", "SELECT stale_sentiment('shared')", ["ok"; 4]),
    ("rescore_sentiment", "CALL rescore_sentiment('shared')", ["42501", "ok", "42501", "42501"]),
    ("evaluate_sentiment", "SELECT * FROM evaluate_sentiment('m', 'shared', 'body', 'label')", ["ok"; 4]),
    ("drift_sentiment", "SELECT * FROM drift_sentiment('m', 'shared', 'body')", ["ok"; 4]),
    (
        "train_sentiment",
        "SELECT train_sentiment('n', 'shared', 'body', 'label')",
        ["42501", "42501", "ok", "ok"],
    ),
    // One of which all may read a column.
    (
        "evaluate_sentiment",
        "SELECT * FROM evaluate_sentiment('m', 'half', 'body', 'label')",
        ["42501", "ok", "42501", "42501"],
    ),
    ("drift_sentiment", "SELECT * FROM drift_sentiment('m', 'half', 'body')", ["ok"; 4]),
    // The server's own secrets, and the registry's.
    ("train_sentiment", "SELECT train_sentiment('n', 'pg_authid', 'rolpassword', 'rolname')", ["42501"; 4]),
    ("drift_sentiment", "SELECT * FROM drift_sentiment('m', 'pg_authid', 'rolpassword')", ["42501"; 4]),
    (
        "drift_sentiment",
        "SELECT * FROM drift_sentiment('m', 'sentiment.feedback', 'body')",
        ["42501", "42501", "42501", "ok"],
    ),
    (
        "evaluate_sentiment",
        "SELECT * FROM evaluate_sentiment('m', 'sentiment.feedback', 'body', 'label')",
        ["42501", "42501", "42501", "ok"],
    ),
    (
        "train_sentiment",
        "SELECT train_sentiment('n', 'sentiment.feedback', 'body', 'label')",
        ["42501", "42501", "42501", "22023"],
    ),
    // Models.
    ("export_sentiment", "SELECT export_sentiment('m')", ["42501", "42501", "ok", "ok"]),
    (
        "import_sentiment",
        "SELECT import_sentiment('i', export_sentiment('m'))",
        ["42501", "42501", "ok", "ok"],
    ),
    ("deploy_sentiment", "SELECT deploy_sentiment('m', 1)", ["42501", "42501", "ok", "ok"]),
    ("rollback_sentiment", "SELECT rollback_sentiment('m')", ["42501", "42501", "ok", "ok"]),
    ("learn_sentiment", "SELECT learn_sentiment('m', 'so glad', 'good')", ["42501", "42501", "ok", "ok"]),
    ("set_sentiment_term", "SELECT set_sentiment_term('m', 'lit', NULL)", ["42501", "42501", "ok", "ok"]),
    ("refresh_sentiment", "SELECT refresh_sentiment('m')", ["42501", "42501", "ok", "ok"]),
    ("drop_sentiment", "SELECT drop_sentiment('n')", ["42501", "42501", "ok", "ok"]),
    ("sentiment.is_pinned", "SELECT sentiment.is_pinned('m@1')", ["ok"; 4]),
    ("sentiment.pinned_by", "SELECT sentiment.pinned_by('m@1')", ["ok"; 4]),
    (
        "sentiment.registry_changed",
        "SELECT sentiment.registry_changed()",
        ["42501", "42501", "42501", "0A000"],
    ),
    ("sentiment.cached_models", "SELECT * FROM sentiment.cached_models()", ["ok"; 4]),
    ("sentiment.scored_tables", "SELECT * FROM sentiment.scored_tables()", ["ok"; 4]),
    ("sentiment.session_texts", "SELECT * FROM sentiment.session_texts()", ["ok"; 4]),
    ("sentiment.shipped_models", "SELECT * FROM sentiment.shipped_models()", ["ok"; 4]),
    ("sentiment.training_sessions", "SELECT * FROM sentiment.training_sessions()", ["ok"; 4]),
];

/// One test: the roles are the whole server's.
#[test]
fn who_may_do_what() {
    let mut cast = Cast::new();
    every_member_has_its_rights(&mut cast);
    every_function_keeps_to_them(&mut cast);
    row_security_is_honoured(&mut cast);
    models_can_be_kept_to_some(&mut cast);
    views_are_open_where_functions_are_closed();
    cast.database.ask_errors_so_far();
    cast.end();
}

fn every_member_has_its_rights(cast: &mut Cast) {
    let mut expected: BTreeMap<&str, For> = MEMBERS.iter().copied().collect();
    for row in cast.database.rows(CATALOG) {
        let name: String = row.get(0);
        let wanted = expected.remove(name.as_str());
        let wanted = wanted.unwrap_or_else(|| panic!("{name}: who may use it? MEMBERS does not say"));
        let roles: Vec<String> = row.get::<_, Option<_>>(1).unwrap_or_default();
        let allowed: &[&str] = match wanted {
            Everybody => &["rights_nobody", "rights_trainer", "rights_owner"],
            Granted => &["rights_trainer", "rights_owner"],
            Owner => &["rights_owner"],
        };
        assert_eq!(roles, allowed, "{name}");
        assert!(!row.get::<_, bool>(2), "{name} can be changed by others than its owner");
    }
    assert!(expected.is_empty(), "not there: {expected:?}");
    for (schema, right, wanted) in
        [("USAGE", "true", true), ("CREATE", "false", false)].map(|(r, _, w)| ("sentiment", r, w))
    {
        let has = format!("SELECT has_schema_privilege('rights_nobody', '{schema}', '{right}')");
        assert_eq!(cast.database.value::<bool>(&has), wanted, "{right} on {schema}");
    }
}

fn every_function_keeps_to_them(cast: &mut Cast) {
    cast.database.run("GRANT CREATE ON SCHEMA public TO rights_scorer");
    cast.as_role("rights_scorer").batch_execute(TABLES).unwrap();
    let mut trainer = cast.as_role("rights_trainer");
    for _ in 0..2 {
        let train =
            "SELECT train_sentiment('m', 'shared', 'body', 'label', 'naive_bayes', deploy => 'always')";
        trainer.batch_execute(train).unwrap();
    }
    let mut sessions = ROLES.map(|role| (role, cast.as_role(role)));
    for (name, call, wanted) in CALLS {
        for ((role, session), wanted) in sessions.iter_mut().zip(wanted) {
            assert_eq!(outcome(session, call), *wanted, "{call} by {role}, of {name}");
        }
    }
    for (name, _) in MEMBERS.iter().filter(|(name, _)| !CALLS.iter().any(|(called, _, _)| called == name)) {
        let wanted = |for_whom: For, role: &str| {
            if for_whom == Everybody || role == "rights_owner" { "ok" } else { "42501" }
        };
        let for_whom = MEMBERS.iter().find(|(member, _)| member == name).unwrap().1;
        for (role, session) in &mut sessions {
            let read = format!("SELECT * FROM {name} LIMIT 1");
            assert_eq!(outcome(session, &read), wanted(for_whom, role), "{read} by {role}");
        }
    }
}

/// A hundred and fifty of two hundred rows are for others than `rights_scorer` to see, and all of them are happy.
fn row_security_is_honoured(cast: &mut Cast) {
    let mut trainer = cast.as_role("rights_trainer");
    let mut one = |sql: &str| -> i64 { trainer.query_one(sql, &[]).unwrap().get(0) };
    let trained = "SELECT rows_train + rows_test + rows_skipped FROM train_sentiment('rows', 'letters', 'body', 'label')";
    assert_eq!(one(trained), 150);
    let evaluated =
        "SELECT support FROM evaluate_sentiment('m', 'letters', 'body', 'label') WHERE class = 'accuracy'";
    assert_eq!(one(evaluated), 150);
    assert_eq!(one("SELECT sum(n)::bigint FROM confusion_sentiment('m', 'letters', 'body', 'label')"), 150);
    let drift = "SELECT count(*) FROM drift_sentiment('english', 'letters', 'body')
                 WHERE measure = 'share of positive' AND current = 1";
    assert_eq!(one(drift), 1);
    cast.database.run(
        "ALTER TABLE letters DISABLE TRIGGER ALL; UPDATE letters SET sentiment_version = NULL;
                       ALTER TABLE letters ENABLE TRIGGER ALL",
    );
    assert_eq!(one("SELECT stale_sentiment('letters')"), 150);
    trainer.batch_execute("CALL rescore_sentiment('letters')").unwrap();
    let stale = "SELECT count(*) FROM letters WHERE sentiment_version IS NULL";
    assert_eq!(cast.database.value::<i64>(stale), 50);

    // Whoever turns it off is refused, and does not get all rows.
    trainer.batch_execute("SET row_security = off").unwrap();
    for call in [
        "SELECT train_sentiment('rows', 'letters', 'body', 'label')",
        "SELECT * FROM evaluate_sentiment('m', 'letters', 'body', 'label')",
        "SELECT * FROM drift_sentiment('m', 'letters', 'body')",
        "SELECT stale_sentiment('letters')",
        "CALL rescore_sentiment('letters')",
    ] {
        assert_eq!(outcome(&mut trainer, call), "42501", "{call}");
    }

    // An owner who is under the policy too scores what the owner sees.
    let mut owner = cast.as_role("rights_scorer");
    owner
        .batch_execute(
            "ALTER TABLE letters FORCE ROW LEVEL SECURITY;
             DROP POLICY mine ON letters;
             CREATE POLICY theirs ON letters USING (whose = 'everybody')",
        )
        .unwrap();
    let scored: i64 = owner.query_one("SELECT enable_sentiment('letters', 'body')", &[]).unwrap().get(0);
    assert_eq!(scored, 150);
}

/// What SECURITY.md takes from PUBLIC is all that answers with a model.
fn models_can_be_kept_to_some(cast: &mut Cast) {
    let security = std::fs::read_to_string(sentiment_tests::repository().join("SECURITY.md")).unwrap();
    let revoke = security[security.find("REVOKE EXECUTE").unwrap()..].split("```").next().unwrap();
    // The owner cannot: it warns, and nothing is taken.
    cast.as_role("rights_owner").batch_execute(revoke).unwrap();
    cast.database.ask(Level::Warning, "01006");
    let mut nobody = cast.as_role("rights_nobody");
    assert_eq!(outcome(&mut nobody, "SELECT sentiment('so happy', 'm')"), "ok");
    cast.database.run(revoke);
    cast.database.run("CREATE TABLE own (body text, label text); ALTER TABLE own OWNER TO rights_nobody");
    for (name, call, _) in CALLS.iter().filter(|(name, call, wanted)| {
        MEMBERS.contains(&(name, Everybody))
            && wanted[0] == "ok"
            && !name.contains('.')
            && !call.contains("stale_sentiment")
    }) {
        assert_eq!(outcome(&mut nobody, call), "42501", "{call}, of {name}");
    }
    for call in [
        "SELECT enable_sentiment('own', 'body', 'm')",
        "CREATE TRIGGER score BEFORE INSERT ON own FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'label=label', 'model=m')",
        "SELECT * FROM evaluate_sentiment('m', 'own', 'body', 'label')",
        "SELECT * FROM confusion_sentiment('m', 'own', 'body', 'label')",
        "SELECT * FROM drift_sentiment('m', 'own', 'body')",
    ] {
        assert_eq!(outcome(&mut nobody, call), "42501", "{call}");
    }
}

/// Where functions are closed by default, the views are open all the same, fresh or updated. What was closed by hand stays closed.
fn views_are_open_where_functions_are_closed() {
    let closed = "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC";
    let (fresh, old, update) = (
        "CREATE EXTENSION pg_sentiment",
        "CREATE EXTENSION pg_sentiment VERSION '0.1.0'",
        "ALTER EXTENSION pg_sentiment UPDATE",
    );
    let by_hand = "REVOKE EXECUTE ON FUNCTION sentiment.cached_models FROM PUBLIC";
    for (statements, scoring, cache) in [
        ([closed, fresh].as_slice(), "42501", "ok"),
        (&[closed, old, update], "42501", "ok"),
        (&[old, closed, update], "ok", "ok"),
        (&[old, by_hand, update], "ok", "42501"),
    ] {
        let mut database = Database::owned_by("rights_owner");
        statements.iter().for_each(|statement| database.run(statement));
        let mut nobody = database.connect("rights_nobody");
        for (view, wanted) in [
            ("models", "ok"),
            ("tables", "ok"),
            ("versions", "ok"),
            ("deployments", "ok"),
            ("training_progress", "ok"),
            ("cache", cache),
        ] {
            let outcome = outcome(&mut nobody, &format!("SELECT * FROM sentiment.{view}"));
            assert_eq!(outcome, wanted, "{view} after {statements:?}");
        }
        assert_eq!(outcome(&mut nobody, "SELECT sentiment('so happy')"), scoring, "after {statements:?}");
        database.ask(Level::Error, "42501");
    }
}
