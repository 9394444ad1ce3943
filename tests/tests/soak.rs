//! Thirty-two sessions that score, insert, train, learn, deploy, roll back and drop at once, and one that goes on for long.
//!
//! `make test-soak` takes MINUTES (10), `make test` some seconds.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use postgres::Client;
use sentiment_tests::{Server, asked_for, chance, note, trouble};

const SCENE: &str = "
    CREATE EXTENSION pg_sentiment;
    CREATE TABLE texts AS
    SELECT n AS id, CASE WHEN n % 2 = 0 THEN 'sunny ' ELSE 'rainy ' END || md5(n::text) AS body,
           CASE WHEN n % 2 = 0 THEN 'good' ELSE 'bad' END AS label,
           CASE WHEN n % 2 = 0 THEN 'bad' ELSE 'good' END AS other
    FROM generate_series(1, 3000) AS n;
    SELECT train_sentiment(model, 'texts', 'body', column_name, 'naive_bayes', '{\"min_texts\": 1, \"folds\": 2}', deploy => 'always')
    FROM unnest(ARRAY['m', 'n']) AS model, unnest(ARRAY['label', 'other', 'label']::name[]) AS column_name;
    CREATE TABLE messages (id bigint GENERATED ALWAYS AS IDENTITY, body text);
    SELECT enable_sentiment('messages', 'body', 'm')";

/// What the sessions do, and how many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Scores,
    Inserts,
    Trains,
    Learns,
    Deploys,
    RollsBack,
    Drops,
    /// Changes both models in one transaction, in any order: the server has to resolve deadlocks.
    Crosses,
}

const ROLES: [(Role, usize); 8] = [
    (Role::Scores, 12),
    (Role::Inserts, 8),
    (Role::Trains, 2),
    (Role::Learns, 3),
    (Role::Deploys, 2),
    (Role::RollsBack, 2),
    (Role::Drops, 1),
    (Role::Crosses, 2),
];

/// What all sessions have seen.
#[derive(Default)]
struct Seen {
    /// What each version said.
    labels: Mutex<HashMap<String, String>>,
    /// What each role did, and what the server refused, by SQLSTATE.
    counts: Mutex<BTreeMap<Role, BTreeMap<String, u64>>>,
    /// Answers that could not be judged, for the version was dropped meanwhile.
    unjudged: AtomicU64,
    /// The newest deployments whose commit was acknowledged, of `m` and of `n`.
    committed: [AtomicI64; 2],
}

impl Seen {
    fn committed(&self, model: &str) -> &AtomicI64 {
        &self.committed[usize::from(model == "n")]
    }
}

fn model(rng: &mut Rng) -> &'static str {
    if rng.bool() { "m" } else { "n" }
}

/// Scores: the answer is from no older deployment than the last one whose commit was acknowledged before.
fn score(client: &mut Client, model: &str, seen: &Seen) -> Result<(), postgres::Error> {
    let committed = seen.committed(model).load(Ordering::SeqCst);
    let answer =
        client.query_one("SELECT model_version, label FROM sentiment_detail('sunny', $1)", &[&model])?;
    let (version, label): (String, String) = (answer.get(0), answer.get(1));
    let known = seen.labels.lock().unwrap().entry(version.clone()).or_insert_with(|| label.clone()).clone();
    assert_eq!(known, label, "{version} said something else before");
    let newest = "SELECT max(id) FROM sentiment.deployment WHERE model = $1 AND model || '@' || number = $2";
    match client.query_one(newest, &[&model, &version])?.get::<_, Option<i64>>(0) {
        Some(newest) => {
            assert!(newest >= committed, "{version} of deployment {newest} after {committed} was committed")
        }
        // It was dropped meanwhile.
        None => drop(seen.unjudged.fetch_add(1, Ordering::Relaxed)),
    }
    Ok(())
}

/// Changes models in one transaction, and notes which deployments were committed.
fn change(client: &mut Client, seen: &Seen, changes: &[(&str, String)]) -> Result<(), postgres::Error> {
    client.batch_execute("BEGIN")?;
    let mut deployed = Vec::new();
    for (model, change) in changes {
        client.batch_execute(change)?;
        let current = "SELECT current_deployment FROM sentiment.model WHERE name = $1";
        deployed.push((model, client.query_one(current, &[model])?.get::<_, i64>(0)));
    }
    client.batch_execute("COMMIT")?;
    for (model, deployment) in deployed {
        seen.committed(model).fetch_max(deployment, Ordering::SeqCst);
    }
    Ok(())
}

fn insert(client: &mut Client) -> Result<(), postgres::Error> {
    let insert =
        "INSERT INTO messages (body) VALUES ('sunny'), ('rainy') RETURNING sentiment, sentiment_version";
    let rows = client.query(insert, &[])?;
    for row in &rows {
        assert!(row.get::<_, Option<String>>(0).is_some() && row.get::<_, Option<String>>(1).is_some());
    }
    Ok(())
}

/// A version of a model, which may be gone a moment later.
fn any_version(client: &mut Client, model: &str) -> Result<i32, postgres::Error> {
    let query = "SELECT number FROM sentiment.version WHERE model = $1 ORDER BY random() LIMIT 1";
    Ok(client.query_one(query, &[&model])?.get(0))
}

/// One step of a role.
fn step(role: Role, client: &mut Client, rng: &mut Rng, seen: &Seen) -> Result<(), postgres::Error> {
    let name = model(rng);
    match role {
        Role::Scores => return score(client, name, seen),
        Role::Inserts => return insert(client),
        Role::Trains => {
            let label = if rng.bool() { "label" } else { "other" };
            let train = format!(
                "SELECT train_sentiment('{name}', 'texts', 'body', '{label}', 'naive_bayes',
                    '{{\"min_texts\": 1, \"folds\": 2, \"keep_versions\": 6}}', deploy => 'always')"
            );
            change(client, seen, &[(name, train)])?;
        }
        Role::Learns => {
            client.batch_execute(&format!(
                "SELECT count(learn_sentiment('{name}', 'foggy ' || n, 'bad')) FROM generate_series(1, 5) AS n"
            ))?;
            change(client, seen, &[(name, format!("SELECT refresh_sentiment('{name}')"))])?;
        }
        Role::Deploys => {
            let number = any_version(client, name)?;
            change(client, seen, &[(name, format!("SELECT deploy_sentiment('{name}', {number})"))])?;
        }
        Role::RollsBack => change(client, seen, &[(name, format!("SELECT rollback_sentiment('{name}')"))])?,
        Role::Drops => {
            let number = any_version(client, name)?;
            client.batch_execute(&format!("SELECT drop_sentiment('{name}', {number})"))?;
        }
        Role::Crosses => {
            let other = if name == "m" { "n" } else { "m" };
            let both = |name| format!("SELECT refresh_sentiment('{name}'), rollback_sentiment('{name}')");
            change(client, seen, &[(name, both(name)), (other, both(other))])?;
        }
    }
    thread::sleep(Duration::from_millis(rng.u64(..100)));
    Ok(())
}

/// What the server may refuse: a version that is gone, in use, or nothing before it; and a deadlock that it resolved.
const REFUSED: [&str; 5] = ["42704", "55006", "55000", "2BP01", "40P01"];

fn session(role: Role, server: &Server, mut rng: Rng, end: Instant, seen: &Seen) {
    let mut client = server.connect("postgres", "postgres");
    client.batch_execute("SET statement_timeout = '60s'").unwrap();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    while Instant::now() < end {
        let outcome = match step(role, &mut client, &mut rng, seen) {
            Ok(()) => "done".to_owned(),
            Err(error) => {
                let state = error.code().map_or("no answer", |state| state.code()).to_owned();
                assert!(REFUSED.contains(&state.as_str()), "{role:?}: {error:?}");
                client.batch_execute("ROLLBACK").unwrap();
                state
            }
        };
        *counts.entry(outcome).or_default() += 1_u64;
    }
    let mut all = seen.counts.lock().unwrap();
    for (outcome, count) in counts {
        *all.entry(role).or_default().entry(outcome).or_default() += count;
    }
}

/// How long: MINUTES, or some seconds.
fn length() -> Duration {
    let minutes = asked_for("MINUTES", 0);
    if minutes > 0 { Duration::from_secs(60 * minutes) } else { Duration::from_secs(8) }
}

#[test]
fn thirty_two_sessions_at_once() {
    let mut rng = chance("soak");
    let server = Server::start(&["deadlock_timeout=200ms", "max_connections=60"]);
    let mut client = server.connect("postgres", "postgres");
    client.batch_execute(SCENE).unwrap();
    let seen = Seen::default();
    let end = Instant::now() + length();
    thread::scope(|scope| {
        for (role, sessions) in ROLES {
            for _ in 0..sessions {
                let (rng, server, seen) = (rng.fork(), &server, &seen);
                scope.spawn(move || session(role, server, rng, end, seen));
            }
        }
    });
    let counts = seen.counts.into_inner().unwrap();
    for (role, _) in ROLES {
        assert!(
            counts.get(&role).is_some_and(|outcomes| outcomes.get("done").is_some_and(|done| *done > 0)),
            "{role:?}: {counts:?}"
        );
    }
    let wrong = "SELECT (SELECT count(*) FROM sentiment.version, unnest(parts) AS part WHERE NOT EXISTS (SELECT FROM sentiment.part WHERE id = part))
        + (SELECT count(*) FROM sentiment.part AS p WHERE NOT EXISTS (SELECT FROM sentiment.version WHERE p.id = ANY (parts)))
        + (WITH kept AS MATERIALIZED (
               SELECT messages.* FROM messages JOIN sentiment.versions ON model_version = sentiment_version)
           SELECT count(*) FROM kept WHERE sentiment IS DISTINCT FROM sentiment_at(body, sentiment_version))
        + (SELECT count(*) FROM messages WHERE sentiment_version IS NULL)";
    assert_eq!(client.query_one(wrong, &[]).unwrap().get::<_, i64>(0), 0);
    let found = trouble(&server.log(), &REFUSED);
    // A transaction that failed is rolled back once more than it need be.
    let found: Vec<_> = found.iter().filter(|entry| entry.state != "25P01").collect();
    assert!(found.is_empty(), "{found:#?}");
    note(&format!(
        "{:?} with 32 sessions: {counts:?}; {} versions seen, {} answers not judged",
        length(),
        seen.labels.into_inner().unwrap().len(),
        seen.unjudged.into_inner()
    ));
}

/// Kilobytes of a session's own memory, and all that it has in memory but shared buffers.
fn memory(pid: i32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let number = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (number("RssAnon:"), number("VmRSS:") - number("RssShmem:"))
}

/// A session's memory after very many texts and deployments is what it was after the first ones.
#[test]
fn one_session_for_long() {
    let server = Server::start(&["jit=off", "max_parallel_workers_per_gather=0"]);
    let (mut client, mut other) =
        (server.connect("postgres", "postgres"), server.connect("postgres", "postgres"));
    client.batch_execute(SCENE).unwrap();
    drop(client);
    let mut client = server.connect("postgres", "postgres");
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let (texts, deployments) = if asked_for("MINUTES", 0) > 0 { (10_000_000, 1_000) } else { (200_000, 40) };
    let mut score = |times: u32, deployment: u32| {
        let text = format!(
            "SELECT count(sentiment(body, 'm')) + count(sentiment_score(body)) FROM texts, generate_series(1, {times}) AS n WHERE id <= 500"
        );
        client.batch_execute(&text).unwrap();
        let number = deployment % 2 + 2;
        let deploy = format!("SELECT deploy_sentiment('m', {number})");
        if deployment % 4 < 2 { &mut client } else { &mut other }.batch_execute(&deploy).unwrap();
        let version =
            client.query_one("SELECT model_version FROM sentiment_detail('sunny', 'm')", &[]).unwrap();
        assert_eq!(version.get::<_, String>(0), format!("m@{number}"));
    };
    // 10,000 texts, and of each kind of deployment some.
    for deployment in 0..10 {
        score(1, deployment);
    }
    let before = memory(pid);
    let times = u32::div_ceil(texts - 10_000, 1_000 * (deployments - 10));
    for deployment in 10..deployments {
        score(times, deployment);
    }
    let after = memory(pid);
    note(&format!(
        "after 10,000 texts and 10 deployments {before:?} kB, after {} and {deployments} {after:?} kB",
        10_000 + (deployments - 10) * times * 1_000
    ));
    assert!(after.0 < before.0 + 2048 && after.1 < before.1 + 2048, "{before:?}, then {after:?} kB");
}
