//! A database owner who is no superuser has the extension, and nobody gets more rights by it.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use postgres::Client;
use sentiment_tests::{Database, Level};

/// A role that is dropped at the end of the test, after the databases it owns.
struct Role(Client, &'static str);

impl Role {
    fn new(name: &'static str) -> Role {
        let mut client = sentiment_tests::Server::shared().connect("postgres", "postgres");
        client.batch_execute(&format!("CREATE ROLE {name} LOGIN")).unwrap();
        Role(client, name)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let dropped = self.0.batch_execute(&format!("DROP ROLE {}", self.1));
        assert!(dropped.is_ok() || std::thread::panicking(), "{dropped:?}");
    }
}

fn one<T: postgres::types::FromSqlOwned>(client: &mut Client, sql: &str) -> T {
    client.query_one(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

#[test]
fn installs_uses_and_drops_it() {
    let role = Role::new("owner_plain");
    let database = Database::owned_by(role.1);
    let mut owner = database.connect(role.1);
    assert_eq!(one::<String>(&mut owner, "SELECT current_setting('is_superuser')"), "off");
    owner
        .batch_execute(
            "CREATE SCHEMA app;
             CREATE EXTENSION pg_sentiment SCHEMA app;
             CREATE TABLE app.messages (body text);
             INSERT INTO app.messages VALUES ('so happy, great');
             SELECT app.enable_sentiment('app.messages', 'body')",
        )
        .unwrap();
    assert_eq!(one::<String>(&mut owner, "SELECT sentiment FROM app.messages"), "positive");
    owner.batch_execute("UPDATE app.messages SET sentiment_version = NULL").unwrap();
    owner.batch_execute("CALL app.rescore_sentiment('app.messages')").unwrap();
    assert_eq!(one::<i64>(&mut owner, "SELECT app.stale_sentiment('app.messages')"), 0);
    assert_eq!(one::<String>(&mut owner, "SELECT min(model) FROM sentiment.models"), "english");
    owner.batch_execute("DROP TABLE app.messages; DROP EXTENSION pg_sentiment; DROP SCHEMA app").unwrap();
}

/// Who comes to own the registry later, by REASSIGN OWNED, owns what works on it.
#[test]
fn another_takes_it_over() {
    let (before, after) = (Role::new("owner_before"), Role::new("owner_after"));
    let mut database = Database::owned_by(before.1);
    let mut owner = database.connect(before.1);
    owner.batch_execute("CREATE SCHEMA app; CREATE EXTENSION pg_sentiment SCHEMA app").unwrap();
    database.run(&format!("REASSIGN OWNED BY {} TO {}; SET search_path = app", before.1, after.1));
    // Some servers show it to nobody; versions are pruned all the same.
    database.run("REVOKE SELECT ON pg_locks FROM PUBLIC");
    database.run(
        "CREATE TABLE texts AS SELECT 'word ' || n AS body, (n % 2)::text AS label FROM generate_series(1, 60) AS n;
         SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes', '{\"keep_versions\": 1}', deploy => 'always')
         FROM generate_series(1, 4);
         SELECT learn_sentiment('m', 'foggy', '1'), refresh_sentiment('m')",
    );
    assert_eq!(
        database.value::<i64>("SELECT count(*) FROM sentiment.versions"),
        2,
        "the current and the one before"
    );
    database.run("SELECT drop_sentiment('m')");
    let refused = database.connect(after.1).batch_execute("SELECT app.drop_sentiment('m')").unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "42501", "what is granted does not follow");
    database.ask(Level::Error, "42501");
}

/// A trainer can be dropped once the owner has taken back what the owner granted, as the README says: the superuser's DROP OWNED takes
/// back what was granted in the superuser's name alone.
#[test]
fn who_was_granted_functions_can_go() {
    let role = Role::new("owner_granter");
    let mut database = Database::owned_by(role.1);
    database.run(&format!("ALTER SCHEMA public OWNER TO {}; CREATE ROLE owner_trainer LOGIN", role.1));
    let mut owner = database.connect(role.1);
    owner
        .batch_execute(
            "CREATE EXTENSION pg_sentiment;
             CREATE TABLE texts AS SELECT 'word ' || n AS body, (n % 2)::text AS label FROM generate_series(1, 60) AS n;
             GRANT SELECT ON texts, sentiment.feedback TO owner_trainer;
             GRANT EXECUTE ON FUNCTION train_sentiment, deploy_sentiment TO owner_trainer",
        )
        .unwrap();
    let train = "SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes', deploy => 'always')";
    database.connect("owner_trainer").batch_execute(train).unwrap();
    database.run(&format!(
        "SET ROLE {}; REVOKE EXECUTE ON FUNCTION train_sentiment, deploy_sentiment FROM owner_trainer; RESET ROLE;
         DROP OWNED BY owner_trainer; DROP ROLE owner_trainer",
        role.1
    ));
    assert_eq!(
        one::<String>(&mut owner, "SELECT deployed_by FROM sentiment.models WHERE model = 'm'"),
        "owner_trainer"
    );
    assert_eq!(
        one::<String>(
            &mut owner,
            "SELECT model_version FROM train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes')"
        ),
        "m@2"
    );
}

/// What a superuser has restored is the superuser's, until the functions are granted by the README's statement.
#[test]
fn a_superusers_can_be_handed_over() {
    let role = Role::new("owner_heir");
    let mut database = Database::new();
    let readme = std::fs::read_to_string(sentiment_tests::repository().join("README.md")).unwrap();
    let at = readme.find("REASSIGN OWNED BY app").unwrap();
    let grant = &readme[at + readme[at..].find("GRANT").unwrap()..];
    database.run(&format!(
        "CREATE TABLE texts AS SELECT 'word ' || n AS body, (n % 2)::text AS label FROM generate_series(1, 60) AS n;
         GRANT SELECT ON texts TO {}; {}",
        role.1,
        grant[..=grant.find(';').unwrap()].replace("new_app", role.1)
    ));
    let mut heir = database.connect(role.1);
    let train = "SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes', '{\"keep_versions\": 1}', deploy => 'always')";
    for _ in 0..3 {
        heir.batch_execute(train).unwrap();
    }
    heir.batch_execute(
        "SELECT learn_sentiment('m', 'foggy', '1'), refresh_sentiment('m'), rollback_sentiment('m');
         GRANT EXECUTE ON FUNCTION learn_sentiment TO PUBLIC; SELECT drop_sentiment('m')",
    )
    .unwrap();
    drop(heir);
    database.run(&format!("DROP OWNED BY {}", role.1));
}

#[test]
fn who_may_not_create_it() {
    let (owner, other) = (Role::new("owner_of_it"), Role::new("owner_of_nothing"));
    let mut database = Database::owned_by(owner.1);
    let mut stranger = database.connect(other.1);
    let error = stranger.batch_execute("CREATE EXTENSION pg_sentiment").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42501");
    database.ask(Level::Error, "42501");
}

/// The install script runs as superuser: what the owner has put into the way must not run with those rights, nor be
/// adopted by the extension.
#[test]
fn traps_for_the_install_script() {
    let role = Role::new("owner_hostile");
    let mut database = Database::owned_by(role.1);
    database.run(&format!("ALTER SCHEMA public OWNER TO {}", role.1));
    let mut owner = database.connect(role.1);
    owner.batch_execute(TRAPS).unwrap();
    owner.batch_execute("SET search_path = public, pg_catalog; CREATE EXTENSION pg_sentiment").unwrap();
    assert_eq!(one::<i64>(&mut owner, "SELECT count(*) FROM trapped"), 0);
    let functions: i64 = one(
        &mut owner,
        "SELECT count(*) FROM pg_depend AS d JOIN pg_extension AS e ON refobjid = e.oid
         WHERE extname = 'pg_sentiment' AND deptype = 'e' AND objid IN
             (SELECT oid FROM pg_proc WHERE proowner <> 10 UNION ALL SELECT oid FROM pg_operator)",
    );
    assert_eq!(functions, 0, "functions of the extension belong to the superuser");

    // a function or a schema of ours that is there already is refused, not adopted
    owner.batch_execute("DROP EXTENSION pg_sentiment").unwrap();
    for (trap, state) in [
        (
            "CREATE FUNCTION public.sentiment(body text, model text DEFAULT NULL) RETURNS text LANGUAGE sql AS 'SELECT 1'",
            "42723",
        ),
        ("CREATE SCHEMA sentiment", "42P06"),
    ] {
        let mut transaction = owner.transaction().unwrap();
        transaction.batch_execute(trap).unwrap();
        let error = transaction.batch_execute("CREATE EXTENSION pg_sentiment").unwrap_err();
        assert_eq!(error.code().unwrap().code(), state, "{trap}");
        database.ask(Level::Error, state);
    }
}

/// Operators and functions that hide the server's own for whoever has public before pg_catalog in the search path.
const TRAPS: &str = "
    CREATE TABLE trapped (who text);
    GRANT INSERT, SELECT ON trapped TO PUBLIC;
    CREATE FUNCTION trap(text, text) RETURNS bool LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.trapped VALUES (current_user); RETURN true; END $$;
    CREATE FUNCTION trap_name(name, name) RETURNS bool LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.trapped VALUES (current_user); RETURN true; END $$;
    CREATE OPERATOR = (LEFTARG = text, RIGHTARG = text, FUNCTION = trap);
    CREATE OPERATOR <> (LEFTARG = text, RIGHTARG = text, FUNCTION = trap);
    CREATE OPERATOR = (LEFTARG = name, RIGHTARG = name, FUNCTION = trap_name);
    CREATE FUNCTION count(text) RETURNS bigint LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.trapped VALUES (current_user); RETURN 0; END $$;
    CREATE FUNCTION format(text, text) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.trapped VALUES (current_user); RETURN 0; END $$;
    CREATE FUNCTION quote_ident(text) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.trapped VALUES (current_user); RETURN 0; END $$;
    CREATE FUNCTION sentiment(varchar, text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.trapped VALUES (current_user); RETURN 'trap'; END $$;
    CREATE FUNCTION sentiment_score(varchar, text DEFAULT NULL) RETURNS float8 LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.trapped VALUES (current_user); RETURN 0; END $$";

/// The actions do what they say under any search path, with what others have put there.
#[test]
fn traps_for_the_actions() {
    let role = Role::new("owner_trapper");
    let mut database = Database::new();
    database.run(&format!("GRANT CREATE ON SCHEMA public TO {}", role.1));
    database.connect(role.1).batch_execute(TRAPS).unwrap();
    database.run("CREATE SCHEMA app; CREATE TABLE app.messages (body varchar(100)); INSERT INTO app.messages VALUES ('so happy, great')");
    for path in ["public, pg_catalog", "pg_temp, public, pg_catalog, app", "''"] {
        database.run(&format!("SET search_path = {path}"));
        database.run("SELECT public.enable_sentiment('app.messages', 'body')");
        database.run("UPDATE app.messages SET sentiment_version = NULL, body = body");
        database.run("UPDATE app.messages SET sentiment_version = NULL");
        database.run("SELECT public.stale_sentiment('app.messages')");
        database.run("CALL public.rescore_sentiment('app.messages')");
        database.run("SELECT * FROM sentiment.models");
        assert_eq!(database.value::<String>("SELECT sentiment FROM app.messages"), "positive");
        database.run("SELECT public.disable_sentiment('app.messages', drop_columns => true)");
    }
    assert_eq!(database.value::<i64>("SELECT pg_catalog.count(*) FROM public.trapped"), 0);
    database.run(&format!("RESET search_path; DROP OWNED BY {}", role.1));
}

/// A table owner's trigger scores with the rights of whoever inserts; it lends nobody the owner's or a superuser's.
#[test]
fn trigger_lends_no_rights() {
    let (owner, writer) = (Role::new("owner_of_table"), Role::new("owner_writer"));
    let mut database = Database::new();
    database.run(&format!("GRANT CREATE ON SCHEMA public TO {}", owner.1));
    let mut session = database.connect(owner.1);
    session
        .batch_execute(&format!(
            "CREATE TABLE messages (body text);
             SELECT enable_sentiment('messages', 'body');
             GRANT INSERT (body) ON messages TO {}",
            writer.1
        ))
        .unwrap();
    let mut session = database.connect(writer.1);
    session.batch_execute("INSERT INTO messages (body) VALUES ('so happy, great')").unwrap();
    let error =
        session.batch_execute("INSERT INTO messages (body, sentiment) VALUES ('x', 'mine')").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42501");
    database.ask(Level::Error, "42501");
    assert_eq!(database.value::<String>("SELECT sentiment FROM messages"), "positive");
    database.run(&format!("DROP OWNED BY {}, {}", owner.1, writer.1));
}
