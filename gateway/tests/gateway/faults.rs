//! What breaks: the database goes away, the gateway is killed. Every message is there once.

use sentiment_tests::{Database, Level, Server};
use serde_json::{Value, json};

use crate::harness::{Gateway, PATIENCE, agent, await_count};
use crate::way::Way;

/// A batch that is sent until it is answered, as a client does that knows its names.
fn send(url: &str, bearer: &str, batch: &Value) {
    let started = std::time::Instant::now();
    loop {
        let request = agent().post(format!("{url}/v1/messages")).header("authorization", bearer);
        match request.content_type("application/json").send(batch.to_string()) {
            Ok(response) if response.status() == 200 => return,
            Ok(response) => assert!(response.status().is_server_error(), "{response:?}"),
            Err(_) => {}
        }
        assert!(started.elapsed() < PATIENCE, "a batch is not taken");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn batches(count: usize) -> Vec<Value> {
    let message = |batch: usize, n: usize| json!({"source": "a", "external_id": format!("{batch} {n}"), "body": "good"});
    (0..count).map(|batch| (0..50).map(|n| message(batch, n)).collect()).collect()
}

#[test]
fn a_crash_of_the_database_loses_and_doubles_nothing() {
    let server = Server::start(&["synchronous_commit=on", "fsync=on"]);
    let mut database = Database::on(&server);
    let gateway = Gateway::start(&database);
    let (url, bearer) = (gateway.url.clone(), gateway.bearer());
    let client = std::thread::spawn(move || batches(200).iter().for_each(|batch| send(&url, &bearer, batch)));
    for stored in [1000, 4000] {
        let mut watch = database.connect("postgres");
        let started = std::time::Instant::now();
        let count = "SELECT count(*) FROM messages.message";
        while watch.query_one(count, &[]).unwrap().get::<_, i64>(0) < stored {
            assert!(started.elapsed() < PATIENCE, "nothing is stored");
        }
        server.crash();
    }
    client.join().unwrap();
    let mut after = database.connect("postgres");
    let row = after
        .query_one("SELECT count(*), count(DISTINCT external_id), count(label) FROM messages.message", &[])
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, i64>(2)), (10_000, 10_000, 10_000));
    sentiment_tests::note("faults: the database crashed twice under batches: 10,000 messages, each once");
    // The stream is back as well: it is heard again without the gateway being started again.
    let page = gateway.get("/v1/messages").ok();
    assert_eq!(page["messages"].as_array().unwrap().len(), 100);
    for state in ["57P02", "57P03", "08006", "57P01", "00000"] {
        database.ask(Level::Fatal, state);
        database.ask(Level::Warning, state);
        database.ask(Level::Error, state);
    }
}

#[test]
fn a_gateway_that_is_killed_loses_and_doubles_nothing() {
    let mut database = Database::new();
    let first = Gateway::start(&database);
    let all = batches(60);
    let (url, bearer) = (first.url.clone(), first.bearer());
    let started = all.clone();
    let client = std::thread::spawn(move || {
        let ask = |batch: &Value| {
            let request = agent().post(format!("{url}/v1/messages")).header("authorization", &bearer);
            let answer = request.content_type("application/json").send(batch.to_string());
            answer.is_ok_and(|response| response.status() == 200)
        };
        started.iter().take_while(|batch| ask(batch)).count()
    });
    let count = "SELECT count(*) FROM messages.message";
    while database.value::<i64>(count) < 500 {}
    let mut killed = first;
    killed.signal("-KILL");
    assert!(!killed.ends());
    let answered = client.join().unwrap();
    let answered = i64::try_from(50 * answered).unwrap();
    assert!(database.value::<i64>(count) >= answered, "what was answered is stored");
    let second = Gateway::beside(&database, &[]);
    // The client does not know what became of the last, and sends all again.
    for batch in &all {
        send(&second.url, &second.bearer(), batch);
    }
    assert_eq!(database.value::<i64>(count), 3000);
    assert_eq!(database.value::<i64>("SELECT count(DISTINCT external_id) FROM messages.message"), 3000);
    sentiment_tests::note("faults: the gateway was killed under batches: 3,000 messages, each once");
    database.ask(Level::Fatal, "08006");
    database.ask(Level::Warning, "08006");
}

/// Sessions that do not answer, as when the way to the database is cut without a word, do not keep a gateway from ending.
#[test]
fn a_gateway_ends_without_the_database() {
    let mut database = Database::new();
    let mut gateway = Gateway::with(&database, &["--shutdown-timeout", "1s"]);
    gateway.get("/v1/messages").ok();
    // All but the one that listens.
    let sessions = "SELECT pid::text FROM pg_stat_activity
        WHERE application_name = 'sentiment-gateway' AND datname = current_database() AND query !~ 'LISTEN'";
    let sessions: Vec<String> = database.rows(sessions).iter().map(|row| row.get(0)).collect();
    let signal = |signal: &str| {
        sentiment_tests::run_clean(std::process::Command::new("kill").arg(signal).args(&sessions));
    };
    signal("-STOP");
    // What is to be looked for now is asked of one of them.
    database.run("NOTIFY sentiment_messages");
    std::thread::sleep(std::time::Duration::from_millis(300));
    gateway.signal("-TERM");
    assert!(gateway.ends(), "{}", gateway.log());
    assert!(gateway.log().contains("did not answer in the time to end"), "{}", gateway.log());
    signal("-CONT");
    for level in [Level::Fatal, Level::Warning, Level::Error] {
        database.ask(level, "08006");
        database.ask(level, "57014");
    }
}

/// As the first process of a container it would not be told at all; as any other it would leave without a word.
#[test]
fn a_gateway_that_is_told_to_end_while_it_starts_does() {
    let mut database = Database::new();
    crate::harness::run_clean(&database, &["migrate"]);
    let mut holder = database.connect("postgres");
    let mut held = holder.transaction().unwrap();
    held.batch_execute("LOCK TABLE messages.batch IN ACCESS EXCLUSIVE MODE").unwrap();
    let mut serve = crate::harness::program(&database, "postgres");
    let mut gateway = serve.args(["serve", "--listen", "127.0.0.1:0"]).spawn().unwrap();
    await_count(&mut database, "wait_event_type = 'Lock'", 1);
    sentiment_tests::run_clean(std::process::Command::new("kill").args(["-TERM", &gateway.id().to_string()]));
    held.rollback().unwrap();
    assert_eq!(gateway.wait().unwrap().code(), Some(0));
}

/// What it does of itself is cancelled at its end only where it takes long.
#[test]
fn a_gateway_that_ends_finishes_what_takes_a_moment() {
    let mut database = Database::new();
    crate::harness::run_clean(&database, &["migrate"]);
    database.run(
        "INSERT INTO messages.message (source, external_id, body, received_at) VALUES
             ('a', 'old', 'good', now() - interval '40 days');
         CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN old; END $$;
         CREATE TRIGGER wait BEFORE DELETE ON messages.external_id FOR EACH ROW EXECUTE FUNCTION wait()",
    );
    let gateway = Gateway::beside(&database, &["--retention", "30d"]);
    let names = "SELECT count(*) FROM messages.external_id";
    let deleting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    let started = std::time::Instant::now();
    while database.value::<i64>(deleting) == 0 && database.value::<i64>(names) > 0 {
        assert!(started.elapsed() < PATIENCE, "nothing is deleted");
    }
    drop(gateway);
    assert_eq!(database.value::<i64>(names), 0);
}

/// A gateway whose machine is gone says nothing more, and so it is with one that is stopped: what its transaction holds is free
/// before long.
#[test]
fn a_gateway_that_falls_silent_does_not_keep_its_transactions() {
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--statement-timeout", "3s"]);
    let take =
        "INSERT INTO messages.external_id (source, external_id, id, received_at) VALUES ('a', '1', 0, now())";
    let mut holder = database.connect("postgres");
    let mut held = holder.transaction().unwrap();
    held.batch_execute(take).unwrap();
    let (url, bearer) = (gateway.url.clone(), gateway.bearer());
    let client = std::thread::spawn(move || {
        send(&url, &bearer, &json!([{"source": "a", "external_id": "1", "body": "good"}]));
    });
    let ours = "SELECT count(*) FROM pg_stat_activity
        WHERE application_name = 'sentiment-gateway' AND datname = current_database()";
    let await_some = |database: &mut Database<'_>, state: &str, count: i64| {
        let started = std::time::Instant::now();
        while database.value::<i64>(&format!("{ours} AND {state}")) != count {
            assert!(started.elapsed() < PATIENCE, "{state}: never {count}");
        }
    };
    await_some(&mut database, "wait_event_type = 'Lock'", 1);
    gateway.signal("-STOP");
    held.rollback().unwrap();
    await_some(&mut database, "state = 'idle in transaction'", 1);
    await_some(&mut database, "state = 'idle in transaction'", 0);
    gateway.signal("-CONT");
    client.join().unwrap();
    assert_eq!(database.value::<i64>("SELECT count(*) FROM messages.message"), 1);
    database.ask(Level::Fatal, "25P03");
    database.ask(Level::Error, "57014");
}

/// Nor does one that is killed leave a statement behind, which may take minutes, or wait for a lock that all others wait for then.
#[test]
fn a_gateway_that_is_killed_does_not_keep_its_statements() {
    let mut database = Database::new();
    crate::harness::run_clean(&database, &["migrate"]);
    let mut holder = database.connect("postgres");
    let mut held = holder.transaction().unwrap();
    held.batch_execute("SELECT pg_advisory_xact_lock(hashtextextended('messages.migration', 0))").unwrap();
    let mut waits = crate::harness::program(&database, "postgres").arg("migrate").spawn().unwrap();
    await_count(&mut database, "wait_event_type = 'Lock'", 1);
    waits.kill().unwrap();
    waits.wait().unwrap();
    await_count(&mut database, "wait_event_type = 'Lock'", 0);
    held.rollback().unwrap();
    database.ask(Level::Fatal, "08006");
}

/// All sessions, those that hold locks too, have the server ask after ten seconds of silence whether the gateway is there.
#[test]
fn the_server_asks_whether_the_gateway_is_there() {
    // No other server listens there: those of tests have none but their sockets.
    let server = Server::start(&["listen_addresses=127.83.7.2"]);
    let database = Database::on(&server);
    let url = format!("postgresql://postgres@127.83.7.2/{}", database.name());
    crate::harness::run_clean(&database, &["migrate"]);
    let x = ["--x-token", "none", "--x-url", "http://127.83.7.2:1"];
    let _gateway = Gateway::among(&database, &x, &[("DATABASE_URL", &url)]);
    let started = std::time::Instant::now();
    loop {
        let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
        // Address and port of the server's side, established; the timer that runs, and when it ends, in hundredths of a second.
        let timers = connections.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let timers: Vec<String> = timers
            .filter(|fields| fields[1] == "0207537F:1538" && fields[3] == "01")
            .map(|fields| fields[5].to_owned())
            .collect();
        let is_soon = |timer: &String| match timer.split_once(':') {
            Some(("02", end)) => u64::from_str_radix(end, 16).unwrap() <= 1000,
            // Something is on its way.
            _ => false,
        };
        // The pool's, the feed's, and the one whose turn it is to read from X.
        if timers.len() >= 3 && timers.iter().all(is_soon) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{timers:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// A server that takes connections and never answers, as one does that is stopped or whose disk is gone.
#[test]
fn a_database_that_falls_silent_is_left_for_one_that_answers() {
    let database = Database::new();
    let way = Way::to(&database);
    crate::harness::run_clean(&database, &["migrate"]);
    let mut gateway = Gateway::among(&database, &[], &[("DATABASE_URL", &way.url)]);
    assert_eq!(gateway.get("/readyz").status, 200);
    way.cut();
    gateway.await_log("not listening: the database did not answer in time");
    way.mend();
    let started = std::time::Instant::now();
    while gateway.get("/readyz").status != 200 {
        assert!(started.elapsed() < PATIENCE, "{}", gateway.log());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    // Nor does it keep a gateway from ending.
    way.cut();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    gateway.signal("-TERM");
    let told = std::time::Instant::now();
    assert!(gateway.ends(), "{}", gateway.log());
    assert!(told.elapsed() < std::time::Duration::from_secs(10), "{}", gateway.log());
}
