//! Posts from X, as a service on this machine sends them: each is stored once, whatever happens on the way.

mod service;
mod tls;

use sentiment_tests::{CANARY, Database, Level, Server};
use serde_json::{Value, json};

use crate::harness::{Gateway, PATIENCE, program, run_clean};
use service::{End, Scene, Service, TOKEN};

/// A gateway that follows the stream, and waits a thousandth of the time between attempts.
fn follow(database: &Database<'_>, x: &Service, arguments: &[&str]) -> Gateway {
    let all = [&["--x-url", &x.url, "--x-token", TOKEN, "--x-back-off", "0.001"], arguments].concat();
    Gateway::beside(database, &all)
}

fn migrated() -> Database<'static> {
    let database = Database::new();
    run_clean(&database, &["migrate"]);
    database
}

fn post(id: usize, text: &str) -> Value {
    json!({"data": {"id": id.to_string(), "text": text, "author_id": "7", "created_at": "2026-01-31T12:00:00.000Z",
            "edit_history_tweet_ids": [id.to_string()]},
        "includes": {"users": [{"id": "7", "name": "Ann", "username": "ann"}]},
        "matching_rules": [{"id": "1", "tag": ""}]})
}

fn posts(ids: std::ops::Range<usize>) -> impl Iterator<Item = Value> {
    ids.map(|id| post(id, &format!("I love it {id}")))
}

/// Waits until so many messages are stored, and sees that each is there once.
fn await_stored(database: &mut Database<'_>, count: usize) {
    let started = std::time::Instant::now();
    let stored = "SELECT count(*) FROM messages.message WHERE source = 'x'";
    let count = i64::try_from(count).unwrap();
    while database.connect("postgres").query_one(stored, &[]).unwrap().get::<_, i64>(0) < count {
        assert!(started.elapsed() < PATIENCE, "posts are not stored");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let names = "SELECT count(DISTINCT external_id), count(*) FROM messages.message";
    let row = database.connect("postgres").query_one(names, &[]).unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (count, count));
}

/// What a figure is; 0 if there is none.
fn figure(gateway: &Gateway, name: &str) -> f64 {
    let figures = gateway.get("/metrics").body;
    let value = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

/// Waits until a figure is at least so much.
fn await_figure(gateway: &Gateway, name: &str, least: f64) {
    let started = std::time::Instant::now();
    while figure(gateway, name) < least {
        assert!(started.elapsed() < PATIENCE, "{name}: {}", gateway.get("/metrics").body);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn lines(posts: impl IntoIterator<Item = Value>) -> Vec<u8> {
    posts.into_iter().map(|post| format!("{post}\r\n")).collect::<String>().into_bytes()
}

#[test]
fn posts_are_stored_and_scored() {
    let mut database = migrated();
    let x = Service::start();
    let gateway = follow(&database, &x, &[]);
    x.await_open();
    x.publish([post(11, "I love this phone ❤"), post(12, "worst service EVER 😡")]);
    await_stored(&mut database, 2);
    let rows = database.rows(
        "SELECT external_id, author, body, label, sent_at = '2026-01-31 12:00+00' FROM messages.message ORDER BY id",
    );
    for (row, expected) in
        rows.iter().zip(["11|ann|I love this phone ❤|positive", "12|ann|worst service EVER 😡|negative"])
    {
        let texts: Vec<String> = (0..4).map(|column| row.get(column)).collect();
        assert_eq!((texts.join("|").as_str(), row.get::<_, bool>(4)), (expected, true));
    }
    let asked = x.streams().remove(0).line;
    for part in ["tweet.fields=author_id,created_at,", "expansions=author_id"] {
        assert!(asked.contains(part), "{asked}");
    }
    assert!(!asked.contains("backfill"), "{asked}");
    assert_eq!(figure(&gateway, "sentiment_gateway_x_connected"), 1.0);
    assert_eq!(figure(&gateway, "sentiment_gateway_x_received_total"), 2.0);
    assert_eq!(figure(&gateway, "sentiment_gateway_messages_stored_total{way=\"x\"}"), 2.0);
    assert!(!gateway.log().contains(TOKEN), "{}", gateway.log());
    let help =
        program(&database, "postgres").env("SENTIMENT_X_TOKEN", TOKEN).args(["serve", "--help"]).output();
    assert!(!String::from_utf8(help.unwrap().stdout).unwrap().contains(TOKEN));
}

#[test]
fn lines_are_read_whatever_comes_between() {
    let mut database = migrated();
    let x = Service::start();
    let good = lines([post(1, "good ❤"), post(2, "bad 😡")]);
    let mut chunks: Vec<Vec<u8>> = good.chunks(1).map(<[u8]>::to_vec).collect();
    let mut withheld = post(90, CANARY);
    withheld["data"]["withheld"] = json!({"copyright": false, "country_codes": ["DE"]});
    let bare = json!({"data": {"id": "91"}});
    let nul = post(92, &format!("{CANARY}\0"));
    let new = json!({"new": {"kind": CANARY}});
    let about = json!({"errors": [{"title": CANARY, "detail": CANARY, "type": "https://api.twitter.com/2/problems/resource-not-found"}]});
    chunks.extend([
        b"\r\n".to_vec(),
        b"\n\r\n".to_vec(),
        format!("{{\"data\": {{\"id\": \"93\", \"text\": \"{CANARY}\r\n").into_bytes(),
        format!("{CANARY}\n").into_bytes(),
        b"\"\xff\xfe\"\r\n".to_vec(),
        lines([withheld, bare, nul, new, about]),
    ]);
    // A line of 8 MB, as chunks.
    chunks.extend(std::iter::repeat_n(vec![b'['; 64 << 10], 128));
    chunks.push(b"\r\n".to_vec());
    chunks.push(lines([post(3, "so so"), post(1, "good ❤")]));
    x.scenes([Scene::Chunks(chunks, End::Live)]);
    let gateway = follow(&database, &x, &[]);
    await_stored(&mut database, 3);
    await_figure(&gateway, "sentiment_gateway_messages_duplicate_total{way=\"x\"}", 1.0);
    for (reason, count) in [
        ("withheld", 1.0),
        ("no text", 1.0),
        ("unstorable", 1.0),
        ("unknown", 2.0),
        ("malformed", 3.0),
        ("too long", 1.0),
    ] {
        let name = format!("sentiment_gateway_x_skipped_total{{reason=\"{reason}\"}}");
        assert_eq!(figure(&gateway, &name), count, "{reason}");
    }
    assert_eq!(x.streams().len(), 1);
}

#[test]
fn a_stream_that_breaks_is_taken_up_again() {
    let mut database = migrated();
    let x = Service::start();
    let whole = lines(posts(1..4));
    let torn = [lines(posts(4..5)), lines(posts(5..6))[..40].to_vec()].concat();
    let problem = |name: &str, more: &Value| {
        let mut problem = json!({"title": CANARY, "detail": CANARY, "type": format!("https://api.twitter.com/2/problems/{name}")});
        problem.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        problem
    };
    let operational =
        problem("operational-disconnect", &json!({"disconnect_type": "UpstreamOperationalDisconnect"}));
    let connections = problem("streaming-connection", &json!({"connection_issue": "TooManyConnections"}));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let reset = now + 3;
    let limit = vec![("x-rate-limit-remaining", "0".into()), ("x-rate-limit-reset", reset.to_string())];
    x.scenes([
        Scene::Refusal(
            429,
            limit,
            json!({"title": "Too Many Requests", "type": "about:blank", "status": 429}),
        ),
        Scene::Chunks(vec![whole.clone()], End::Close),
        Scene::Chunks(vec![torn], End::Reset),
        Scene::Refusal(
            503,
            Vec::new(),
            json!({"title": "Service Unavailable", "detail": CANARY, "type": "about:blank"}),
        ),
        Scene::Chunks(vec![lines([json!({"errors": [operational]})])], End::Silence),
        Scene::Chunks(vec![lines([connections])], End::Silence),
        Scene::Chunks(vec![whole[..20].to_vec()], End::Silence),
        Scene::Refusal(
            429,
            Vec::new(),
            json!({"title": "Too Many Requests", "type": "about:blank", "status": 429}),
        ),
    ]);
    x.publish(posts(1..10));
    let gateway = follow(&database, &x, &["--x-silence", "2s", "--x-backfill-minutes", "5"]);
    await_stored(&mut database, 9);
    for (reason, count) in [
        ("limited", 2.0),
        ("closed", 1.0),
        ("network", 1.0),
        ("refused", 1.0),
        ("disconnected", 2.0),
        ("stalled", 1.0),
    ] {
        let name = format!("sentiment_gateway_x_interrupted_total{{reason=\"{reason}\"}}");
        assert_eq!(figure(&gateway, &name), count, "{reason}: {}", gateway.log());
    }
    let log = gateway.log();
    assert!(log.contains("UpstreamOperationalDisconnect") && log.contains("TooManyConnections"), "{log}");
    let streams = x.streams();
    assert!(streams.iter().all(|asked| asked.line.contains("backfill_minutes=5")));
    // The second came when the first was told that it may.
    assert!(streams[1].at >= f64::from(u32::try_from(reset).unwrap()), "{reset}: {streams:?}");
}

#[test]
fn wrong_settings_are_said_and_not_hammered_with() {
    let database = migrated();
    let x = Service::start();
    let arguments = ["--x-url", &x.url, "--x-token", "AAAAwrong"];
    let gateway = Gateway::beside(&database, &arguments);
    let line = gateway.await_log("X does not give the stream: see the settings");
    assert!(line.contains("401") && line.contains("seconds=320"), "{line}");
    assert_eq!(x.requests().len(), 1);
    assert!(!gateway.log().contains("AAAAwrong"));
    drop(gateway);
    x.scenes([Scene::Refusal(
        403,
        Vec::new(),
        json!({"title": "Client Forbidden", "detail": CANARY,
        "reason": "client-not-enrolled", "type": "https://api.twitter.com/2/problems/client-forbidden"}),
    )]);
    let gateway = Gateway::beside(&database, &["--x-url", &x.url, "--x-token", TOKEN]);
    let line = gateway.await_log("X does not give the stream: see the settings");
    assert!(
        line.contains("403") && line.contains("client-forbidden") && line.contains("seconds=320"),
        "{line}"
    );
    assert_eq!(x.streams().len(), 1);
}

#[test]
fn a_token_in_a_file_may_be_changed() {
    let mut database = migrated();
    let x = Service::start();
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("x-token");
    std::fs::write(&file, "AAAAold\n").unwrap();
    let arguments = ["--x-url", &x.url, "--x-token-file", file.to_str().unwrap(), "--x-back-off", "0.001"];
    let gateway = Gateway::beside(&database, &arguments);
    gateway.await_log("401");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    x.await_open();
    x.publish(posts(1..2));
    await_stored(&mut database, 1);
}

#[test]
fn rules_are_made_what_the_settings_say() {
    let mut database = migrated();
    let x = Service::start();
    x.has_rule("theirs lang:en", "theirs");
    x.has_rule("shared", "theirs");
    x.has_rule("former", "sentiment-gateway");
    x.has_rule("kept", "sentiment-gateway");
    x.has_rule("more of theirs", "");
    let rules = "kept\n new (cat OR dog) \n\nshared\nnosuch:operator\nnew (cat OR dog)";
    let gateway = follow(&database, &x, &["--x-rules", rules]);
    let ours = |value: &str| (value.to_owned(), "sentiment-gateway".to_owned());
    let theirs = |value: &str, tag: &str| (value.to_owned(), tag.to_owned());
    x.await_open();
    let expected = [
        theirs("theirs lang:en", "theirs"),
        theirs("shared", "theirs"),
        ours("kept"),
        theirs("more of theirs", ""),
        ours("new (cat OR dog)"),
    ];
    assert_eq!(x.rules(), expected);
    // A rule that is refused is told by its place in the settings.
    assert!(gateway.await_log("X does not take a rule").contains("number=4"));
    assert!(!gateway.log().contains("nosuch"));
    // Of what comes, that is stored which one of these rules brought.
    let by = |id: usize, rule: &str, tag: &str| {
        let mut post = post(id, "good");
        post["matching_rules"] = json!([{"id": rule, "tag": tag}]);
        post
    };
    let tag = "sentiment-gateway";
    x.publish([
        by(1, "901", "theirs"),
        by(2, "902", "theirs"),
        by(3, "904", tag),
        by(4, "906", tag),
        by(5, "905", ""),
    ]);
    x.await_sent(5);
    await_figure(&gateway, "sentiment_gateway_x_received_total", 5.0);
    await_stored(&mut database, 3);
    drop(gateway);
    // Again, with nothing to do.
    let changes =
        |x: &Service| x.requests().iter().filter(|request| request.line.starts_with("POST")).count();
    let before = changes(&x);
    let again = follow(&database, &x, &["--x-rules", "kept\nshared\nnew (cat OR dog)"]);
    again.await_log("the stream of X is open");
    assert_eq!((x.rules(), changes(&x)), (expected.to_vec(), before));
    drop(again);
    let without = follow(&database, &x, &[]);
    without.await_log("the stream of X is open");
    assert_eq!(x.rules(), [expected[0].clone(), expected[1].clone(), expected[3].clone()]);
}

#[test]
fn one_of_several_gateways_reads_until_it_ends() {
    let mut database = migrated();
    let x = Service::start();
    let backfill = ["--x-backfill-minutes", "5"];
    let first = follow(&database, &x, &backfill);
    first.await_log("the stream of X is open");
    let second = follow(&database, &x, &backfill);
    x.publish(posts(1..200));
    let count = "SELECT count(*) FROM messages.message";
    while database.value::<i64>(count) == 0 {}
    assert_eq!(figure(&second, "sentiment_gateway_x_connected"), 0.0);
    let mut killed = first;
    killed.signal("-KILL");
    assert!(!killed.ends());
    x.publish(posts(200..300));
    second.await_log("the stream of X is open");
    await_stored(&mut database, 299);
    let third = follow(&database, &x, &backfill);
    // In order, this time.
    drop(second);
    third.await_log("the stream of X is open");
    x.publish(posts(300..310));
    await_stored(&mut database, 309);
    // The server saw a client go without a word.
    database.ask(Level::Fatal, "08006");
    database.ask(Level::Warning, "08006");
}

#[test]
fn the_stream_goes_on_while_the_database_is_away() {
    let server = Server::start(&["synchronous_commit=on", "fsync=on"]);
    let mut database = Database::on(&server);
    run_clean(&database, &["migrate"]);
    let x = Service::start();
    let gateway = follow(&database, &x, &[]);
    x.await_open();
    let publisher = {
        let x = x.clone();
        std::thread::spawn(move || {
            for id in 1..=600 {
                x.publish(posts(id..id + 1));
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        })
    };
    for sent in [100, 300] {
        x.await_sent(sent);
        server.crash();
    }
    publisher.join().unwrap();
    await_stored(&mut database, 600);
    // Nothing had to be sent again, for the stream was never left.
    assert_eq!(x.streams().len(), 1, "{}", gateway.log());
    sentiment_tests::note("faults: the database crashed twice under X: 600 posts, each once");
    for state in ["57P02", "57P03", "08006", "57P01", "00000"] {
        database.ask(Level::Fatal, state);
        database.ask(Level::Warning, state);
        database.ask(Level::Error, state);
    }
}

/// One that the operator's constraint refuses does not hold up those that come with it and after it.
#[test]
fn a_post_that_the_database_refuses_is_left_out() {
    let mut database = migrated();
    database.run(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'check_violation', MESSAGE = 'not this one'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON messages.message FOR EACH ROW
             WHEN (NEW.body LIKE '%forbidden%') EXECUTE FUNCTION refuse()",
    );
    let x = Service::start();
    let refused = |id: usize| post(id, &format!("{CANARY} forbidden"));
    let gateway = follow(&database, &x, &[]);
    x.await_open();
    x.publish(posts(1..20).chain([refused(20), refused(21)]).chain(posts(22..50)));
    await_figure(&gateway, "sentiment_gateway_x_skipped_total{reason=\"refused\"}", 2.0);
    x.publish(posts(50..60));
    await_stored(&mut database, 57);
    let line = gateway.await_log("a post of X was left out");
    assert!(line.contains("post=\"20\"") && line.contains("23514"), "{line}");
    database.ask(Level::Error, "23514");
}

#[test]
fn what_was_read_is_stored_before_the_end() {
    let mut database = migrated();
    let x = Service::start();
    let mut gateway = follow(&database, &x, &[]);
    x.await_open();
    let mut holder = database.connect("postgres");
    let mut held = holder.transaction().unwrap();
    held.batch_execute("LOCK TABLE messages.external_id IN SHARE MODE").unwrap();
    // Half as much again as a gateway holds.
    let long = "good ".repeat(13_000);
    x.publish((1..400).map(|id| post(id, &long)));
    await_figure(&gateway, "sentiment_gateway_x_received_total", 250.0);
    gateway.signal("-TERM");
    gateway.await_log("no new connections");
    let read = x.requests().len();
    held.rollback().unwrap();
    assert!(gateway.ends(), "{}", gateway.log());
    assert_eq!(x.requests().len(), read);
    let stored: i64 = database.value("SELECT count(*) FROM messages.message");
    assert!((250..300).contains(&stored), "{stored}");
}

#[test]
fn without_a_token_nothing_is_asked() {
    let database = migrated();
    let x = Service::start();
    let gateway = Gateway::beside(&database, &["--x-url", &x.url, "--x-token", ""]);
    gateway.get("/readyz");
    drop(gateway);
    assert!(x.requests().is_empty());
    let both = ["serve", "--x-token", "a", "--x-token-file", "b"];
    let refused = program(&database, "postgres").args(both).output().unwrap();
    assert!(!refused.status.success());
}

#[test]
fn rules_whose_pages_have_no_end_are_not_asked_for_for_ever() {
    let mut database = migrated();
    let x = Service::start();
    x.goes_round();
    x.has_rule("cats", "theirs");
    let gateway = follow(&database, &x, &["--x-rules", "dogs"]);
    x.await_open();
    gateway.await_log("the list of X's rules has no end");
    let mut ours = post(1, "I love it");
    ours["matching_rules"][0]["tag"] = json!("sentiment-gateway");
    x.publish([ours]);
    await_stored(&mut database, 1);
    let pages = x.requests().into_iter().filter(|request| request.line.contains("stream/rules?"));
    assert_eq!(pages.count(), 2);
}
