//! A search_path that somebody else has put things into: no function of ours is led astray by it.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use sentiment_tests::Database;

/// Operators, functions, types and relations that stand before the server's own and betray that they were used.
const EVIL: &str = "
    CREATE SCHEMA evil;
    CREATE FUNCTION evil.betray(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE FUNCTION evil.betray(int, int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE FUNCTION evil.betray(bigint, bigint) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE FUNCTION evil.join(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE FUNCTION evil.add(int, int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, PROCEDURE = evil.betray);
    CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = text, PROCEDURE = evil.betray);
    CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = int, PROCEDURE = evil.betray);
    CREATE OPERATOR evil.> (LEFTARG = int, RIGHTARG = int, PROCEDURE = evil.betray);
    CREATE OPERATOR evil.= (LEFTARG = bigint, RIGHTARG = bigint, PROCEDURE = evil.betray);
    CREATE OPERATOR evil.|| (LEFTARG = text, RIGHTARG = text, PROCEDURE = evil.join);
    CREATE OPERATOR evil.+ (LEFTARG = int, RIGHTARG = int, PROCEDURE = evil.add);
    CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE FUNCTION evil.count(anyelement) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE FUNCTION evil.string_to_array(text, text) RETURNS text[] LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE FUNCTION evil.jsonb_array_elements_text(jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE FUNCTION evil.sentiment(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE FUNCTION evil.sentiment_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE FUNCTION evil.sentiment_at(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
    CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false);
    CREATE DOMAIN evil.float8 AS pg_catalog.float8 CHECK (false);
    CREATE DOMAIN evil.bigint AS pg_catalog.int8 CHECK (false);
    CREATE TABLE evil.pg_trigger (a int);
    CREATE TABLE evil.pg_depend (a int);";

#[test]
fn every_function_keeps_to_its_own() {
    let mut database = Database::new();
    database.run(EVIL);
    database.run(
        "CREATE TABLE texts AS SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || n AS body,
             CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label FROM generate_series(1, 100) AS n;
         CREATE TABLE messages (id int, body text);
         INSERT INTO messages SELECT n, 'a sunny day' FROM generate_series(1, 10) AS n",
    );
    let calls = [
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
        "SELECT public.sentiment('a sunny day', 'm'), public.sentiment_json('fine'), public.sentiment_at('fine', 'english@1')",
        "SELECT * FROM public.sentiment_explain('fine')",
        "SELECT * FROM public.sentiment_tokens('fine')",
        "SELECT * FROM public.sentiment_batch(ARRAY['fine'::pg_catalog.text])",
        "SELECT public.disable_sentiment('public.messages', true)",
    ];
    for path in ["evil, pg_catalog, public", "evil, pg_catalog, pg_temp, public"] {
        database.run(&format!("SET search_path = {path}"));
        for call in calls {
            database.run(call);
        }
    }
    database.run("SET search_path = public");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM messages"), 12);
}
