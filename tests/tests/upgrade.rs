//! From each released version to this one: the library and the script of that time, then the library and the script of now,
//! one after the other, while sessions are open.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use postgres::Client;
use sentiment_tests::{Database, Server, repository, run_clean, skip};

const CATALOG: &str = include_str!("upgrade/catalog.sql");
const OBJECTS: &str = include_str!("upgrade/objects.sql");
const ANSWERS: &str = include_str!("upgrade/answers.sql");

/// How many of the calls below score: they work at all times.
const SCORING: usize = 10;

/// Calls of everything that users call, none of which changes an answer.
const CALLS: [&str; 27] = [
    "SELECT sentiment('so happy'), sentiment('so happy', 'mood'), sentiment('so happy', 'auto')",
    "SELECT sentiment_score('so happy'), sentiment_score('so happy', 'weights@1')",
    "SELECT sentiment_probability('so happy', 'positive')",
    "SELECT sentiment_detail('so happy', 'forest')",
    "SELECT sentiment_json('so happy')",
    "SELECT sentiment_batch(ARRAY['so happy', NULL])",
    "SELECT sentiment_explain('so happy', 'mood')",
    "SELECT sentiment_tokens('so happy')",
    "SELECT sentiment_at('so happy', 'english@2'), sentiment_score_at('so happy', 'mood@1')",
    "BEGIN; INSERT INTO days VALUES ('sunny'); ROLLBACK",
    "CREATE TEMP TABLE enabled (body text); INSERT INTO enabled VALUES ('sunny')",
    "SELECT enable_sentiment('enabled', 'body', 'mood')",
    "SELECT stale_sentiment('enabled')",
    "SELECT disable_sentiment('enabled', drop_columns => true)",
    "DROP TABLE enabled",
    "SELECT train_sentiment('other', 'examples', 'body', 'label', 'naive_bayes')",
    "SELECT learn_sentiment('other', 'misty', 'negative'), set_sentiment_term('other', 'sleet', -1)",
    "SELECT refresh_sentiment('other')",
    "SELECT deploy_sentiment('other', min(number)) FROM sentiment.versions WHERE model = 'other'",
    "SELECT rollback_sentiment('other')",
    "SELECT evaluate_sentiment('other', 'examples', 'body', 'label')",
    "SELECT confusion_sentiment('other', 'examples', 'body', 'label')",
    "SELECT drift_sentiment('other', 'examples', 'body')",
    "SELECT length(export_sentiment('other'))",
    "SELECT import_sentiment('another', export_sentiment('other'))",
    "SELECT drop_sentiment('another')",
    "SELECT drop_sentiment('other')",
];

/// The released versions, oldest first, with the checksums of their scripts.
fn releases() -> Vec<(String, String)> {
    let list = fs::read_to_string(repository().join("sql/releases")).unwrap();
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let [version, _commit, checksum] = fields[..] else { panic!("sql/releases: {line}") };
            (version.to_owned(), checksum.to_owned())
        })
        .collect()
}

/// The version of this tree, as the control file has it.
fn current() -> String {
    let control = fs::read_to_string(repository().join("pg_sentiment.control")).unwrap();
    let line = control.lines().find_map(|line| line.strip_prefix("default_version = '")).unwrap();
    line.trim_end_matches('\'').to_owned()
}

/// A private PostgreSQL with a released version in it; none, with a word about it, where git has not got that version.
fn prefix_of(version: &str) -> Option<String> {
    let prefix = format!("upgrade-{version}");
    let mut script = Command::new(repository().join("scripts/release"));
    let built = script.arg(version).output().unwrap();
    if built.status.code() == Some(3) {
        skip(&format!("upgrades from {version}: {}", String::from_utf8_lossy(&built.stderr).trim_end()));
        return None;
    }
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    fill(&prefix, &["--release", version]);
    Some(prefix)
}

/// Puts a version's library and scripts where a server may already run.
fn fill(prefix: &str, release: &[&str]) {
    let mut script = Command::new(repository().join("scripts/prefix"));
    run_clean(script.args(release).env("PG_SENTIMENT_PREFIX", prefix));
}

fn lines(client: &mut Client) -> BTreeSet<String> {
    client.query(CATALOG, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

fn answers(client: &mut Client) -> String {
    client.query_one(ANSWERS, &[]).unwrap().get(0)
}

/// Whether the library that a session has loaded is not the one that is installed any more.
fn has_old_library(client: &mut Client) -> bool {
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let library = maps.lines().find(|line| line.contains("/pg_sentiment.so")).unwrap();
    library.ends_with(" (deleted)")
}

/// Calls everything, views included, and returns what failed; between two versions a function may, a session may not.
fn call_all(client: &mut Client) -> Vec<String> {
    let views = "SELECT format('SELECT * FROM sentiment.%I', relname) FROM pg_class
                 WHERE relnamespace = 'sentiment'::regnamespace AND relkind = 'v'";
    let views: Vec<String> = client.query(views, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    let calls = CALLS.iter().map(|call| (*call).to_owned()).chain(views);
    let failed = calls.filter_map(|call| {
        let error = client.batch_execute(&call).err()?;
        let error = error.as_db_error().unwrap_or_else(|| panic!("{call} ends the session: {error}"));
        Some(format!("{call}: {} {}", error.code().code(), error.message()))
    });
    failed.collect()
}

#[test]
fn released_scripts_stay_as_they_were() {
    for (version, checksum) in releases() {
        let script = repository().join(format!("sql/pg_sentiment--{version}.sql"));
        let sum = run_clean(Command::new("sha256sum").arg(&script));
        assert!(
            sum.starts_with(&checksum),
            "{script:?} is not what was released: changes go into newer scripts"
        );
    }
}

#[test]
fn there_is_one_hop_from_each_version_to_the_next() {
    let mut versions: Vec<String> = releases().into_iter().map(|(version, _)| version).collect();
    versions.push(current());
    let mut expected: BTreeSet<String> =
        versions.iter().map(|version| format!("pg_sentiment--{version}.sql")).collect();
    expected.extend(versions.windows(2).map(|pair| format!("pg_sentiment--{}--{}.sql", pair[0], pair[1])));
    let files = fs::read_dir(repository().join("sql")).unwrap();
    let mut files: BTreeSet<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.remove("releases");
    assert_eq!(files, expected);
    let mut database = Database::new();
    for version in &versions[..versions.len() - 1] {
        let path = format!(
            "SELECT path FROM pg_extension_update_paths('pg_sentiment') WHERE source = '{version}' AND target = '{}'",
            current()
        );
        assert!(database.value::<Option<String>>(&path).is_some(), "no way from {version}");
    }
}

#[test]
fn from_every_released_version() {
    for (version, _) in releases() {
        let Some(prefix) = prefix_of(&version) else { continue };
        let server = Server::of_prefix(&prefix);
        server.connect("postgres", "postgres").batch_execute("CREATE ROLE upgrade_owner LOGIN").unwrap();
        let mut installed: Vec<Upgraded<'_>> = ["postgres", "upgrade_owner"]
            .map(|owner| Upgraded::install(&server, owner, &version))
            .into_iter()
            .collect();
        fill(&prefix, &[]);
        for upgraded in &mut installed {
            upgraded.update();
        }
        drop(installed);
        drop(server);
    }
}

/// A database in which the extension is updated, as its owner does it.
struct Upgraded<'a> {
    owner: &'static str,
    database: Database<'a>,
    /// The session that began with the old library and stays.
    session: Client,
    answers: String,
}

impl<'a> Upgraded<'a> {
    /// The old version, and all that may rest on it.
    fn install(server: &'a Server, owner: &'static str, version: &str) -> Upgraded<'a> {
        let mut database = Database::on_owned_by(server, owner);
        database.run(&format!("ALTER SCHEMA public OWNER TO {owner}"));
        let mut session = database.connect(owner);
        session.batch_execute("CREATE EXTENSION pg_sentiment").unwrap();
        let installed = "SELECT extversion FROM pg_extension WHERE extname = 'pg_sentiment'";
        assert_eq!(session.query_one(installed, &[]).unwrap().get::<_, String>(0), version);
        session.batch_execute(OBJECTS).unwrap();
        assert_eq!(call_all(&mut session), Vec::<String>::new(), "{version} as it was released");
        let answers = answers(&mut session);
        Upgraded { owner, database, session, answers }
    }

    /// The new library is installed: first it serves the old script, then the old session the new one.
    fn update(&mut self) {
        let mut new = self.database.connect(self.owner);
        assert_eq!(answers(&mut new), self.answers, "by the new library, with the old script");
        assert!(!has_old_library(&mut new) && has_old_library(&mut self.session));
        self.may_fail("a new library with the old script", &call_all(&mut new));

        new.batch_execute("ALTER EXTENSION pg_sentiment UPDATE").unwrap();
        assert_eq!(answers(&mut self.session), self.answers, "by the old library, with the new script");
        let failed = call_all(&mut self.session);
        self.may_fail("an old library with the new script", &failed);
        assert!(has_old_library(&mut self.session));

        let mut newest = self.database.connect(self.owner);
        for client in [&mut new, &mut newest] {
            assert_eq!(answers(client), self.answers);
            assert_eq!(call_all(client), Vec::<String>::new(), "after the update");
        }
        self.is_as_a_fresh_one(&mut newest);
        self.goes_on(&mut newest);
    }

    /// Before library and script agree, scoring works, and what fails does so for a function that one of both does not know
    /// (42883) or declares otherwise (55000). What a call that failed should have made, later ones miss.
    fn may_fail(&mut self, when: &str, failed: &[String]) {
        let mut missing = false;
        for failure in failed {
            assert!(!CALLS[..SCORING].iter().any(|call| failure.starts_with(call)), "{when}: {failure}");
            let differs = [": 42883 ", ": 55000 "].iter().any(|state| failure.contains(state));
            let follows = [": 42704 ", ": 22004 "].iter().any(|state| failure.contains(state));
            assert!(differs || (missing && follows), "{when}: {failure}, after {failed:#?}");
            missing |= differs;
        }
        self.database.ask_errors_so_far();
    }

    /// Object by object, and score by score.
    fn is_as_a_fresh_one(&mut self, upgraded: &mut Client) {
        let database = Database::on_owned_by(self.database.server(), self.owner);
        database
            .connect("postgres")
            .batch_execute(&format!("ALTER SCHEMA public OWNER TO {}", self.owner))
            .unwrap();
        let mut fresh = database.connect(self.owner);
        fresh.batch_execute("CREATE EXTENSION pg_sentiment").unwrap();
        let (is, should) = (lines(upgraded), lines(&mut fresh));
        assert!(should.len() > 200, "the catalog has {} lines", should.len());
        let missing: Vec<&String> = should.difference(&is).collect();
        let surplus: Vec<&String> = is.difference(&should).collect();
        assert!(missing.is_empty() && surplus.is_empty(), "missing: {missing:#?}\ntoo much: {surplus:#?}");

        let scores = "SELECT string_agg(concat_ws(' ', sentiment_json(body), sentiment_json(body, 'auto'), sentiment_json(body, $1)),
                                        E'\\n') FROM unnest(ARRAY['so happy', 'foggy', 'que triste', 'a sunny day']) AS body";
        let payload: Vec<u8> = upgraded.query_one("SELECT export_sentiment('mood', 2)", &[]).unwrap().get(0);
        let import = "SELECT import_sentiment('mood', $1), import_sentiment('mood', $1)";
        fresh.query_one(import, &[&payload]).unwrap();
        let score = |client: &mut Client| client.query_one(scores, &[&"mood@2"]).unwrap().get::<_, String>(0);
        assert_eq!(score(upgraded), score(&mut fresh));
    }

    /// What was there before the update goes on: learning, refreshing, rolling back, rows that arrive.
    fn goes_on(&mut self, client: &mut Client) {
        client
            .batch_execute(
                "INSERT INTO messages (body) VALUES ('so happy, great'); INSERT INTO days VALUES ('hazy');
                 SELECT learn_sentiment('mood', 'hazy', 'negative') FROM generate_series(1, 9)",
            )
            .unwrap();
        let mut value = |sql: &str| client.query_one(sql, &[]).unwrap().get::<_, String>(0);
        assert_eq!(
            value("SELECT model_version || ' ' || rows_used FROM refresh_sentiment('mood')"),
            "mood@3 10"
        );
        assert_eq!(value("SELECT sentiment FROM messages ORDER BY id DESC LIMIT 1"), "positive");
        assert_eq!(value("SELECT version FROM days WHERE body = 'hazy'"), "mood@2");
        assert_eq!(value("SELECT rollback_sentiment('mood')"), "mood@2");
        assert_eq!(value("SELECT model_version FROM refresh_sentiment('weights')"), "weights@2");
    }
}

/// 0.1.0 took an empty label for one. Such a model scores, learns and is evaluated as it was; what is trained has none.
#[test]
fn a_model_with_an_empty_label_goes_on() {
    let mut database = Database::new();
    database.run(
        "CREATE TABLE days AS SELECT (ARRAY['sunny', 'rainy'])[n % 2 + 1] || ' day ' || md5(n::text) AS body,
             (ARRAY['a', 'b'])[n % 2 + 1] AS label FROM generate_series(1, 200) AS n;
         SELECT train_sentiment('m', 'days', 'body', 'label')",
    );
    let mut model: Vec<u8> = database.client().query_one("SELECT export_sentiment('m')", &[]).unwrap().get(0);
    // The labels a and b, each behind its length, become none and ab.
    let labels = model.windows(4).position(|bytes| bytes == b"\x01a\x01b").unwrap();
    model[labels..labels + 4].copy_from_slice(b"\x00\x02ab");
    let sum = crc32([&model[..24], &model[28..]].concat());
    model[24..28].copy_from_slice(&sum.to_le_bytes());
    let import = "SELECT import_sentiment('old', $1)";
    database.client().query_one(import, &[&model]).unwrap();
    database.run(
        "SELECT deploy_sentiment('old', 1);
         UPDATE days SET label = CASE label WHEN 'a' THEN '' ELSE 'ab' END",
    );
    let value = |database: &mut Database<'_>, sql: &str| database.value::<String>(sql);
    assert_eq!(
        value(&mut database, "SELECT sentiment('sunny', 'old') || '|' || sentiment('rainy', 'old')"),
        "|ab"
    );
    let classes = "SELECT string_agg(format('%s:%s', class, support), ' ' ORDER BY support, class)
                   FROM evaluate_sentiment('old', 'days', 'body', 'label') WHERE precision IS NOT NULL AND support = 100";
    assert_eq!(value(&mut database, classes), ":100 ab:100");
    database.run("SELECT learn_sentiment('old', 'foggy', '')");
    assert_eq!(
        value(&mut database, "SELECT model_version || ' ' || rows_used FROM refresh_sentiment('old')"),
        "old@2 1"
    );
    database.run("INSERT INTO days SELECT 'misty ' || md5(n::text), 'c' FROM generate_series(1, 50) AS n");
    let skipped =
        "SELECT rows_skipped::text FROM train_sentiment('old', 'days', 'body', 'label', deploy => 'always')";
    assert_eq!(value(&mut database, skipped), "101");
    assert_eq!(
        value(&mut database, "SELECT labels::text FROM sentiment.models WHERE model = 'old'"),
        "{ab,c}"
    );
}

/// The checksum that a model has of itself.
fn crc32(bytes: Vec<u8>) -> u32 {
    !bytes.into_iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg()))
    })
}
