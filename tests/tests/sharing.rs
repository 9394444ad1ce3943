//! One copy of a trained model for all sessions: that they share it, that nothing else is taken for it, and that its file goes
//! when it should.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use postgres::Client;
use sentiment_tests::{Database, Server, note};

/// How the files' names begin.
const PREFIX: &str = "pgsql_tmp_sentiment";

/// `model` learns that sunny is `sunny`, and 4,000 words beside, so that it is large enough to be shared.
fn train(model: &str, sunny: &str, rainy: &str, rows: usize) -> String {
    format!(
        "DROP TABLE IF EXISTS texts;
         CREATE TABLE texts AS
         SELECT CASE WHEN n % 2 = 0 THEN 'sunny ' ELSE 'rainy ' END || md5(n::text) AS body,
                CASE WHEN n % 2 = 0 THEN '{sunny}' ELSE '{rainy}' END AS label
         FROM generate_series(1, {rows}) AS n;
         SELECT train_sentiment('{model}', 'texts', 'body', 'label', 'naive_bayes', '{{\"min_texts\": 1, \"folds\": 2}}')"
    )
}

fn label(client: &mut Client, model: &str) -> String {
    client.query_one("SELECT sentiment('sunny', $1)", &[&model]).unwrap().get(0)
}

fn folder(server: &Server) -> PathBuf {
    server.data().join("base/pgsql_tmp")
}

/// The shared files of a server.
fn files(server: &Server) -> Vec<PathBuf> {
    let Ok(all) = fs::read_dir(folder(server)) else { return Vec::new() };
    let ours = all.map(|file| file.unwrap().path());
    ours.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(PREFIX)).collect()
}

/// Those of a database.
fn files_of(database: &mut Database<'_>) -> Vec<PathBuf> {
    let oid: u32 = database.value("SELECT oid FROM pg_database WHERE datname = current_database()");
    let prefix = format!("{PREFIX}_{oid}_");
    let mut files = files(database.server());
    files.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&prefix));
    files
}

/// What a session has mapped of shared files: inode and path, which ends with `(deleted)` if the file is gone.
fn mapped(client: &mut Client) -> Vec<(String, String)> {
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let ours = maps.lines().filter(|line| line.contains(PREFIX));
    ours.map(|line| {
        let mut fields = line.split_whitespace();
        assert_eq!(fields.clone().nth(1), Some("r--s"), "{line}");
        let inode = fields.nth(4).unwrap();
        (inode.to_owned(), fields.collect::<Vec<_>>().join(" "))
    })
    .collect()
}

/// Kilobytes that a session has for itself, and its part of what it shares.
fn memory(client: &mut Client) -> u64 {
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Sessions that begin at the same time map the same file, whichever of them has written it.
#[test]
fn all_sessions_map_one_file() {
    let mut database = Database::new();
    database.run(&train("m", "good", "bad", 4000));
    assert!(files_of(&mut database).is_empty());
    let database = &mut database;
    let mut sessions: Vec<Client> = (0..12).map(|_| database.connect("postgres")).collect();
    let begin = Barrier::new(sessions.len());
    std::thread::scope(|scope| {
        for session in &mut sessions {
            scope.spawn(|| {
                begin.wait();
                assert_eq!(label(session, "m"), "good");
            });
        }
    });
    let maps: BTreeSet<_> = sessions.iter_mut().flat_map(mapped).collect();
    assert_eq!(maps.len(), 1, "{maps:?}");
    let files = files_of(database);
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(maps.first().unwrap().1.ends_with(files[0].file_name().unwrap().to_str().unwrap()));
    assert_eq!(fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
    // a refresh changes nothing of the base
    database.run("SELECT learn_sentiment('m', 'foggy foggy', 'bad'), refresh_sentiment('m')");
    for session in &mut sessions {
        assert_eq!(label(session, "m"), "good");
        assert!(maps.contains(&mapped(session)[0]));
    }
}

#[test]
fn parallel_workers_map_it_too() {
    let mut database = Database::new();
    database.run(&train("m", "good", "bad", 4000));
    database.run(
        "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
         SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off",
    );
    let count = "SELECT count(*) FROM texts WHERE sentiment(body, 'm') = label";
    assert_eq!(database.value::<i64>(count), 4000);
    assert_eq!(files_of(&mut database).len(), 1);
    assert_eq!(database.value::<i64>(count), 4000);
}

#[test]
fn fifty_sessions_take_little_more_than_one() {
    let server = Server::start(&["max_connections=70"]);
    let mut database = Database::on(&server);
    database.run(&train("m", "good", "bad", 100_000));
    let bytes: i64 = database.value("SELECT bytes FROM sentiment.models WHERE model = 'm'");
    let model = u64::try_from(bytes).unwrap() / 1024;
    assert!(model > 4_000, "a model of {model} kB");
    let mut sessions: Vec<Client> = (0..50).map(|_| database.connect("postgres")).collect();
    for session in &mut sessions {
        session.batch_execute("SELECT sentiment('sunny')").unwrap();
    }
    let mut all = || sessions.iter_mut().map(memory).sum::<u64>();
    let before = all();
    for session in &mut sessions {
        assert_eq!(label(session, "m"), "good");
    }
    let added = sessions.iter_mut().map(memory).sum::<u64>().saturating_sub(before);
    note(&format!("50 sessions with a model of {model} kB: {added} kB more than with a shipped one"));
    assert!(added < 5 * model, "50 sessions take {added} kB for a model of {model} kB");
}

/// The same numbers in a new registry name other bytes.
#[test]
fn a_new_registry_never_gets_the_old_bytes() {
    let mut database = Database::new();
    for (sunny, rainy) in [("good", "bad"), ("bad", "good"), ("good", "bad")] {
        database.run(&train("m", sunny, rainy, 4000));
        assert_eq!(database.value::<i64>("SELECT parts[1] FROM sentiment.version"), 1);
        let mut other = database.connect("postgres");
        assert_eq!(label(&mut other, "m"), sunny);
        assert_eq!(mapped(&mut other).len(), 1);
        assert_eq!(label(database.client(), "m"), sunny);
        assert_eq!(files_of(&mut database).len(), 1, "what the registry before left is gone");
        database.run("DROP EXTENSION pg_sentiment; CREATE EXTENSION pg_sentiment");
    }
}

#[test]
fn what_is_not_the_part_is_replaced() {
    let mut database = Database::new();
    database.run(&train("other", "bad", "good", 4000));
    database.run(&train("m", "good", "bad", 4000));
    assert_eq!(label(database.client(), "m"), "good");
    let files = files_of(&mut database);
    let [file] = &files[..] else { panic!("{files:?}") };
    let bytes = fs::read(file).unwrap();
    assert_eq!(label(database.client(), "other"), "bad");
    let foreign = files_of(&mut database).into_iter().find(|other| other != file).unwrap();
    let foreign = fs::read(foreign).unwrap();
    let mut changed = bytes.clone();
    changed[25] ^= 1;
    let longer = [&bytes[..], b"x"].concat();
    for wrong in [&[][..], &bytes[..1], &bytes[..bytes.len() - 1], &longer, &changed, &foreign] {
        // Never written over: sessions have it mapped.
        let place = file.with_extension("test");
        fs::write(&place, wrong).unwrap();
        fs::rename(&place, file).unwrap();
        let mut session = database.connect("postgres");
        assert_eq!(label(&mut session, "m"), "good");
        assert_eq!(fs::read(file).unwrap(), bytes, "it is the part again");
        assert!(!mapped(&mut session)[0].1.ends_with("(deleted)"));
    }
    // Damage further on is seen where it keeps the model from being opened.
    let place = file.with_extension("test");
    let mut changed = bytes.clone();
    changed[64..128].fill(0xff);
    fs::write(&place, changed).unwrap();
    fs::rename(&place, file).unwrap();
    for maps in [0, 1] {
        let mut session = database.connect("postgres");
        assert_eq!((label(&mut session, "m"), mapped(&mut session).len()), ("good".into(), maps));
    }
    // What cannot be removed is left alone.
    fs::remove_file(file).unwrap();
    fs::create_dir(file).unwrap();
    let mut session = database.connect("postgres");
    assert_eq!((label(&mut session, "m"), mapped(&mut session)), ("good".into(), Vec::new()));
    fs::remove_dir(file).unwrap();
}

/// A changed byte in the middle goes unseen until the bytes would get into the registry.
#[test]
fn a_refresh_does_not_learn_from_damage() {
    let mut database = Database::new();
    database.run(&train("m", "good", "bad", 4000));
    assert_eq!(label(database.client(), "m"), "good");
    let file = files_of(&mut database).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    let place = file.with_extension("test");
    fs::write(&place, bytes).unwrap();
    fs::rename(&place, &file).unwrap();
    let mut session = database.connect("postgres");
    label(&mut session, "m");
    session.batch_execute("SELECT learn_sentiment('m', 'foggy', 'bad'), refresh_sentiment('m')").unwrap();
    assert_eq!(database.value::<i64>("SELECT count(*) FROM sentiment.versions"), 2);
    assert!(files_of(&mut database).is_empty());
}

#[test]
fn a_dropped_model_leaves_no_file() {
    let mut database = Database::new();
    database.run(&train("m", "good", "bad", 4000));
    let mut other = database.connect("postgres");
    assert_eq!(label(&mut other, "m"), "good");
    database.run("BEGIN; SELECT drop_sentiment('m'); ROLLBACK");
    assert_eq!(files_of(&mut database).len(), 1, "the transaction was rolled back");
    database.run("BEGIN; SELECT drop_sentiment('m')");
    assert_eq!(files_of(&mut database).len(), 1, "before commit");
    assert_eq!(label(&mut other, "m"), "good");
    database.run("COMMIT");
    assert!(files_of(&mut database).is_empty());
    // versions that are no longer kept
    database.run(&train("n", "good", "bad", 4000));
    for _ in 0..12 {
        database.run("SELECT train_sentiment('n', 'texts', 'body', 'label', 'naive_bayes', '{\"min_texts\": 1, \"folds\": 2, \"keep_versions\": 2}', deploy => 'always')");
        assert_eq!(label(&mut other, "n"), "good");
    }
    assert!(files_of(&mut database).len() <= 3);
}

/// A session that ends while it writes cannot remove what it has written: whoever writes next does.
#[test]
fn a_terminated_session_leaves_no_file() {
    let mut database = Database::new();
    database.run(&train("m", "good", "bad", 4000));
    database.run(&train("n", "good", "bad", 4000));
    assert_eq!(label(database.client(), "m"), "good");
    let file = files_of(&mut database).remove(0);
    let mut gone = database.connect("postgres");
    let pid =
        |client: &mut Client| -> i32 { client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0) };
    let (ended, lives) = (pid(&mut gone), pid(database.client()));
    drop(gone);
    let unfinished = |pid: i32| file.with_extension(pid.to_string());
    for pid in [ended, lives] {
        fs::write(unfinished(pid), "half").unwrap();
    }
    database.run(&format!(
        "DO $$ BEGIN WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid = {ended}) LOOP
        PERFORM pg_sleep(0.01), pg_stat_clear_snapshot(); END LOOP; END $$"
    ));
    assert_eq!(label(&mut database.connect("postgres"), "n"), "good");
    assert!(!unfinished(ended).exists(), "nobody writes it");
    assert!(unfinished(lives).exists(), "a session that lives may be writing it");
    fs::remove_file(unfinished(lives)).unwrap();
    assert_eq!(files_of(&mut database).len(), 2);
}

#[test]
fn a_dropped_database_leaves_no_file() {
    let server = Server::start(&[]);
    let mut maintenance = server.connect("postgres", "postgres");
    maintenance.batch_execute("CREATE DATABASE gone").unwrap();
    for name in ["gone", "postgres"] {
        let mut client = server.connect(name, "postgres");
        client.batch_execute("CREATE EXTENSION pg_sentiment").unwrap();
        client.batch_execute(&train("m", "good", "bad", 4000)).unwrap();
        if name == "postgres" {
            maintenance.batch_execute("DROP DATABASE gone").unwrap();
            assert_eq!(files(&server).len(), 1);
        }
        assert_eq!(label(&mut client, "m"), "good");
        assert_eq!(files(&server).len(), 1);
    }
}

#[test]
fn a_crash_leaves_no_file() {
    let server = Server::start(&[]);
    let mut client = server.connect("postgres", "postgres");
    client.batch_execute("CREATE EXTENSION pg_sentiment").unwrap();
    client.batch_execute(&train("m", "good", "bad", 4000)).unwrap();
    client.batch_execute("CHECKPOINT").unwrap();
    assert_eq!(label(&mut client, "m"), "good");
    assert_eq!(files(&server).len(), 1);
    drop(client);
    server.crash();
    assert!(files(&server).is_empty());
    assert_eq!(label(&mut server.connect("postgres", "postgres"), "m"), "good");
}

#[test]
fn where_nothing_can_be_written_sessions_have_their_own_copy() {
    let server = Server::start(&[]);
    let mut database = Database::on(&server);
    database.run(&train("m", "good", "bad", 4000));
    fs::create_dir_all(folder(&server)).unwrap();
    fs::set_permissions(folder(&server), Permissions::from_mode(0o000)).unwrap();
    let own = |database: &Database<'_>, setting: &str| {
        let mut session = database.connect("postgres");
        session.batch_execute(setting).unwrap();
        assert_eq!((label(&mut session, "m"), mapped(&mut session)), ("good".into(), Vec::new()));
    };
    own(&database, "");
    fs::remove_dir(folder(&server)).unwrap();
    fs::write(folder(&server), "not a folder").unwrap();
    own(&database, "");
    fs::remove_file(folder(&server)).unwrap();
    // the administrator's limit
    own(&database, "SET temp_file_limit = '1kB'");
    assert!(files(&server).is_empty());
    assert_eq!(label(database.client(), "m"), "good");
    assert_eq!(files(&server).len(), 1, "the folder is made where it is missing");
}

/// A copy of the data has no files of ours, and sessions of the standby share theirs.
#[test]
fn a_standby_shares_too() {
    let primary = Server::start(&["wal_level=replica"]);
    let mut database = Database::on(&primary);
    database.run(&train("m", "good", "bad", 4000));
    assert_eq!(label(database.client(), "m"), "good");
    let standby = primary.standby();
    assert!(files(&standby).is_empty());
    let mut readers = [0, 1].map(|_| standby.connect(database.name(), "postgres"));
    let end = Instant::now() + Duration::from_secs(30);
    while readers[0].batch_execute("SELECT sentiment('sunny', 'm')").is_err() {
        assert!(Instant::now() < end, "the standby does not catch up");
        std::thread::sleep(Duration::from_millis(20));
    }
    for reader in &mut readers {
        assert_eq!(label(reader, "m"), "good");
    }
    assert_eq!(files(&standby).len(), 1);
    let [one, two] = readers.each_mut().map(mapped);
    assert_eq!(one, two);
}
