//! Whatever is killed at whatever moment: what was committed stays, nothing else is there, and the server goes on.
//!
//! `make test-crash` runs 100 rounds, `make test` a few; ROUNDS and SEED choose.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use postgres::{Client, NoTls};
use sentiment_tests::{Server, asked_for, chance, note, trouble};

/// A model that is large enough to be shared, with three versions of which every other one knows sunny as bad; a scored table;
/// and one into which a row at a time goes.
const SCENE: &str = "
    CREATE EXTENSION pg_sentiment;
    CREATE TABLE texts AS
    SELECT CASE WHEN n % 2 = 0 THEN 'sunny ' ELSE 'rainy ' END || md5(n::text) AS body,
           CASE WHEN n % 2 = 0 THEN 'good' ELSE 'bad' END AS label,
           CASE WHEN n % 2 = 0 THEN 'bad' ELSE 'good' END AS other
    FROM generate_series(1, 4000) AS n;
    SELECT train_sentiment('m', 'texts', 'body', column_name, 'naive_bayes',
        '{\"min_texts\": 1, \"folds\": 2, \"keep_versions\": 10000}', deploy => 'always')
    FROM unnest(ARRAY['label', 'other', 'label']::name[]) AS column_name;
    CREATE TABLE messages (id int, body text);
    INSERT INTO messages SELECT n, body FROM (SELECT row_number() OVER () AS n, body FROM texts) AS t;
    SELECT enable_sentiment('messages', 'body', 'm');
    CREATE TABLE arrivals (id int PRIMARY KEY, body text);
    SELECT enable_sentiment('arrivals', 'body', 'm');
    SELECT set_config('sentiment.progress_interval', '-1', false)";

/// What is being done when something is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Train,
    Refresh,
    Deploy,
    RollBack,
    Import,
    Drop,
    Rescore,
    Copy,
}

const ACTS: [Act; 8] =
    [Act::Train, Act::Refresh, Act::Deploy, Act::RollBack, Act::Import, Act::Drop, Act::Rescore, Act::Copy];

/// Rows of one COPY.
const COPIED: i64 = 3000;

impl Act {
    /// What has to be there first, committed.
    fn prepare(self, client: &mut Client) {
        match self {
            Act::Refresh => client.batch_execute(
                "SELECT count(learn_sentiment('m', 'foggy ' || md5(n::text), 'bad')) FROM generate_series(1, 500) AS n",
            ),
            Act::Drop => client.batch_execute("SELECT import_sentiment('gone', export_sentiment('m'))"),
            Act::Rescore => client.batch_execute(
                "SELECT deploy_sentiment('m', number) FROM sentiment.versions
                 WHERE model = 'm' AND NOT deployed ORDER BY number DESC LIMIT 1",
            ),
            _ => Ok(()),
        }
        .unwrap();
    }

    fn perform(self, client: &mut Client) -> Result<(), postgres::Error> {
        match self {
            Act::Train => client.batch_execute(
                "SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes',
                    '{\"min_texts\": 1, \"folds\": 2, \"keep_versions\": 10000}', deploy => 'always')",
            ),
            Act::Refresh => client.batch_execute("SELECT refresh_sentiment('m')"),
            Act::Deploy => client.batch_execute("SELECT deploy_sentiment('m', 2)"),
            Act::RollBack => client.batch_execute("SELECT rollback_sentiment('m')"),
            Act::Import => client.batch_execute("SELECT import_sentiment('copy', export_sentiment('m', 1))"),
            Act::Drop => client.batch_execute("SELECT drop_sentiment('gone')"),
            Act::Rescore => client.batch_execute("CALL rescore_sentiment('messages', 400)"),
            Act::Copy => {
                let mut rows = client.copy_in("COPY messages (id, body) FROM STDIN")?;
                for id in 0..COPIED {
                    writeln!(rows, "{id}\tsunny rainy {id}").unwrap();
                }
                rows.finish().map(drop)
            }
        }
    }
}

/// What was committed, as far as acts change it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    /// Versions of each model.
    versions: BTreeMap<String, i64>,
    /// The deployed version of `m`, and how many deployments there were.
    deployed: i32,
    /// What a rollback would go back to.
    before: Option<i32>,
    last: i32,
    deployments: i64,
    unlearned: i64,
    feedback: i64,
    messages: i64,
}

impl State {
    fn read(client: &mut Client) -> State {
        let versions =
            client.query("SELECT model::text, count(*) FROM sentiment.version GROUP BY model", &[]).unwrap();
        let row = client
            .query_one(
                "SELECT m.current_version, t.number, m.last_version,
                    (SELECT count(*) FROM sentiment.deployment WHERE model = 'm'),
                    (SELECT count(*) FROM sentiment.unlearned), (SELECT count(*) FROM sentiment.feedback),
                    (SELECT count(*) FROM messages)
                 FROM sentiment.model AS m JOIN sentiment.deployment AS c ON c.id = m.current_deployment
                 LEFT JOIN sentiment.deployment AS t ON t.id = c.follows WHERE m.name = 'm'",
                &[],
            )
            .unwrap();
        State {
            versions: versions.iter().map(|row| (row.get(0), row.get(1))).collect(),
            deployed: row.get(0),
            before: row.get(1),
            last: row.get(2),
            deployments: row.get(3),
            unlearned: row.get(4),
            feedback: row.get(5),
            messages: row.get(6),
        }
    }

    /// What an act makes of it. What a rollback goes back to next is left open: it is asked of the registry.
    fn after(&self, act: Act) -> State {
        let mut after = self.clone();
        let mut deploy = |number| {
            (after.before, after.deployed) = (Some(after.deployed), number);
            after.deployments += 1;
        };
        match act {
            Act::Train | Act::Refresh => deploy(self.last + 1),
            // What is deployed already goes back to what it would have gone back to.
            Act::Deploy if self.deployed == 2 => after.deployments += 1,
            Act::Deploy => deploy(2),
            Act::RollBack => deploy(self.before.unwrap()),
            Act::Import | Act::Drop | Act::Rescore | Act::Copy => {}
        }
        match act {
            Act::Train | Act::Refresh => {
                *after.versions.get_mut("m").unwrap() += 1;
                after.last += 1;
                after.unlearned = 0;
            }
            Act::Import => *after.versions.entry("copy".into()).or_default() += 1,
            Act::Drop => drop(after.versions.remove("gone")),
            Act::Copy => after.messages += COPIED,
            Act::Deploy | Act::RollBack | Act::Rescore => {}
        }
        after
    }

    /// Whether it is the same, but for what is left open.
    fn is(&self, wanted: &State, act: Act) -> bool {
        let open = if act == Act::RollBack { self.before } else { wanted.before };
        *self == State { before: open, ..wanted.clone() }
    }
}

/// What may never change: a version's bytes, and what it answers.
type Answers = BTreeMap<String, (String, String)>;

/// Looks for anything that cannot be, and returns the versions with what they answer.
fn inspect(client: &mut Client) -> Answers {
    let wrong = client
        .query_one(
            "SELECT (SELECT count(*) FROM sentiment.version, unnest(parts) AS part
                     WHERE NOT EXISTS (SELECT FROM sentiment.part WHERE id = part)) AS without_part,
                    (SELECT count(*) FROM sentiment.part AS p WHERE NOT EXISTS (
                        SELECT FROM sentiment.version WHERE p.id = ANY (parts))) AS unused_part,
                    (SELECT count(*) FROM sentiment.model AS m WHERE current_version IS NOT NULL AND NOT EXISTS (
                        SELECT FROM sentiment.deployment AS d JOIN sentiment.version AS v USING (model, number)
                        WHERE d.id = m.current_deployment AND d.model = m.name AND number = m.current_version)) AS undeployed,
                    (SELECT count(*) FROM sentiment.version AS v JOIN sentiment.model AS m ON m.name = v.model
                     WHERE number > last_version) AS unnumbered,
                    (SELECT count(*) FROM sentiment.unlearned WHERE feedback NOT IN (
                        SELECT id FROM sentiment.feedback)) AS unfiled,
                    (SELECT count(*) FROM messages WHERE sentiment IS DISTINCT FROM sentiment_at(body, sentiment_version)
                        OR sentiment_score IS DISTINCT FROM sentiment_score_at(body, sentiment_version)) AS misread,
                    (SELECT count(*) FROM arrivals WHERE sentiment IS DISTINCT FROM sentiment_at(body, sentiment_version)) AS misread_too",
            &[],
        )
        .unwrap();
    for (index, column) in wrong.columns().iter().enumerate() {
        assert_eq!(wrong.get::<_, i64>(index), 0, "{}", column.name());
    }
    let versions = "SELECT v.model_version, sentiment_at('sunny', v.model_version), md5(export_sentiment(v.model, v.number))
                    FROM sentiment.versions AS v";
    let versions = client.query(versions, &[]).unwrap();
    versions.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}

/// A session that may end at any time.
fn session(server: &Server) -> Client {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match server.config("postgres", "postgres").connect(NoTls) {
            Ok(client) => return client,
            Err(error) => assert!(Instant::now() < end, "the server does not come back: {error}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Scores until its server is gone; what each version said.
fn score(mut client: Client) -> Vec<(String, String)> {
    let mut answers = Vec::new();
    while let Ok(row) =
        client.query_one("SELECT model_version, label FROM sentiment_detail('sunny', 'm')", &[])
    {
        answers.push((row.get(0), row.get(1)));
    }
    answers
}

/// Inserts a row at a time until its server is gone; the last one that was committed.
fn insert(mut client: Client, mut last: i32) -> i32 {
    while client.execute("INSERT INTO arrivals (id, body) VALUES ($1, 'rainy sunny')", &[&(last + 1)]).is_ok()
    {
        last += 1;
    }
    last
}

fn pid(client: &mut Client) -> i32 {
    client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0)
}

/// What a round found.
struct Round {
    act: Act,
    acknowledged: bool,
    committed: bool,
}

/// The server with all that is known of it.
struct Scene {
    server: Server,
    answers: Answers,
    arrived: i32,
    /// How long each act takes.
    takes: BTreeMap<Act, Duration>,
}

impl Scene {
    fn new() -> Scene {
        let server = Server::start(&["synchronous_commit=on", "full_page_writes=on", "shared_buffers=32MB"]);
        let mut client = session(&server);
        client.batch_execute(SCENE).unwrap();
        let mut takes = BTreeMap::new();
        for act in ACTS {
            act.prepare(&mut client);
            let (before, begun) = (State::read(&mut client), Instant::now());
            act.perform(&mut client).unwrap();
            takes.insert(act, begun.elapsed());
            let now = State::read(&mut client);
            assert!(now.is(&before.after(act), act), "{act:?}: {now:?} from {before:?}");
        }
        let answers = inspect(&mut client);
        Scene { server, answers, arrived: 0, takes }
    }

    /// Kills the session that acts, one beside it, or everything, after a while.
    fn round(&mut self, act: Act, rng: &mut Rng) -> Round {
        let mut client = session(&self.server);
        act.prepare(&mut client);
        let before = State::read(&mut client);
        let (mut actor, mut writer) = (session(&self.server), session(&self.server));
        let victims = [Some(pid(&mut actor)), None, Some(pid(&mut writer)), None, Some(pid(&mut actor))];
        let victim = victims[rng.usize(..victims.len())];
        let delay = self.takes[&act].mul_f64(2.0 * rng.f64());
        let reader = session(&self.server);
        let (acted, answers, arrived) = thread::scope(|scope| {
            // The session stays until it is killed, though it may have acted before that.
            let acting = scope.spawn(move || (act.perform(&mut actor), actor));
            let reading = scope.spawn(move || score(reader));
            let last = self.arrived;
            let writing = scope.spawn(move || insert(writer, last));
            thread::sleep(delay);
            match victim {
                Some(pid) => self.server.kill_session(pid),
                None => {
                    self.server.kill_all();
                    self.server.restart();
                }
            }
            (acting.join().unwrap().0, reading.join().unwrap(), writing.join().unwrap())
        });
        let mut client = session(&self.server);
        let left = shared_files(&self.server);
        let now = State::read(&mut client);
        let wanted = before.after(act);
        let committed = now.is(&wanted, act) && act != Act::Rescore;
        let about =
            format!("{act:?}, {victim:?} killed after {delay:?}, {acted:?}: {before:?}, then {now:?}");
        assert!(committed || (acted.is_err() && now.is(&before, act)) || now.is(&wanted, act), "{about}");
        assert!(left.is_empty(), "{about}: {left:?}");
        self.check_arrivals(&mut client, arrived, &about);
        self.check_answers(inspect(&mut client), &answers, act, &about);
        Round { act, acknowledged: acted.is_ok(), committed }
    }

    /// All rows are there whose insertion was acknowledged, and at most one more.
    fn check_arrivals(&mut self, client: &mut Client, arrived: i32, about: &str) {
        let row = client.query_one("SELECT count(*)::int, coalesce(max(id), 0) FROM arrivals", &[]).unwrap();
        let (count, last): (i32, i32) = (row.get(0), row.get(1));
        assert!(
            count == last && (last == arrived || last == arrived + 1),
            "{about}: {last} arrived, {arrived} said so"
        );
        self.arrived = last;
    }

    /// No version ever says something else, whenever it is asked.
    fn check_answers(&mut self, now: Answers, read: &[(String, String)], act: Act, about: &str) {
        for (version, answer) in &self.answers {
            let same = now.get(version) == Some(answer);
            let dropped = act == Act::Drop && version.starts_with("gone") && !now.contains_key(version);
            assert!(same || dropped || version.starts_with("gone"), "{about}: {version} was {answer:?}");
        }
        for (version, label) in read {
            let said = now.get(version).map(|(label, _)| label);
            assert_eq!(said, Some(label), "{about}: a reader had {label} of {version}");
        }
        self.answers = now;
    }
}

/// The shared files that are there.
fn shared_files(server: &Server) -> Vec<String> {
    let Ok(files) = fs::read_dir(server.data().join("base/pgsql_tmp")) else { return Vec::new() };
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("pgsql_tmp_sentiment")).collect()
}

#[test]
fn nothing_committed_is_lost_and_nothing_else_is_there() {
    let rounds = asked_for("ROUNDS", 8);
    let mut rng = chance("crash");
    let begun = Instant::now();
    let mut scene = Scene::new();
    let mut outcomes: BTreeMap<Act, [u32; 3]> = BTreeMap::new();
    let mut acts = ACTS;
    for round in 0..rounds {
        if round % ACTS.len() as u64 == 0 {
            rng.shuffle(&mut acts);
        }
        let act = acts[usize::try_from(round).unwrap() % ACTS.len()];
        let Round { act, acknowledged, committed } = scene.round(act, &mut rng);
        let [all, acknowledgements, commits] = outcomes.entry(act).or_default();
        *all += 1;
        *acknowledgements += u32::from(acknowledged);
        *commits += u32::from(committed);
    }
    // The server said that it was killed, and that it was starting; nothing else.
    let found = trouble(&scene.server.log(), &["57P02", "57P01", "57P03", "08006", "08P01"]);
    assert!(found.is_empty(), "{found:#?}");
    let mut client = session(&scene.server);
    for act in [Act::Refresh, Act::Rescore] {
        act.perform(&mut client).unwrap();
    }
    inspect(&mut client);
    note(&format!(
        "{rounds} kills in {:?}, {} rows arrived; rounds, acknowledged and committed of each: {outcomes:?}",
        begun.elapsed(),
        scene.arrived
    ));
}
