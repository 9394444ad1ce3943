//! The throw-away server on which everything is measured, and the tables in it.

use crate::Result;
use crate::data::{Data, Row};
use crate::figures::{count, seconds};
use crate::peers::Peers;
use crate::report::Report;
use crate::settings::Settings;
use postgres::{Client, Config, NoTls};
use sentiment_tests::{Server, repository, run_clean};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What is committed is on the disk, as where a server is used, not as where one is thrown away. Quiet and large enough that no
/// checkpoint, vacuum or compilation falls into somebody's turn. Workers where asked for.
const SETTINGS: &[&str] = &[
    "fsync=on",
    "full_page_writes=on",
    "synchronous_commit=on",
    "log_min_messages=warning",
    "max_connections=80",
    "shared_buffers=512MB",
    "max_wal_size=8GB",
    "checkpoint_timeout=1h",
    "autovacuum=off",
    "jit=off",
    "max_parallel_workers_per_gather=0",
];

/// The database that everything is measured in.
pub const DATABASE: &str = "bench";

/// What the rows of the table are measured with, and the report that they go into.
pub struct Stage {
    server: Server,
    /// A session for whatever needs no new one.
    pub client: Client,
    /// How much is done.
    pub settings: Settings,
    /// The texts.
    pub data: Data,
    /// What there is to compare with.
    pub peers: Peers,
    /// What was found so far.
    pub report: Report,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stage({:?})", self.server)
    }
}

impl Stage {
    /// A fresh server with the texts in it.
    pub fn set_up(settings: Settings, data: Data, peers: Peers, report: Report) -> Result<Self> {
        let server = Server::start(SETTINGS);
        // As databases are made in practice: in the C locale lower() knows ASCII only, and costs next to nothing.
        run_clean(server.program("createdb", "postgres", "postgres").args([
            "--template=template0",
            "--locale=C.UTF-8",
            DATABASE,
        ]));
        let mut client = server.config(DATABASE, "postgres").connect(NoTls)?;
        client.batch_execute("SET client_min_messages = warning; CREATE EXTENSION pg_sentiment")?;
        let mut stage = Self { server, client, settings, data, peers, report };
        stage.fill()?;
        Ok(stage)
    }

    fn fill(&mut self) -> Result<()> {
        let rows = self.settings.rows;
        // What takes a hundred times as long is asked a fiftieth as often.
        load(&mut self.client, "texts", &repeat(&self.data.texts, rows))?;
        load(&mut self.client, "some_texts", &repeat(&self.data.texts, rows / 4))?;
        load(&mut self.client, "few_texts", &repeat(&self.data.texts, rows / 50))?;
        load(&mut self.client, "sms", &repeat(&self.data.sms, rows / 4))?;
        load(&mut self.client, "foreign_texts", &repeat(&self.data.foreign, rows / 4))?;
        load_rows(&mut self.client, "labelled", &self.data.labelled)?;
        load_rows(&mut self.client, "further", &self.data.further)?;
        self.client.batch_execute("VACUUM ANALYZE")?;
        self.client.batch_execute("CHECKPOINT")?;
        Ok(())
    }

    /// A further table with so many times the texts of the others.
    pub fn texts_times(&mut self, table: &str, times: usize) -> Result<()> {
        load(&mut self.client, table, &repeat(&self.data.texts, self.settings.rows * times))?;
        Ok(self.client.batch_execute(&format!("VACUUM ANALYZE {table}"))?)
    }

    /// How to make a new session.
    pub fn config(&self) -> Config {
        self.server.config(DATABASE, "postgres")
    }

    /// A new session, in which nothing was done yet.
    pub fn connect(&self) -> Result<Client> {
        Ok(self.config().connect(NoTls)?)
    }

    /// The seconds that a statement of the session takes.
    pub fn time(&mut self, sql: &str) -> Result<f64> {
        seconds(|| Ok(self.client.batch_execute(sql)?))
    }
}

/// The process that serves a session.
pub fn backend(client: &mut Client) -> Result<i32> {
    Ok(client.query_one("SELECT pg_catalog.pg_backend_pid()", &[])?.get(0))
}

/// Where builds go.
pub fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    repository().join(target)
}

/// The texts over and over, until there are so many.
fn repeat(texts: &[String], rows: usize) -> Vec<&str> {
    if texts.is_empty() {
        Vec::new()
    } else {
        texts.iter().cycle().take(rows.max(1)).map(String::as_str).collect()
    }
}

fn load(client: &mut Client, table: &str, texts: &[&str]) -> Result<()> {
    client.batch_execute(&format!("CREATE TABLE {table} (body text)"))?;
    let mut writer = client.copy_in(&format!("COPY {table} FROM STDIN"))?;
    for text in texts {
        writeln!(writer, "{}", escaped(text))?;
    }
    writer.finish()?;
    Ok(())
}

fn load_rows(client: &mut Client, table: &str, rows: &[Row]) -> Result<()> {
    client.batch_execute(&format!("CREATE TABLE {table} (id serial, label text, body text)"))?;
    let mut writer = client.copy_in(&format!("COPY {table} (label, body) FROM STDIN"))?;
    for (label, body) in rows {
        writeln!(writer, "{}\t{}", escaped(label), escaped(body))?;
    }
    writer.finish()?;
    Ok(())
}

/// A value as COPY reads it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t")
}

/// Writes labelled rows for programs that read files; nothing in them breaks a line.
pub fn write_rows(file: &Path, rows: &[Row]) -> Result<()> {
    let mut content = String::new();
    for (label, body) in rows {
        content.extend([label, "\t", &body.replace('\t', " "), "\n"]);
    }
    Ok(std::fs::write(file, content)?)
}

/// The mean number of characters of the texts.
pub fn mean_length(texts: &[String]) -> f64 {
    count(texts.iter().map(|text| text.chars().count()).sum()) / count(texts.len().max(1))
}
