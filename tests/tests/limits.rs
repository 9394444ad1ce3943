//! What a server may run out of: memory, disk, connections. The statement fails or the session ends, nothing is left behind, and
//! all others go on.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use postgres::error::SqlState;
use postgres::{Client, NoTls};
use sentiment_tests::{Server, asked_for, chance, note, run_clean, skip, trouble};

/// Texts to train on, of two labels and many words, and a model of them with something new to learn.
const SCENE: &str = "
    CREATE TABLE many AS
    SELECT n AS id, CASE WHEN n % 2 = 0 THEN 'sunny ' ELSE 'rainy ' END
               || (SELECT string_agg(md5((n * 31 + w)::text), ' ') FROM generate_series(1, 6) AS w) AS body,
           CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label
    FROM generate_series(1, 4000) AS n;
    SELECT train_sentiment('m', 'many', 'body', 'label', 'naive_bayes',
        '{\"min_texts\": 1, \"folds\": 2, \"keep_versions\": 10000}', deploy => 'always');
    SELECT count(learn_sentiment('m', 'foggy ' || md5(n::text), 'negative')) FROM generate_series(1, 2000) AS n;
    CREATE TABLE scored (body text);
    SELECT enable_sentiment('scored', 'body', 'm')";

/// What is tried with too little memory: all that reads, and all that writes. Those that write are undone.
const STATEMENTS: [&str; 14] = [
    "SELECT train_sentiment('t', 'many', 'body', 'label', 'naive_bayes')",
    "SELECT train_sentiment('t', 'many', 'body', 'label', 'logistic_regression')",
    "SELECT train_sentiment('t', 'many', 'body', 'label', 'random_forest', '{\"trees\": 10}')",
    "SELECT refresh_sentiment('m')",
    "SELECT import_sentiment('i', export_sentiment('m'))",
    "SELECT count(sentiment(body, 'm')) FROM many",
    "SELECT count(d) FROM many, sentiment_detail(body, 'm') AS d",
    "SELECT count(b) FROM sentiment_batch((SELECT array_agg(body || body) FROM many), 'm') AS b",
    "SELECT count(e) FROM sentiment_explain((SELECT string_agg(body, ' ') FROM many), 'm', NULL) AS e",
    "SELECT count(t) FROM sentiment_tokens((SELECT string_agg(body, ' ') FROM many), 'm') AS t",
    "SELECT count(e) FROM evaluate_sentiment('m', 'many', 'body', 'label') AS e",
    "SELECT count(d) FROM drift_sentiment('m', 'many', 'body') AS d",
    "INSERT INTO scored SELECT body FROM many",
    "SELECT enable_sentiment('many', 'body', 'm')",
];

fn pid(client: &mut Client) -> i32 {
    client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0)
}

/// Lets a session have so many bytes of address space more than it has.
fn limit(pid: i32, more: u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let size: u64 = size.split_whitespace().next().unwrap().parse().unwrap();
    let limit = size * 1024 + more;
    let process = fs::metadata(format!("/proc/{pid}")).unwrap();
    let (owner, group) = (process.uid(), process.gid());
    let arguments = ["--pid".to_owned(), pid.to_string(), format!("--as={limit}")];
    // Root may lack the right to limit others' processes, the owner never does.
    let mut command = Command::new(if owner == uid() { "prlimit" } else { "setpriv" });
    if owner != uid() {
        command.args([&format!("--reuid={owner}"), &format!("--regid={group}"), "--clear-groups", "prlimit"]);
    }
    run_clean(command.args(arguments));
}

/// Who runs the tests.
fn uid() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}

/// The server has no memory left: 53200, whether the statement alone ends or its session too.
#[test]
fn out_of_memory() {
    let mut rng = chance("out of memory");
    let server = Server::start(&["shared_buffers=16MB", "jit=off", "max_parallel_workers_per_gather=0"]);
    let mut watcher = server.connect("postgres", "postgres");
    watcher.batch_execute(&format!("CREATE EXTENSION pg_sentiment; {SCENE}")).unwrap();
    let watching = pid(&mut watcher);
    let state = "SELECT (SELECT string_agg(v::text, ' ' ORDER BY v) FROM sentiment.version AS v)
        || (SELECT count(*) FROM sentiment.part) || (SELECT count(*) FROM sentiment.unlearned) || (SELECT count(*) FROM scored)";
    let before: String = watcher.query_one(state, &[]).unwrap().get(0);
    let mut outcomes = [0; 3];
    for round in 0..asked_for("ROUNDS", 5) {
        for statement in STATEMENTS {
            let mut client = server.connect("postgres", "postgres");
            client.batch_execute("SET sentiment.train_memory = '2GB'; SELECT sentiment('good')").unwrap();
            // Half of them have little, the others almost enough.
            let more = if rng.bool() { rng.u64(..4 << 20) } else { rng.u64(..48 << 20) };
            limit(pid(&mut client), more);
            let done = client.batch_execute(&format!("BEGIN; {statement}; ROLLBACK"));
            let about = format!("round {round}, {more} bytes more: {statement}: {done:?}");
            match done {
                Ok(()) => outcomes[0] += 1,
                Err(error) => {
                    let said = error.as_db_error();
                    let fatal = said.is_none_or(|said| said.severity() == "FATAL");
                    let code = said.map(|said| said.code());
                    assert!(fatal || code == Some(&SqlState::OUT_OF_MEMORY), "{about}");
                    outcomes[1 + usize::from(fatal)] += 1;
                    if !fatal {
                        let on = client.batch_execute("ROLLBACK; SELECT sentiment('good')");
                        let out = |error: &postgres::Error| {
                            error.code().is_none_or(|code| *code == SqlState::OUT_OF_MEMORY)
                        };
                        assert!(on.as_ref().err().is_none_or(out), "{about}, then {on:?}");
                    }
                }
            }
            assert_eq!(pid(&mut watcher), watching, "{about}");
        }
    }
    assert_eq!(watcher.query_one(state, &[]).unwrap().get::<_, String>(0), before);
    watcher.batch_execute("SELECT refresh_sentiment('m')").unwrap();
    let found = trouble(&server.log(), &["53200"]);
    assert!(found.is_empty(), "{found:#?}");
    note(&format!(
        "with too little memory: {} statements done, {} failed, {} with their session",
        outcomes[0], outcomes[1], outcomes[2]
    ));
    assert!(outcomes[1] > 0, "no statement ran out of memory");
}

/// There is not even memory for the error: when Rust copies it on its way, that could fail again and again, until the server ended
/// every session. It happened between 5.6 and 6.2 MB more.
#[test]
fn no_memory_for_the_error() {
    let server = Server::start(&["shared_buffers=16MB", "jit=off", "max_parallel_workers_per_gather=0"]);
    let mut watcher = server.connect("postgres", "postgres");
    watcher.batch_execute(&format!("CREATE EXTENSION pg_sentiment; {SCENE}")).unwrap();
    let watching = pid(&mut watcher);
    let mut errors = 0;
    for step in 0..50 {
        let mut client = server.connect("postgres", "postgres");
        client.batch_execute("SELECT sentiment('good')").unwrap();
        let more = (4 << 20) + step * (80 << 10);
        limit(pid(&mut client), more);
        // What was set aside for errors is used up by the first one.
        for _ in 0..2 {
            if let Err(error) = client.batch_execute(STATEMENTS[8]) {
                let lost = error.as_db_error().is_none_or(|error| error.severity() == "FATAL");
                let out = error.code() == Some(&SqlState::OUT_OF_MEMORY);
                assert!(lost || out, "{more} bytes more: {error:?}");
                errors += 1;
            }
        }
        assert_eq!(pid(&mut watcher), watching, "{more} bytes more");
    }
    assert!(errors > 10, "{errors}");
    let found = trouble(&server.log(), &["53200"]);
    assert!(found.is_empty(), "{found:#?}");
}

/// Nor is there any to set aside: that is said before anything is done, and not the row that a COPY is at.
#[test]
fn no_memory_to_set_aside() {
    let server = Server::start(&["shared_buffers=16MB", "jit=off"]);
    let mut admin = server.connect("postgres", "postgres");
    admin.batch_execute(&format!("CREATE EXTENSION pg_sentiment; {SCENE}")).unwrap();
    let mut said = 0;
    for step in 1..20 {
        let mut client = server.connect("postgres", "postgres");
        client.batch_execute("LOAD 'pg_sentiment'; SELECT count(*) FROM scored").unwrap();
        limit(pid(&mut client), step * (100 << 10));
        let Ok(mut copy) = client.copy_in("COPY scored (body) FROM STDIN") else { continue };
        if copy.write_all(b"zebraquux\n").is_err() {
            continue;
        }
        let Err(error) = copy.finish() else { continue };
        if let Some(error) =
            error.as_db_error().filter(|error| error.message() == "the server has no memory left")
        {
            assert_eq!((error.code(), error.where_()), (&SqlState::OUT_OF_MEMORY, None));
            said += 1;
        }
    }
    assert!(said > 0, "there was always some");
}

/// The memory is gone at some moment of a training, which threads help with: it ends alone, or its session does, and the server
/// goes on.
#[test]
fn memory_is_gone_while_training() {
    let mut rng = chance("memory is gone");
    let server = Server::start(&["shared_buffers=16MB", "jit=off"]);
    let mut watcher = server.connect("postgres", "postgres");
    watcher.batch_execute(&format!("CREATE EXTENSION pg_sentiment; {SCENE}")).unwrap();
    watcher.batch_execute("CREATE TABLE more AS SELECT body || md5(n::text) AS body, label FROM many, generate_series(1, 8) AS n").unwrap();
    let watching = pid(&mut watcher);
    let train = STATEMENTS[1].replace("many", "more");
    watcher.batch_execute("SET sentiment.train_memory = '2GB'").unwrap();
    // The first one is slower.
    watcher.batch_execute(&train).unwrap();
    let begun = Instant::now();
    watcher.batch_execute(&train).unwrap();
    let whole = u64::try_from(begun.elapsed().as_micros()).unwrap();
    let mut outcomes = [0; 2];
    for round in 0..asked_for("ROUNDS", 10) {
        let mut client = server.connect("postgres", "postgres");
        client.batch_execute("SET sentiment.train_memory = '2GB'; SELECT sentiment('good')").unwrap();
        let (trainer, delay) = (pid(&mut client), Duration::from_micros(rng.u64(..whole)));
        let (tell, told) = mpsc::channel();
        let statement = format!("BEGIN; {train}; ROLLBACK");
        let training = thread::spawn(move || tell.send(client.batch_execute(&statement)));
        thread::sleep(delay);
        if !training.is_finished() {
            limit(trainer, rng.u64(..256 << 10));
        }
        let about = format!("round {round}, after {delay:?}");
        let done = told.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{about}: it hangs"));
        if let Err(error) = &done {
            assert!(error.code().is_none_or(|code| *code == SqlState::OUT_OF_MEMORY), "{about}: {done:?}");
        }
        outcomes[usize::from(done.is_err())] += 1;
        assert_eq!(pid(&mut watcher), watching, "{about}");
    }
    let found = trouble(&server.log(), &["53200"]);
    assert!(found.is_empty(), "{found:#?}");
    note(&format!("with memory gone: {} trainings done, {} failed", outcomes[0], outcomes[1]));
    assert!(outcomes[1] > 0, "no training ran out of memory");
}

/// A file system of so many kilobytes on a folder, for the server's user; gone when this is dropped. `None` where we may not.
struct Small(PathBuf);

impl Small {
    fn mount(server: &Server, folder: &Path, kilobytes: u32) -> Option<Small> {
        let owner = fs::metadata(server.data()).unwrap();
        let _ = fs::create_dir(folder);
        let options = format!("size={kilobytes}k,mode=0700,uid={},gid={}", owner.uid(), owner.gid());
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder);
        let mounted = uid() == 0 && mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Small(folder.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        run_clean(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

/// Everything that stores a model ends with 53100 where the disk is full, and works again when there is room.
#[test]
fn disk_full() {
    let server = Server::start(&[]);
    let folder = server.data().parent().unwrap().join("small");
    let Some(_small) = Small::mount(&server, &folder, 24 * 1024) else {
        return skip("a full disk, for it takes root's right to mount");
    };
    let mut client = server.connect("postgres", "postgres");
    // What an administrator can clear away, for VACUUM itself needs a little room.
    let ballast = folder.join("ballast");
    fs::write(&ballast, vec![1; 256 * 1024]).unwrap();
    client.batch_execute(&format!("CREATE TABLESPACE small LOCATION '{}'", folder.display())).unwrap();
    client.batch_execute("CREATE DATABASE filled TABLESPACE small TEMPLATE template0").unwrap();
    let mut client = server.connect("filled", "postgres");
    client.batch_execute(&format!("CREATE EXTENSION pg_sentiment; {SCENE}")).unwrap();
    let full = |client: &mut Client, statement: &str| {
        let failed = (0..100).find_map(|_| client.batch_execute(statement).err());
        let code = failed.unwrap().code().cloned();
        assert_eq!(code, Some(SqlState::DISK_FULL), "{statement}");
    };
    let versions = |client: &mut Client| -> i64 {
        client
            .query_one("SELECT count(sentiment_at('sunny', model_version)) FROM sentiment.versions", &[])
            .unwrap()
            .get(0)
    };
    let train = "SELECT train_sentiment('m', 'many', 'body', 'label', 'naive_bayes', '{\"min_texts\": 1, \"folds\": 2, \"keep_versions\": 10000}')";
    full(&mut client, "SELECT import_sentiment('i', export_sentiment('m', 1))");
    let before = versions(&mut client);
    full(&mut client, train);
    full(&mut client, "SELECT import_sentiment('i', export_sentiment('m', 1))");
    assert_eq!(versions(&mut client), before, "a model that does not fit leaves nothing");
    let label: String = client.query_one("SELECT sentiment('sunny', 'm')", &[]).unwrap().get(0);
    assert_eq!(label, "positive");
    fs::remove_file(&ballast).unwrap();
    client.batch_execute("SELECT drop_sentiment('i')").unwrap();
    client.batch_execute("VACUUM sentiment.part").unwrap();
    client.batch_execute(train).unwrap();
    let found = trouble(&server.log(), &["53100"]);
    assert!(found.is_empty(), "{found:#?}");
}

/// Where shared files do not fit on the disk, sessions have copies of their own.
#[test]
fn disk_full_of_shared_files() {
    let server = Server::start(&[]);
    let mut client = server.connect("postgres", "postgres");
    client.batch_execute(&format!("CREATE EXTENSION pg_sentiment; {SCENE}")).unwrap();
    let folder = server.data().join("base/pgsql_tmp");
    let Some(_small) = Small::mount(&server, &folder, 128) else {
        return skip("a full disk for shared files, for it takes root's right to mount");
    };
    for _ in 0..3 {
        let mut reader = server.connect("postgres", "postgres");
        let label: String = reader.query_one("SELECT sentiment('sunny', 'm')", &[]).unwrap().get(0);
        assert_eq!(label, "positive");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing half-written is left");
    }
    client.batch_execute("SELECT refresh_sentiment('m')").unwrap();
    let found = trouble(&server.log(), &[]);
    assert!(found.is_empty(), "{found:#?}");
}

/// With no connection left, those who have one go on with everything, and so does the background worker.
#[test]
fn no_connection_left() {
    let server = Server::start(&[
        "max_connections=8",
        "superuser_reserved_connections=1",
        "shared_preload_libraries=pg_sentiment",
        "sentiment.refresh_interval=100ms",
        "sentiment.refresh_databases=postgres",
    ]);
    let mut client = server.connect("postgres", "postgres");
    client
        .batch_execute(&format!("CREATE EXTENSION pg_sentiment; {SCENE}; CREATE ROLE plain LOGIN"))
        .unwrap();
    let mut others = Vec::new();
    let refused = loop {
        match server.config("postgres", "plain").connect(NoTls) {
            Ok(other) => others.push(other),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.code(), Some(&SqlState::TOO_MANY_CONNECTIONS));
    let learned = "SELECT count(*) FROM sentiment.unlearned";
    for statement in STATEMENTS {
        client.batch_execute(&format!("BEGIN; {statement}; ROLLBACK")).unwrap();
    }
    for other in &mut others {
        let label: String = other.query_one("SELECT sentiment('sunny', 'm')", &[]).unwrap().get(0);
        assert_eq!(label, "positive");
    }
    client.batch_execute("SELECT learn_sentiment('m', 'misty', 'negative')").unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while client.query_one(learned, &[]).unwrap().get::<_, i64>(0) > 0 {
        assert!(Instant::now() < end, "the worker does not refresh");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(others);
    let found = trouble(&server.log(), &["53300"]);
    assert!(found.is_empty(), "{found:#?}");
}
