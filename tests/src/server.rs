//! Throw-away servers. All of them are made by `scripts/server`, as the demo's is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use postgres::{Client, Config, NoTls};

use crate::log::{self, Entry};
use crate::psql::{repository, run_clean};

/// A running server; removed when this is dropped, and by a watcher process if the test process ends without that.
#[derive(Debug)]
pub struct Server {
    dir: PathBuf,
    socket: String,
}

impl Server {
    /// The server that the tests of one file share. It logs at `debug1`, so that a text which slips into a log is seen.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Server::start(&[]))
    }

    /// A server of its own, with further `setting=value`s.
    pub fn start(settings: &[&str]) -> Server {
        Server::make("start", None, None, settings)
    }

    /// A server of the private PostgreSQL that `scripts/prefix` made under this name, as `PG_SENTIMENT_PREFIX`.
    pub fn of_prefix(prefix: &str) -> Server {
        Server::make("start", Some(prefix), None, &[])
    }

    /// A streaming standby of this server.
    pub fn standby(&self) -> Server {
        Server::make("standby", None, Some(self), &[])
    }

    /// A base backup of this server.
    pub fn backup(&self) -> Backup {
        let dir = new_dir();
        run_clean(script("backup", &dir).arg(&self.dir));
        Backup { dir }
    }

    fn make(command: &str, prefix: Option<&str>, primary: Option<&Server>, settings: &[&str]) -> Server {
        Server::launch(command, prefix, new_dir(), primary, settings)
    }

    fn launch(
        command: &str,
        prefix: Option<&str>,
        dir: PathBuf,
        primary: Option<&Server>,
        settings: &[&str],
    ) -> Server {
        let pid = std::process::id().to_string();
        let mut script = script(command, &dir);
        script.envs(prefix.map(|prefix| ("PG_SENTIMENT_PREFIX", prefix)));
        script.args(primary.map(|server| &server.dir));
        script.args(["--while", &pid, "log_min_messages=debug1", "max_connections=50"]).args(settings);
        run_clean(&mut script);
        let socket = std::fs::read_to_string(dir.join("socket")).expect("the server's socket is recorded");
        Server { dir, socket: socket.trim_end().into() }
    }

    /// Connects to a database as a user.
    pub fn connect(&self, database: &str, user: &str) -> Client {
        let connected = self.config(database, user).connect(NoTls);
        connected.unwrap_or_else(|error| panic!("cannot connect to {database} as {user}: {error}"))
    }

    /// How to connect to a database as a user.
    pub fn config(&self, database: &str, user: &str) -> Config {
        let mut config = Config::new();
        config.host(&self.socket).port(5432).dbname(database).user(user);
        config
    }

    /// The folder of the server's socket, which is its host name for clients.
    pub fn socket(&self) -> &str {
        &self.socket
    }

    /// A client program (`psql`, `pg_dump`) of this server's PostgreSQL, aimed at one of its databases.
    pub fn program(&self, name: &str, database: &str, user: &str) -> Command {
        let mut script = script("run", &self.dir);
        script.arg(name).env("PGDATABASE", database).env("PGUSER", user);
        script
    }

    /// The folder of its data.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Kills the server's first process, as nothing but a crash would, and starts the server again.
    pub fn crash(&self) {
        kill(&[self.first_process()]);
        self.restart();
    }

    /// Kills the process of a session, upon which the server ends all others and recovers by itself.
    pub fn kill_session(&self, pid: i32) {
        kill(&[pid.to_string()]);
    }

    /// Kills all of the server's processes at once, as the end of its machine would, and leaves it dead.
    pub fn kill_all(&self) {
        let first = self.first_process();
        let children = children_of(&first);
        let mut all = vec![first];
        all.extend(children);
        kill(&all);
    }

    /// The number of the server's first process.
    fn first_process(&self) -> String {
        let lock = std::fs::read_to_string(self.data().join("postmaster.pid"));
        let lock = lock.expect("a server that runs says its process number");
        lock.lines().next().unwrap_or_default().to_owned()
    }

    /// Stops the server, if it runs, and starts it.
    pub fn restart(&self) {
        let restart = || script("restart", &self.dir).output();
        // Sessions that have lost their server may still be ending.
        for _ in 0..40 {
            if restart().expect("the script runs").status.success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the server does not start");
    }

    /// All that the server has logged so far.
    pub fn log(&self) -> Vec<Entry> {
        let bytes = std::fs::read(self.dir.join("log")).expect("the server's log is readable");
        log::parse(&String::from_utf8_lossy(&bytes))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        run_clean(&mut script("remove", &self.dir));
    }
}

/// A copy of a server's data at some time.
#[derive(Debug)]
pub struct Backup {
    dir: PathBuf,
}

impl Backup {
    /// A server that recovers from it to where the settings say.
    pub fn recover(self, settings: &[&str]) -> Server {
        Server::launch("recover", None, self.dir, None, settings)
    }
}

/// A call of the script that makes servers.
fn script(command: &str, dir: &Path) -> Command {
    let mut script = Command::new(repository().join("scripts/server"));
    script.arg(command).arg(dir);
    script
}

/// Where the next server goes.
fn new_dir() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    target().join("servers").join(format!("{}-{number}", std::process::id()))
}

/// Kills processes. One that has just ended is no matter.
fn kill(processes: &[String]) {
    let _ = Command::new("kill").arg("-9").args(processes).output().expect("there is a program kill");
}

/// The numbers of a process's children.
fn children_of(parent: &str) -> Vec<String> {
    let found = Command::new("pgrep").args(["-P", parent]).output().expect("there is a program pgrep");
    String::from_utf8_lossy(&found.stdout).split_whitespace().map(str::to_owned).collect()
}

/// Where builds go, as the scripts see it.
fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    repository().join(target)
}
