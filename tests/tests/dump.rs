//! What rests on the extension survives pg_dump and restore.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::Write;
use std::process::Stdio;

use sentiment_tests::{Database, Server, run_clean};

/// A generated column, an expression index, a materialized view and a trigger, and what they hold.
const OBJECTS: &str = "
    CREATE TABLE examples AS
    SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || md5(n::text) AS body,
           CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label FROM generate_series(1, 200) AS n;
    SELECT train_sentiment('mood', 'examples', 'body', 'label', 'naive_bayes');
    SELECT learn_sentiment('mood', 'foggy', 'negative') FROM generate_series(1, 9);
    SELECT refresh_sentiment('mood');
    SELECT learn_sentiment('mood', 'misty', 'negative');
    CREATE TABLE days (body text, mood text, version text);
    CREATE TRIGGER mood BEFORE INSERT ON days FOR EACH ROW
        EXECUTE FUNCTION sentiment_trigger('body', 'label=mood', 'version=version', 'model=mood');
    INSERT INTO days VALUES ('foggy'), ('sunny');
    CREATE TABLE messages (
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        body text,
        label_at text GENERATED ALWAYS AS (public.sentiment_at(body, 'english@2')) STORED,
        score_at float8 GENERATED ALWAYS AS (public.sentiment_score_at(body, 'english@2')) STORED
    );
    SELECT enable_sentiment('messages', 'body');
    INSERT INTO messages (body) VALUES ('so happy, great'), ('so sad, terrible'), ('the train at six'), (''), (NULL);
    CREATE INDEX messages_label ON messages (sentiment_at(body, 'english@2'));
    CREATE INDEX messages_score ON messages (sentiment_score_at(body, 'english@2')) WHERE sentiment_at(body, 'english@2') IS NOT NULL;
    CREATE MATERIALIZED VIEW labels AS
        SELECT sentiment_at(body, 'english@2') AS label, count(*) AS messages FROM messages GROUP BY 1;
    CREATE VIEW current_labels AS SELECT id, sentiment(body) AS label FROM messages;
    ALTER TABLE messages ADD CONSTRAINT scored CHECK (sentiment_score_at(body, 'english@2') BETWEEN -1 AND 1)";

const CONTENT: &str = "
    SELECT (SELECT string_agg(m::text, E'\\n' ORDER BY id) FROM messages AS m) || E'\\n' ||
           (SELECT string_agg(l::text, E'\\n' ORDER BY l) FROM labels AS l) || E'\\n' ||
           (SELECT string_agg(pg_get_indexdef(indexrelid), E'\\n' ORDER BY pg_get_indexdef(indexrelid)) FROM pg_index WHERE indrelid = 'messages'::regclass) || E'\\n' ||
           (SELECT string_agg(pg_get_triggerdef(oid), E'\\n') FROM pg_trigger WHERE tgrelid = 'messages'::regclass) || E'\\n' ||
           (SELECT string_agg(c::text, E'\\n' ORDER BY id) FROM current_labels AS c)";

/// Dumps one database as a user and restores it into another; restoring stops at the first error.
fn dump_and_restore(from: &Database<'_>, to: &Database<'_>, user: &str) {
    let dump = run_clean(&mut from.server().program("pg_dump", from.name(), user));
    assert!(dump.contains("CREATE EXTENSION IF NOT EXISTS pg_sentiment"), "{dump}");
    assert!(
        !dump.contains("CREATE FUNCTION public.sentiment("),
        "members of the extension are dumped:\n{dump}"
    );
    assert!(!dump.contains("CREATE SCHEMA"), "the extension's schema is dumped:\n{dump}");
    let mut psql = to.server().program("psql", to.name(), user);
    psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]).stdout(Stdio::null());
    let mut psql = psql.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    psql.stdin.take().unwrap().write_all(dump.as_bytes()).unwrap();
    let output = psql.wait_with_output().unwrap();
    assert!(output.status.success(), "restore as {user}: {}", String::from_utf8_lossy(&output.stderr));
}

fn assert_restored(source: &mut Database<'_>, copy: &mut Database<'_>) {
    assert_eq!(copy.value::<String>(CONTENT), source.value::<String>(CONTENT));
    let index = "SET enable_seqscan = off; SET enable_bitmapscan = off";
    copy.run(index);
    let used =
        "EXPLAIN (COSTS OFF) SELECT id FROM messages WHERE sentiment_at(body, 'english@2') = 'negative'";
    let plan: Vec<String> = copy.rows(used).iter().map(|row| row.get(0)).collect();
    assert!(plan[0].contains("messages_label"), "{plan:?}");
    copy.run("INSERT INTO messages (body) VALUES ('so sad, terrible'); REFRESH MATERIALIZED VIEW labels");
    assert_eq!(copy.value::<i64>("SELECT messages FROM labels WHERE label = 'negative'"), 2);
    let models = "SELECT string_agg(v::text, E'\\n' ORDER BY model, number) FROM sentiment.versions AS v";
    assert_eq!(copy.value::<String>(models), source.value::<String>(models));
    let days = "SELECT string_agg(d::text, ' ' ORDER BY d) FROM days AS d";
    copy.run("INSERT INTO days VALUES ('foggy'), ('sunny'); DELETE FROM days WHERE ctid NOT IN (SELECT max(ctid) FROM days GROUP BY body)");
    assert_eq!(copy.value::<String>(days), source.value::<String>(days));
    // Numbers go on, and so does learning.
    let refreshed: String = copy.value("SELECT model_version FROM refresh_sentiment('mood')");
    assert_eq!(refreshed, "mood@3");
    assert_eq!(copy.value::<String>("SELECT rollback_sentiment('mood')"), "mood@2");
    let same = "SELECT count(*) FROM messages WHERE sentiment_at(body, 'english@2') = 'negative'
                AND label_at = 'negative' AND sentiment = 'negative' AND score_at = sentiment_score";
    assert_eq!(copy.value::<i64>(same), 2);
}

#[test]
fn as_superuser() {
    let (mut source, mut copy) = (Database::new(), Database::owned_by("postgres"));
    source.run(OBJECTS);
    dump_and_restore(&source, &copy, "postgres");
    assert_restored(&mut source, &mut copy);
}

/// An owner without rights on the server dumps and restores his own database, extension included.
#[test]
fn as_database_owner() {
    let setup = Database::new();
    setup.connect("postgres").batch_execute("CREATE ROLE dump_owner LOGIN").unwrap();
    {
        let (mut source, mut copy) = (Database::owned_by("dump_owner"), Database::owned_by("dump_owner"));
        for database in [&mut source, &mut copy] {
            database.run("ALTER SCHEMA public OWNER TO dump_owner");
        }
        let mut owner = source.connect("dump_owner");
        owner.batch_execute("CREATE EXTENSION pg_sentiment").unwrap();
        owner.batch_execute(OBJECTS).unwrap();
        dump_and_restore(&source, &copy, "dump_owner");
        assert_restored(&mut source, &mut copy);
    }
    setup.connect("postgres").batch_execute("DROP ROLE dump_owner").unwrap();
}

/// Who may do what, of all members of the extension.
const PRIVILEGES: &str = "
    WITH member AS (
        SELECT classid, objid FROM pg_depend
        WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_sentiment')),
    owned AS (
        SELECT oid::regprocedure::text AS name, proowner AS owner, proacl AS acl FROM member JOIN pg_proc ON oid = objid
        UNION ALL SELECT oid::regclass::text, relowner, relacl FROM member JOIN pg_class ON oid = objid
        UNION ALL SELECT nspname, nspowner, nspacl FROM member JOIN pg_namespace ON oid = objid)
    SELECT string_agg(concat_ws(' ', name, owner::regrole, grants), E'\\n' ORDER BY name)
    FROM owned, LATERAL (
        SELECT string_agg(concat_ws(' ', grantee::regrole, privilege_type, is_grantable), ', '
            ORDER BY grantee::regrole::text, privilege_type) AS grants
        FROM aclexplode(acl)) AS listed";

/// What an owner has granted and revoked.
const GRANTS: &str = "
    GRANT EXECUTE ON FUNCTION train_sentiment, refresh_sentiment TO dump_trainer;
    GRANT EXECUTE ON FUNCTION export_sentiment TO dump_trainer WITH GRANT OPTION;
    GRANT SELECT ON sentiment.feedback TO dump_trainer;
    REVOKE SELECT ON sentiment.versions FROM PUBLIC;
    GRANT SELECT ON sentiment.versions TO dump_trainer";

/// What a superuser alone can revoke: the functions are the superuser's.
const REVOKED: &str = "REVOKE EXECUTE ON FUNCTION sentiment(text, text), sentiment_tokens FROM PUBLIC";

/// Grants come back as they were, whoever dumps and restores.
#[test]
fn with_its_privileges() {
    let setup = Database::new();
    setup
        .connect("postgres")
        .batch_execute("CREATE ROLE dump_granter LOGIN; CREATE ROLE dump_trainer")
        .unwrap();
    for user in ["postgres", "dump_granter"] {
        let (mut source, mut copy) = (Database::owned_by(user), Database::owned_by(user));
        for database in [&mut source, &mut copy] {
            database.run(&format!("ALTER SCHEMA public OWNER TO {user}"));
        }
        let mut owner = source.connect(user);
        owner.batch_execute(&format!("CREATE EXTENSION pg_sentiment; {GRANTS}")).unwrap();
        if user == "postgres" {
            owner.batch_execute(REVOKED).unwrap();
        }
        dump_and_restore(&source, &copy, user);
        let privileges: String = source.value(PRIVILEGES);
        assert!(
            privileges.contains("dump_trainer EXECUTE") && privileges.contains("dump_trainer SELECT"),
            "{privileges}"
        );
        assert_eq!(copy.value::<String>(PRIVILEGES), privileges);
    }
    setup.connect("postgres").batch_execute("DROP ROLE dump_granter, dump_trainer").unwrap();
}

/// pg_restore in parallel, data after schema, as most restores are.
fn restore_in_parallel(source: &Database<'_>, copy: &Database<'_>, user: &str, options: &[&str]) {
    let file = format!("{}/{}.dump", env!("CARGO_TARGET_TMPDIR"), source.name());
    let mut dump = source.server().program("pg_dump", source.name(), user);
    run_clean(dump.args(["--format=custom", "--file", &file]).args(options));
    let mut restore = copy.server().program("pg_restore", copy.name(), user);
    run_clean(restore.args(["--exit-on-error", "--jobs=4", "--dbname", copy.name(), &file]));
}

#[test]
fn custom_format_in_parallel() {
    let (mut source, mut copy) = (Database::new(), Database::owned_by("postgres"));
    source.run(OBJECTS);
    restore_in_parallel(&source, &copy, "postgres", &[]);
    assert_restored(&mut source, &mut copy);
}

#[test]
fn custom_format_in_parallel_as_database_owner() {
    let setup = Database::new();
    setup.connect("postgres").batch_execute("CREATE ROLE restore_owner LOGIN").unwrap();
    {
        let (mut source, mut copy) =
            (Database::owned_by("restore_owner"), Database::owned_by("restore_owner"));
        for database in [&mut source, &mut copy] {
            database.run("ALTER SCHEMA public OWNER TO restore_owner");
        }
        let mut owner = source.connect("restore_owner");
        owner.batch_execute("CREATE EXTENSION pg_sentiment").unwrap();
        owner.batch_execute(OBJECTS).unwrap();
        restore_in_parallel(&source, &copy, "restore_owner", &[]);
        assert_restored(&mut source, &mut copy);
    }
    setup.connect("postgres").batch_execute("DROP ROLE restore_owner").unwrap();
}

/// A dump of some schemas leaves extensions out, and with them the models: the README says how to name ours.
#[test]
fn some_schemas_with_the_extension() {
    let (mut source, mut copy) = (Database::new(), Database::owned_by("postgres"));
    source.run(OBJECTS);
    let registry =
        run_clean(source.server().program("pg_dump", source.name(), "postgres").arg("--schema=sentiment"));
    assert!(!registry.contains("sentiment.model"), "the README's warning is not needed:\n{registry}");
    assert!(readme().contains("`--extension=pg_sentiment`"));
    copy.run("DROP SCHEMA public");
    restore_in_parallel(&source, &copy, "postgres", &["--schema=public", "--extension=pg_sentiment"]);
    assert_restored(&mut source, &mut copy);
}

fn readme() -> String {
    std::fs::read_to_string(sentiment_tests::repository().join("README.md")).unwrap()
}

/// pg_restore by the README's four steps.
fn restore_as_the_readme_says(source: &Database<'_>, copy: &Database<'_>, options: &[&str]) {
    let file = format!("{}/{}.dump", env!("CARGO_TARGET_TMPDIR"), source.name());
    let mut dump = source.server().program("pg_dump", source.name(), "postgres");
    run_clean(dump.args(["--format=custom", "--file", &file]));
    let readme = readme();
    let steps: Vec<_> =
        readme.lines().filter_map(|line| line.strip_prefix("pg_restore --dbname=app ")).collect();
    assert_eq!(steps.len(), 4);
    for step in steps {
        let mut restore = copy.server().program("pg_restore", copy.name(), "postgres");
        restore.args(["--exit-on-error", "--dbname", copy.name()]).args(options);
        run_clean(restore.args(step.split(' ').filter(|option| option.starts_with("--"))).arg(&file));
    }
}

/// What is computed while rows are restored needs its model then, and pg_dump writes tables in the order of their schemas' names:
/// the README says how to have the models first.
#[test]
fn what_trained_versions_compute_comes_after_them() {
    let (mut source, mut copy) = (Database::new(), Database::owned_by("postgres"));
    source.run(OBJECTS);
    source.run(
        "CREATE TABLE generated (body text, mood text GENERATED ALWAYS AS (public.sentiment_at(body, 'mood@1')) STORED);
         CREATE TABLE checked (body text CHECK (public.sentiment_at(body, 'mood@1') <> 'none'));
         CREATE TABLE partitioned (body text) PARTITION BY LIST (public.sentiment_at(body, 'mood@1'));
         CREATE TABLE bad_days PARTITION OF partitioned FOR VALUES IN ('negative');
         CREATE TABLE other_days PARTITION OF partitioned DEFAULT;
         INSERT INTO generated VALUES ('sunny'), ('rainy'), (NULL);
         INSERT INTO checked SELECT body FROM generated; INSERT INTO partitioned SELECT body FROM generated",
    );
    restore_as_the_readme_says(&source, &copy, &[]);
    let computed = "SELECT (SELECT string_agg(g::text, ' ' ORDER BY g) FROM generated AS g) || (SELECT count(*) FROM checked)
        || (SELECT string_agg(body, ' ') FROM bad_days)";
    assert_eq!(copy.value::<String>(computed), "(rainy,negative) (sunny,positive) (,)3rainy");
    assert_restored(&mut source, &mut copy);
}

/// In parallel an index is built as soon as its table is filled, which may be before the models are there.
#[test]
fn indexes_on_trained_versions_in_parallel() {
    let (mut source, mut copy) = (Database::new(), Database::owned_by("postgres"));
    source.run(OBJECTS);
    source.run(
        "CREATE TABLE indexed AS SELECT body FROM examples; CREATE INDEX indexed_mood ON indexed (sentiment_at(body, 'mood@1'))",
    );
    restore_as_the_readme_says(&source, &copy, &["--jobs=2"]);
    let valid = "SELECT count(*) FROM pg_index WHERE indexrelid = 'indexed_mood'::regclass AND indisvalid";
    assert_eq!(copy.value::<i64>(valid), 1);
    assert_restored(&mut source, &mut copy);
}

/// Rows that are loaded by themselves keep the sentiment that they have, with triggers disabled.
#[test]
fn data_after_schema() {
    let (mut source, mut copy) = (Database::new(), Database::owned_by("postgres"));
    source.run(OBJECTS);
    for options in [&["--schema-only"][..], &["--data-only", "--disable-triggers"]] {
        let mut dump = source.server().program("pg_dump", source.name(), "postgres");
        let dump = run_clean(dump.args(options));
        let mut psql = copy.server().program("psql", copy.name(), "postgres");
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]).stdout(Stdio::null());
        let mut psql = psql.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        psql.stdin.take().unwrap().write_all(dump.as_bytes()).unwrap();
        let output = psql.wait_with_output().unwrap();
        let warnings = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && warnings.is_empty(), "{options:?}: {warnings}");
    }
    copy.run("REFRESH MATERIALIZED VIEW labels");
    assert_restored(&mut source, &mut copy);
}

/// Who comes to own the extension's registry by the README's statements has all that the owner had, also after a dump.
#[test]
fn another_owner() {
    let setup = Database::new();
    let roles = "dump_before, dump_after, dump_helper";
    setup
        .connect("postgres")
        .batch_execute(
            "CREATE ROLE dump_before LOGIN; CREATE ROLE dump_after LOGIN; CREATE ROLE dump_helper LOGIN",
        )
        .unwrap();
    {
        let (mut source, mut copy) = (Database::owned_by("dump_before"), Database::owned_by("dump_after"));
        source.run("ALTER SCHEMA public OWNER TO dump_before");
        copy.run("ALTER SCHEMA public OWNER TO dump_after");
        source.connect("dump_before").batch_execute("CREATE EXTENSION pg_sentiment").unwrap();
        let privileges: String = source.value(PRIVILEGES);
        let readme = readme();
        let at = readme.find("REASSIGN OWNED BY app").unwrap();
        let statements = readme[at..].split("```").next().unwrap();
        let statements = statements.replace("new_app", "dump_after").replace(r"\mapp", r"\mdump_before");
        source.run(&statements.replace("BY app ", "BY dump_before "));
        source.run("DROP OWNED BY dump_before");
        let privileges = privileges.replace("dump_before", "dump_after");
        assert_eq!(source.value::<String>(PRIVILEGES), privileges);
        let grant = "GRANT EXECUTE ON FUNCTION learn_sentiment TO dump_helper";
        source.connect("dump_after").batch_execute(grant).unwrap();
        let dump = run_clean(&mut source.server().program("pg_dump", source.name(), "postgres"));
        let revoked = dump.lines().any(|line| line.starts_with("REVOKE") && line.contains("sentiment"));
        assert!(!revoked && !dump.contains("dump_before"), "{dump}");
        dump_and_restore(&source, &copy, "dump_after");
        assert_eq!(copy.value::<String>(PRIVILEGES), source.value::<String>(PRIVILEGES));
    }
    setup.connect("postgres").batch_execute(&format!("DROP ROLE {roles}")).unwrap();
}

/// A whole server with its roles, what they were granted, and a model of each database.
#[test]
fn all_databases_of_a_server() {
    let (old, new) = (Server::start(&[]), Server::start(&[]));
    let mut source = Database::on(&old);
    source.run(OBJECTS);
    source.run(
        "CREATE ROLE trainer LOGIN; GRANT EXECUTE ON FUNCTION learn_sentiment, refresh_sentiment TO trainer;
         ALTER ROLE trainer SET sentiment.default_model = 'mood'",
    );
    let mut other = Database::on(&old);
    other.run(
        "CREATE TABLE examples (body text, label text);
         INSERT INTO examples SELECT 'word ' || n, (n % 2)::text FROM generate_series(1, 40) AS n;
         SELECT train_sentiment('mood', 'examples', 'body', 'label', 'naive_bayes')",
    );
    let mut dump = run_clean(&mut old.program("pg_dumpall", "postgres", "postgres"));
    // Where there is no PostgreSQL 14 but its server, a newer pg_dumpall writes what that does not know.
    if source.value::<i32>("SELECT current_setting('server_version_num')::int") < 150_000 {
        dump = dump.replace(" LOCALE_PROVIDER = libc", "");
    }
    let mut psql = new.program("psql", "postgres", "postgres");
    psql.args(["--no-psqlrc", "--quiet"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut psql = psql.stdin(Stdio::piped()).spawn().unwrap();
    psql.stdin.take().unwrap().write_all(dump.as_bytes()).unwrap();
    let output = psql.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    // The superuser is there already.
    let unasked: Vec<_> =
        errors.lines().filter(|line| !line.contains("role \"postgres\" already exists")).collect();
    assert!(output.status.success() && unasked.is_empty(), "{errors}");
    let mut copy = Database::existing(&new, source.name());
    let mut trainer = copy.connect("trainer");
    let label: String = trainer.query_one("SELECT sentiment('foggy')", &[]).unwrap().get(0);
    assert_eq!(label, "negative", "the trainer's default model");
    trainer.batch_execute("SELECT learn_sentiment('mood', 'misty', 'negative')").unwrap();
    copy.run(
        "DELETE FROM sentiment.unlearned WHERE feedback = (SELECT max(feedback) FROM sentiment.unlearned)",
    );
    drop(trainer);
    assert_restored(&mut source, &mut copy);
    let mut other_copy = Database::existing(&new, other.name());
    let bytes = "SELECT md5(export_sentiment('mood'))";
    assert_eq!(other_copy.value::<String>(bytes), other.value::<String>(bytes));
}
