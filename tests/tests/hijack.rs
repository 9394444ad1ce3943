//! A search_path that somebody else has put things into: no function of ours is led astray by it.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use sentiment_tests::Database;

/// A twin of every operator, function, type and relation of the server's own, which stands before it and betrays that it was
/// used; and functions beside ours that some call of ours might take for the better match.
const EVIL: &str = r#"
    CREATE SCHEMA evil;
    DO $do$ DECLARE one record; BEGIN
        FOR one IN
            SELECT typname FROM pg_type
            WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype = 'b' AND typelem = 0 AND typname !~ '^(_|pg_)'
        LOOP
            EXECUTE format('CREATE DOMAIN evil.%I AS pg_catalog.text CHECK (false)', one.typname);
        END LOOP;
        FOR one IN
            SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')
        LOOP
            EXECUTE format('CREATE TABLE evil.%I (evil pg_catalog.int4)', one.relname);
        END LOOP;
        FOR one IN
            SELECT proname, oidvectortypes(proargtypes) AS arguments,
                CASE WHEN proretset THEN 'SETOF ' ELSE '' END || format_type(prorettype, NULL) AS result
            FROM pg_proc
            WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind IN ('f', 'a') AND provariadic = 0
                AND (SELECT count(*) FROM unnest(proargtypes) AS t (type) JOIN pg_type AS p ON p.oid = type
                     WHERE p.typtype = 'p') = 0
                AND (SELECT typtype FROM pg_type WHERE oid = prorettype) <> 'p'
        LOOP
            EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION ''hijacked''; END $$', one.proname, one.arguments, one.result);
        END LOOP;
        FOR one IN
            SELECT oprname, CASE oprleft WHEN 0 THEN NULL ELSE format_type(oprleft, NULL) END AS left_type,
                format_type(oprright, NULL) AS right_type, format_type(oprresult, NULL) AS result, o.oid
            FROM pg_operator AS o JOIN pg_type AS r ON r.oid = oprright
            WHERE oprnamespace = 'pg_catalog'::regnamespace AND r.typtype <> 'p'
                AND (oprleft = 0 OR (SELECT typtype FROM pg_type WHERE oid = oprleft) <> 'p')
                AND (SELECT typtype FROM pg_type WHERE oid = oprresult) <> 'p'
        LOOP
            EXECUTE format('CREATE FUNCTION evil.operator_%s(%s) RETURNS %s LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION ''hijacked''; END $$', one.oid, concat_ws(', ', one.left_type, one.right_type), one.result);
            EXECUTE format('CREATE OPERATOR evil.%s (%sRIGHTARG = %s, FUNCTION = evil.operator_%s)', one.oprname,
                'LEFTARG = ' || one.left_type || ', ', one.right_type, one.oid);
        END LOOP;
        -- Ours, where users' own functions are: with arguments that fit as well or better.
        FOREACH one.oprname IN ARRAY '{evil,public}'::text[] LOOP
            EXECUTE format($make$
                CREATE FUNCTION %1$I.sentiment_detail(body pg_catalog.varchar, model pg_catalog.text, OUT label pg_catalog.text,
                    OUT score pg_catalog.float8, OUT model_version pg_catalog.text) LANGUAGE plpgsql AS
                    $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
                CREATE FUNCTION %1$I.sentiment_detail(VARIADIC bodies pg_catalog.text[], OUT label pg_catalog.text,
                    OUT score pg_catalog.float8, OUT model_version pg_catalog.text) LANGUAGE plpgsql AS
                    $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
                CREATE FUNCTION %1$I.sentiment_detail(body anyelement, model pg_catalog.text, OUT label pg_catalog.text,
                    OUT score pg_catalog.float8, OUT model_version pg_catalog.text) LANGUAGE plpgsql AS
                    $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
            $make$, one.oprname);
        END LOOP;
    END $do$;
    CREATE FUNCTION evil.sentiment_detail(body text, model text, OUT label text, OUT score float8, OUT model_version text)
        LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE FUNCTION evil.sentiment(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE FUNCTION evil.sentiment_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE FUNCTION evil.sentiment_at(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;"#;

/// A call of everything.
const CALLS: [&str; 35] = [
    "SELECT public.train_sentiment('m', 'public.texts', 'body', 'label', 'naive_bayes')",
    "SELECT public.train_sentiment('m', 'public.texts', 'body', 'label', deploy => 'always')",
    "SELECT public.train_sentiment('f', 'public.texts', 'body', 'label', 'random_forest', '{\"trees\": 3}')",
    "SELECT * FROM public.evaluate_sentiment('m', 'public.texts', 'body', 'label')",
    "SELECT * FROM public.confusion_sentiment('m', 'public.texts', 'body', 'label')",
    "SELECT * FROM public.drift_sentiment('m', 'public.texts', 'body')",
    "SELECT public.learn_sentiment('m', 'foggy', 'negative')",
    "SELECT public.set_sentiment_term('m', 'stellar', 1)",
    "SELECT public.refresh_sentiment('m')",
    "SELECT public.rollback_sentiment('m')",
    "SELECT public.deploy_sentiment('m', 2)",
    "SELECT public.import_sentiment('c', public.export_sentiment('m'))",
    "SELECT public.drop_sentiment('c')",
    "SELECT public.drop_sentiment('f')",
    "SELECT public.enable_sentiment('public.messages', 'body', 'm')",
    "SELECT public.stale_sentiment('public.messages')",
    "UPDATE public.messages SET sentiment_version = NULL",
    "CALL public.rescore_sentiment('public.messages')",
    "INSERT INTO public.messages VALUES (11, 'a rainy day')",
    "SELECT * FROM sentiment.models",
    "SELECT * FROM sentiment.versions",
    "SELECT * FROM sentiment.deployments",
    "SELECT * FROM sentiment.cache",
    "SELECT * FROM sentiment.training_progress",
    "SELECT * FROM sentiment.tables",
    "SELECT * FROM sentiment.session_texts()",
    "SELECT sentiment.is_pinned('m@1')",
    "SELECT sentiment.pinned_by('m@1')",
    "SELECT public.sentiment_score('a sunny day'), public.sentiment_score_at('fine', 'english@1')",
    "SELECT public.sentiment_probability('a sunny day', 'positive'), (public.sentiment_detail('fine'::pg_catalog.text, 'm'::pg_catalog.text)).label",
    "SELECT public.sentiment('a sunny day', 'm'), public.sentiment_json('fine'), public.sentiment_at('fine', 'english@1')",
    "SELECT * FROM public.sentiment_explain('fine')",
    "SELECT * FROM public.sentiment_tokens('fine')",
    "SELECT * FROM public.sentiment_batch(ARRAY['fine'::pg_catalog.text])",
    "SELECT public.disable_sentiment('public.messages', true)",
];

/// Operators between types that the server has none for: where the extension's scripts compare such types, these fit best, and
/// stay in what the scripts make, whoever calls it.
const TRAPS: &str = "
    DO $do$ DECLARE
        types text[] := '{oid,regclass,regproc,regtype,regnamespace,text,varchar,bpchar,name,\"\\\"char\\\"\",bool,int2,int4,int8,float4,float8,numeric,
            timestamptz,interval,json,jsonb,bytea,text[],int8[]}';
        l text; r text; operator text;
    BEGIN
        FOREACH l IN ARRAY types LOOP FOREACH r IN ARRAY types LOOP
            EXECUTE format('CREATE FUNCTION public.trap(%s, %s) RETURNS bool LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION ''hijacked''; END $$', l, r);
            FOREACH operator IN ARRAY '{=,<>,<,>,<=,>=,||,+,-,~,@>}'::text[] LOOP
                CONTINUE WHEN to_regoperator(format('pg_catalog.%s(%s,%s)', operator, l, r)) IS NOT NULL;
                EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.trap)', operator, l, r);
            END LOOP;
        END LOOP; END LOOP;
    END $do$";

#[test]
fn operators_that_the_server_lacks_are_not_taken_from_elsewhere() {
    for create in [
        "CREATE EXTENSION pg_sentiment",
        "CREATE EXTENSION pg_sentiment VERSION '0.1.0'; ALTER EXTENSION pg_sentiment UPDATE",
    ] {
        let mut database = Database::owned_by("postgres");
        database.run(TRAPS);
        let traps: i64 = database
            .value("SELECT count(*) FROM pg_operator WHERE oprnamespace = 'public'::regnamespace::oid");
        assert!(traps > 4_000, "{traps}");
        assert_eq!(database.failure("SELECT 1::oid = 'pg_class'::regclass").message, "hijacked");
        database.run(create);
        database.run(SETTING);
        for call in CALLS {
            database.run(call);
        }
    }
}

/// What the calls are about.
const SETTING: &str = "
    CREATE TABLE texts AS SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || n::text AS body,
        CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label FROM generate_series(1, 100) AS n;
    CREATE TABLE messages (id int, body text);
    INSERT INTO messages SELECT n, 'a sunny day' FROM generate_series(1, 10) AS n";

#[test]
fn every_function_keeps_to_its_own() {
    let mut database = Database::new();
    database.run(SETTING);
    // Each function that there is, or a view over it.
    let all = "SELECT proname::text FROM pg_proc JOIN pg_depend ON objid = pg_proc.oid AND classid = 'pg_proc'::regclass
               WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'pg_sentiment')
                 AND proname NOT IN ('sentiment_trigger', 'shipped_models', 'cached_models', 'training_sessions', 'scored_tables', 'registry_changed')";
    for row in database.rows(all) {
        let name: String = row.get(0);
        assert!(CALLS.iter().any(|call| call.contains(&format!(".{name}("))), "{name} is not called");
    }
    database.run(EVIL);
    let twins: i64 = database.value("SELECT count(*) FROM pg_proc WHERE pronamespace = 'evil'::regnamespace");
    assert!(twins > 2_500, "{twins} functions that would betray us");
    for path in ["evil, pg_catalog, public", "evil, pg_catalog, pg_temp, public"] {
        database.run(&format!("SET search_path = {path}"));
        assert_eq!(database.failure("SELECT length('a' || 'b')").message, "hijacked");
        for call in CALLS {
            database.run(call);
        }
    }
    database.run("SET search_path = pg_catalog, public");
    // One that fits exactly as well: the call is refused, neither is taken.
    database.run(
        "CREATE FUNCTION public.sentiment_detail(body text, model text, more int DEFAULT 1, OUT label text, OUT score float8,
             OUT model_version text) LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$",
    );
    assert_eq!(database.failure("SELECT enable_sentiment('messages', 'body')").state, "42725");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM messages"), 12);
}
