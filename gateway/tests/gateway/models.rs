//! The life of a model over HTTP.

use sentiment_tests::{CANARY, Database, Level};
use serde_json::json;

use crate::harness::{Gateway, PATIENCE, agent};

const TICKETS: &str = "CREATE TABLE tickets AS
    SELECT (ARRAY['my invoice is wrong, please refund', 'the app crashes when I log in', 'thank you, works great now'])[n % 3 + 1]
               || ' ' || md5(n::text) AS body,
           (ARRAY['billing', 'bug', 'praise'])[n % 3 + 1] AS label
    FROM generate_series(1, 300) AS n";

#[test]
fn it_is_trained_taught_deployed_and_rolled_back() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run(TICKETS);
    let shipped = gateway.get("/v1/models").ok();
    assert_eq!(shipped[0]["model_version"], "english@2");
    let training = json!({
        "source": "public.tickets", "text_column": "body", "label_column": "label", "algorithm": "naive_bayes",
    });
    let train = || gateway.post("/v1/models/tickets/train", &training).ok();
    let first = train();
    assert_eq!((&first["model_version"], &first["deployed"]), (&json!("tickets@1"), &json!(true)));
    assert_eq!(train()["model_version"], "tickets@2");
    let deploy = gateway.post("/v1/models/tickets/deploy", &json!({"version": 2})).ok();
    assert_eq!(deploy["model_version"], "tickets@2");
    let back = gateway.post_bytes("/v1/models/tickets/rollback", "application/json", b"").ok();
    assert_eq!(back["model_version"], "tickets@1");
    let text = "where can I see my subscription fee?";
    let message = gateway.post("/v1/messages", &json!({"source": "a", "body": text})).ok();
    for feedback in [
        json!({"model": "tickets", "text": text, "label": "billing"}),
        json!({"model": "tickets", "message": message["id"], "label": "billing"}),
    ] {
        let answer = gateway.post("/v1/feedback", &feedback);
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    let refreshed = gateway.post_bytes("/v1/models/tickets/refresh", "application/json", b"").ok();
    assert_eq!(refreshed["rows_used"], 2);
    let scored = gateway.post("/v1/sentiment", &json!({"text": "subscription fee", "model": "tickets"})).ok();
    assert_eq!((&scored["label"], &scored["score"]), (&json!("billing"), &json!(null)));
    let models = gateway.get("/v1/models").ok();
    let tickets = models.as_array().unwrap().iter().find(|model| model["model"] == "tickets").unwrap();
    assert!(tickets["metrics"]["macro_f1"].as_f64().is_some(), "{tickets}");
}

/// What was asked for besides had been passed over without a word.
#[test]
fn a_body_where_none_is_needed_says_nothing() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run(TICKETS);
    let training = json!({"source": "public.tickets", "text_column": "body", "label_column": "label", "deploy": "always"});
    for _ in 0..2 {
        gateway.post("/v1/models/tickets/train", &training).ok();
    }
    let document = gateway.get("/openapi.json").ok();
    assert_eq!(document["components"]["schemas"]["Nothing"]["additionalProperties"], false);
    for action in ["refresh", "rollback"] {
        let path = format!("/v1/models/tickets/{action}");
        let json = "application/json";
        for (body, status) in [("{\"max_rows\": 10}", 422), ("[]", 422), ("null", 422), ("{", 400)] {
            let refused = gateway.post_bytes(&path, json, body.as_bytes()).refused(status);
            assert!(!refused.to_string().contains("max_rows"), "{refused}");
        }
        gateway.post_bytes(&path, "text/plain", b"{}").refused(415);
        gateway.post_bytes(&path, json, format!("{{{}}}", " ".repeat(2000)).as_bytes()).refused(413);
        gateway.post_bytes(&path, json, b"{}").ok();
        let body = &document["paths"][format!("/v1/models/{{model}}/{action}")]["post"]["requestBody"];
        assert_eq!(body["content"][json]["schema"]["$ref"], "#/components/schemas/Nothing");
        assert!(body["required"] != true, "{body}");
    }
    gateway.post_bytes("/v1/models/tickets/refresh", "text/plain", b"").ok();
}

#[test]
fn what_the_database_refuses_is_told_with_its_state() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run(TICKETS);
    let train = |change: &[(&str, serde_json::Value)]| {
        let mut training =
            json!({"source": "public.tickets", "text_column": "body", "label_column": "label"});
        for (field, value) in change {
            training[*field] = value.clone();
        }
        gateway.post("/v1/models/tickets/train", &training)
    };
    database.run(
        "CREATE VIEW faulty AS SELECT body, (1 / (length(body) - length(body)))::text AS label FROM tickets",
    );
    for (change, status, state) in [
        (("source", json!("a.b.c.d")), 422, "42601"),
        (("source", json!("public.faulty")), 422, "22012"),
        (("source", json!("public.no_such")), 404, "42P01"),
        (("source", json!("\"")), 422, "42602"),
        (("text_column", json!("no_such")), 422, "42703"),
        (("algorithm", json!("no_such")), 422, "22023"),
        (("options", json!({"no_such": 1})), 422, "22023"),
        (("test_fraction", json!(7)), 422, "22023"),
        (("deploy", json!("no_such")), 422, "22023"),
    ] {
        assert_eq!(train(std::slice::from_ref(&change)).refused(status)["sqlstate"], state, "{change:?}");
    }
    let feedback = |body| gateway.post("/v1/feedback", &body);
    feedback(json!({"model": "english", "text": CANARY, "label": "positive"})).refused(409);
    feedback(json!({"model": "", "text": CANARY, "label": "positive"})).refused(422);
    feedback(json!({"model": "no_such", "message": 7, "label": "positive"})).refused(404);
    feedback(json!({"model": "no_such", "label": "positive"})).refused(422);
    gateway.post_bytes("/v1/models/no_such/rollback", "application/json", b"").refused(404);
    gateway.post("/v1/models/no_such/deploy", &json!({"version": 1})).refused(404);
    database.ask_errors_so_far();
}

/// What the operator has set up may be wrong: the client is not told that it is at fault, nor what the database said.
#[test]
fn what_the_operator_has_to_mend_is_told_apart() {
    let mut database = Database::new();
    let name = database.name().to_owned();
    let message = json!({"source": "a", "body": CANARY});
    let gateway = Gateway::start(&database);
    database.run(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN RAISE invalid_parameter_value USING MESSAGE = new.body; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON messages.message FOR EACH ROW WHEN (new.source = 't') EXECUTE FUNCTION refuse();
         CREATE FUNCTION spam() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'SP001', MESSAGE = new.body; END $$;
         CREATE TRIGGER spam BEFORE INSERT ON messages.message FOR EACH ROW WHEN (new.source = 's') EXECUTE FUNCTION spam();
         ALTER TABLE messages.message ADD CHECK (source <> 'c')",
    );
    for (source, state) in [("c", "23514"), ("t", "22023"), ("s", "SP001")] {
        // Not the text that no log may show: PostgreSQL's own shows this one.
        let refused =
            gateway.post("/v1/messages", &json!({"source": source, "body": "zebraquux"})).refused(422);
        assert!(refused["sqlstate"] == state && !refused.to_string().contains("zebraquux"), "{refused}");
        assert!(!gateway.log().contains("zebraquux"));
    }
    database.run(&format!("ALTER DATABASE {name} SET sentiment.on_error = 'raise'"));
    database.run(&format!("ALTER DATABASE {name} SET sentiment.default_model = 'no_such'"));
    let other = Gateway::beside(&database, &[]);
    assert_eq!(other.post("/v1/messages", &message).refused(503)["sqlstate"], "42704");
    let score = |body| other.post("/v1/sentiment", &body);
    assert_eq!(score(json!({"text": CANARY})).refused(503)["sqlstate"], "42704");
    assert_eq!(score(json!({"texts": [CANARY]})).refused(503)["sqlstate"], "42704");
    assert_eq!(other.post("/v1/explain", &json!({"text": CANARY})).refused(503)["sqlstate"], "42704");
    score(json!({"text": CANARY, "model": "no_such"})).refused(404);
    database.run(&format!("ALTER DATABASE {name} RESET sentiment.default_model"));
    database.run(
        "DO $$ BEGIN CREATE ROLE weak; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         GRANT USAGE ON SCHEMA messages, sentiment TO weak;
         GRANT SELECT ON ALL TABLES IN SCHEMA messages, sentiment TO weak",
    );
    database.run(TICKETS);
    // Of its sessions alone: what is set for the database holds for autovacuum too, which complains of it.
    let url = format!(
        "host={} port=5432 user=postgres dbname={name} options='-c role=weak'",
        database.server().socket()
    );
    let weak = Gateway::among(&database, &[], &[("DATABASE_URL", &url)]);
    assert_eq!(weak.post("/v1/messages", &message).refused(503)["sqlstate"], "42501");
    let training = json!({"source": "public.tickets", "text_column": "body", "label_column": "label"});
    assert_eq!(weak.post("/v1/models/tickets/train", &training).refused(403)["sqlstate"], "42501");
    let feedback = json!({"model": "tickets", "text": CANARY, "label": "billing"});
    assert_eq!(weak.post("/v1/feedback", &feedback).refused(403)["sqlstate"], "42501");
    // No partition takes it.
    let partitions = "SELECT 'DROP TABLE ' || string_agg(inhrelid::regclass::text, ', ') FROM pg_inherits
                      WHERE inhparent = 'messages.message'::regclass";
    let drop: String = database.value(partitions);
    database.run(&drop);
    let homeless = gateway.post("/v1/messages", &message).refused(503);
    assert!(
        homeless["sqlstate"] == "23514" && homeless["detail"].to_string().contains("migrate"),
        "{homeless}"
    );
    database.ask_errors_so_far();
}

/// What is trained on so long, and with so much memory, that only a cancel ends it in time.
fn make_many(database: &mut Database<'_>) {
    let name = database.name().to_owned();
    database.run(&format!("ALTER DATABASE {name} SET sentiment.train_memory = '8GB'"));
    database.run(
        "CREATE TABLE many AS SELECT md5(n::text) || ' ' || md5((n * 7)::text) || ' ' || md5((n * 3)::text) AS body,
             CASE n % 2 WHEN 0 THEN 'even' ELSE 'odd' END AS label FROM generate_series(1, 200000) AS n",
    );
}

/// Trains on it, and goes away after so many seconds; whether there was no answer.
fn train_on_many(gateway: &Gateway, seconds: u64) -> std::thread::JoinHandle<bool> {
    let training = json!({"source": "public.many", "text_column": "body", "label_column": "label", "algorithm": "random_forest",
        "options": {"trees": 1000}});
    let (url, bearer) = (gateway.url.clone(), gateway.bearer());
    std::thread::spawn(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(std::time::Duration::from_secs(seconds)))
            .build()
            .into();
        let request = agent.post(format!("{url}/v1/models/many/train")).header("authorization", bearer);
        request.content_type("application/json").send(training.to_string()).is_err()
    })
}

/// Waits until it is trained on, or not any more.
fn await_training(database: &mut Database<'_>, goes_on: bool) {
    let running =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%train_sentiment%'
                   AND pid <> pg_backend_pid() AND datname = current_database()";
    let started = std::time::Instant::now();
    while (database.value::<i64>(running) > 0) != goes_on {
        assert!(started.elapsed() < PATIENCE / 2, "the training does not begin, or goes on");
    }
}

/// The end of the gateway is the end of trainings that would outlast it.
#[test]
fn a_training_that_takes_too_long_is_cancelled_when_the_gateway_ends() {
    let mut database = Database::new();
    make_many(&mut database);
    let mut gateway = Gateway::with(&database, &["--shutdown-timeout", "1s"]);
    let client = train_on_many(&gateway, 60);
    await_training(&mut database, true);
    gateway.signal("-TERM");
    assert!(gateway.ends());
    await_training(&mut database, false);
    assert!(client.join().unwrap(), "the client has no answer");
    database.ask(Level::Error, "57014");
    assert_eq!(database.logged(Level::Error, "57014"), 1);
}

/// A client that goes away takes its training with it.
#[test]
fn a_training_whose_client_goes_away_is_cancelled() {
    let mut database = Database::new();
    make_many(&mut database);
    let gateway = Gateway::start(&database);
    let client = train_on_many(&gateway, 3);
    await_training(&mut database, true);
    assert!(client.join().unwrap(), "the client went away");
    await_training(&mut database, false);
    database.ask_errors_so_far();
    assert_eq!(database.logged(Level::Error, "57014"), 1);
    assert_eq!(agent().get(format!("{}/readyz", gateway.url)).call().unwrap().status(), 200);
}

/// What runs at length leaves most connections to others.
#[test]
fn trainings_that_wait_do_not_take_the_connections() {
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--database-connections", "8"]);
    database.run(TICKETS);
    let mut locking = database.connect("postgres");
    let mut lock = locking.transaction().unwrap();
    lock.batch_execute("LOCK TABLE tickets IN ACCESS EXCLUSIVE MODE").unwrap();
    let training = json!({"source": "public.tickets", "text_column": "body", "label_column": "label",
        "algorithm": "naive_bayes"});
    std::thread::scope(|scope| {
        let (gateway, training) = (&gateway, &training);
        let train = move |model: usize| gateway.post(&format!("/v1/models/tickets{model}/train"), training);
        let trainings: Vec<_> = (0..12).map(|model| scope.spawn(move || train(model).status)).collect();
        let started = std::time::Instant::now();
        while trainings.iter().filter(|training| training.is_finished()).count() < 10 {
            assert!(started.elapsed() < PATIENCE / 6, "more than two wait");
        }
        gateway.post("/v1/messages", &json!({"source": "a", "body": "good"})).ok();
        assert_eq!(gateway.get("/readyz").status, 200);
        let answer = agent().post(format!("{}/v1/models/tickets/refresh", gateway.url));
        let answer = answer.header("authorization", gateway.bearer()).send_empty().unwrap();
        assert!(answer.status() == 503 && answer.headers().contains_key("retry-after"), "{answer:?}");
        lock.rollback().unwrap();
        let mut statuses: Vec<u16> = trainings.into_iter().map(|training| training.join().unwrap()).collect();
        statuses.sort_unstable();
        assert_eq!((statuses[..2].to_vec(), statuses[2..].to_vec()), (vec![200; 2], vec![503; 10]));
    });
}
