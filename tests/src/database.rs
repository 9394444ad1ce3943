//! A test's own database.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use postgres::error::DbError;
use postgres::types::FromSqlOwned;
use postgres::{Client, Row};

use crate::data::note;
use crate::log::{self, Level};
use crate::server::Server;

/// A database with the extension in it, and a session as superuser. Dropping it drops the database, and fails the test
/// if the server logged a warning or an error that the test did not ask for.
pub struct Database<'a> {
    server: &'a Server,
    name: String,
    client: Client,
    asked: BTreeSet<(Level, String)>,
}

impl fmt::Debug for Database<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Database({})", self.name)
    }
}

/// An error as the client sees it.
#[derive(Debug)]
pub struct Failure {
    /// The SQLSTATE.
    pub state: String,
    /// The message.
    pub message: String,
    /// The hint, or nothing.
    pub hint: String,
}

impl From<&DbError> for Failure {
    fn from(error: &DbError) -> Failure {
        Failure {
            state: error.code().code().into(),
            message: error.message().into(),
            hint: error.hint().unwrap_or_default().into(),
        }
    }
}

impl Database<'static> {
    /// A database on the server that the tests of one file share.
    pub fn new() -> Database<'static> {
        Database::on(Server::shared())
    }

    /// The same, in another encoding.
    pub fn encoded(encoding: &str) -> Database<'static> {
        Database::encoded_on(Server::shared(), encoding)
    }

    /// The same, without the extension and owned by somebody.
    pub fn owned_by(role: &str) -> Database<'static> {
        Database::create(Server::shared(), &format!("OWNER {role}"), false)
    }
}

impl Default for Database<'static> {
    fn default() -> Self {
        Database::new()
    }
}

impl<'a> Database<'a> {
    /// A database on a given server.
    pub fn on(server: &'a Server) -> Database<'a> {
        Database::create(server, "", true)
    }

    /// A database on a given server, in another encoding.
    pub fn encoded_on(server: &'a Server, encoding: &str) -> Database<'a> {
        Database::create(server, &format!("ENCODING '{encoding}'"), true)
    }

    /// A database on a given server, without the extension and owned by somebody.
    pub fn on_owned_by(server: &'a Server, role: &str) -> Database<'a> {
        Database::create(server, &format!("OWNER {role}"), false)
    }

    /// A database that is there already.
    pub fn existing(server: &'a Server, name: &str) -> Database<'a> {
        Database {
            server,
            name: name.to_owned(),
            client: server.connect(name, "postgres"),
            asked: BTreeSet::new(),
        }
    }

    fn create(server: &'a Server, options: &str, extension: bool) -> Database<'a> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let create = format!("CREATE DATABASE {name} TEMPLATE template0 LOCALE 'C' {options}");
        server.connect("postgres", "postgres").batch_execute(&create).expect("databases can be made");
        let client = server.connect(&name, "postgres");
        let mut database = Database { server, name, client, asked: BTreeSet::new() };
        if extension {
            database.run("CREATE EXTENSION pg_sentiment");
        }
        database
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server it is on.
    pub fn server(&self) -> &'a Server {
        self.server
    }

    /// The superuser's session.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// A further session.
    pub fn connect(&self, user: &str) -> Client {
        self.server.connect(&self.name, user)
    }

    /// Runs statements that have to succeed.
    pub fn run(&mut self, sql: &str) {
        self.client.batch_execute(sql).unwrap_or_else(|error| panic!("{}\nin: {}", full(&error), shown(sql)));
    }

    /// Runs a query that has to succeed.
    pub fn rows(&mut self, sql: &str) -> Vec<Row> {
        self.client.query(sql, &[]).unwrap_or_else(|error| panic!("{}\nin: {}", full(&error), shown(sql)))
    }

    /// The only value of the only row.
    pub fn value<T: FromSqlOwned>(&mut self, sql: &str) -> T {
        let rows = self.rows(sql);
        assert_eq!(rows.len(), 1, "one row from: {}", shown(sql));
        rows[0].get(0)
    }

    /// Runs statements that have to fail, and returns how. The log may show that.
    pub fn failure(&mut self, sql: &str) -> Failure {
        let failure = failure(&mut self.client, sql);
        self.ask(Level::Error, &failure.state);
        failure
    }

    /// Asserts that statements fail with this SQLSTATE and with a hint, and give nothing of the texts away.
    pub fn refuses(&mut self, state: &str, sql: &str) {
        let failure = self.failure(sql);
        assert_eq!(failure.state, state, "{failure:?}\nin: {}", shown(sql));
        assert!(!failure.hint.is_empty(), "a hint: {failure:?}\nin: {}", shown(sql));
        assert!(!format!("{failure:?}").contains(crate::CANARY), "{failure:?}");
    }

    /// Says that the log may show this.
    pub fn ask(&mut self, level: Level, state: &str) {
        self.asked.insert((level, state.into()));
    }

    /// Says that the log may show what it shows of errors so far, internal ones excepted.
    pub fn ask_errors_so_far(&mut self) {
        for entry in self.server.log() {
            if entry.database == self.name && entry.level == Some(Level::Error) {
                self.ask(Level::Error, &entry.state);
            }
        }
    }

    /// The same, of errors and warnings, the server's own processes among them.
    pub fn ask_all_so_far(&mut self) {
        for entry in self.server.log() {
            let ours = entry.database == self.name || entry.database.is_empty();
            if let Some(level) = entry.level.filter(|level| ours && *level < Level::Fatal) {
                self.ask(level, &entry.state);
            }
        }
    }

    /// How often the log shows this so far.
    pub fn logged(&self, level: Level, state: &str) -> usize {
        let log = self.server.log();
        let wanted = |entry: &&log::Entry| {
            entry.database == self.name && entry.level == Some(level) && entry.state == state
        };
        log.iter().filter(wanted).count()
    }

    /// What the log holds that the test did not ask for.
    fn unasked(&self) -> String {
        let unasked = log::unasked(&self.server.log(), &self.name, &self.asked);
        unasked.iter().map(|entry| format!("{entry}\n")).collect()
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        let unasked = self.unasked();
        if std::thread::panicking() {
            note(&format!("the log of {}, where a test failed:\n{unasked}", self.name));
            return;
        }
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        self.server.connect("postgres", "postgres").batch_execute(&drop).expect("databases can be dropped");
        assert!(
            unasked.is_empty(),
            "the server log of {} holds what no test asked for:\n{unasked}",
            self.name
        );
    }
}

/// Runs statements that have to fail in a given session.
pub(crate) fn failure(client: &mut Client, sql: &str) -> Failure {
    let Err(error) = client.batch_execute(sql) else { panic!("no error from: {}", shown(sql)) };
    error.as_db_error().map(Failure::from).unwrap_or_else(|| panic!("{error}\nin: {}", shown(sql)))
}

/// The error with what the server said, for a test's report.
fn full(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |error| format!("{:?}", Failure::from(error)))
}

/// A statement as a report can bear it: some carry 100 MB.
fn shown(sql: &str) -> String {
    sql.chars().take(500).collect()
}
