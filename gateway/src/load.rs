//! `load`: files and pipes, by the same way in as all else.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::time::Duration;

use deadpool_postgres::Pool;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use crate::config::{self, Load, LoadFormat};
use crate::database::{Address, Failure};
use crate::ingest::{self, Stored};
use crate::message::{Message, Partial};
use crate::migrate;
use crate::problem::Problem;

/// The most messages of one transaction, and about the most bytes of their bodies.
const BATCH: usize = 2000;
const BYTES: usize = 8 << 20;
/// The most bytes of a line of JSON, and of a record of CSV.
const LINE: usize = 1 << 20;
/// How often a batch is tried while the database is away, and how long to wait before the second try.
const TRIES: u32 = 6;
const WAIT: Duration = Duration::from_millis(500);

/// What a reader finds: a message, or a line that is none and why not.
type Found = Result<Message, String>;

/// `load`: stores a file batch by batch, says how far it is, and what became of it.
pub async fn run(settings: Load, database: &config::Database) -> Result<(), Failure> {
    let address = Address::new(database)?;
    let pool = address.pool(database)?;
    let done = load(settings, &pool).await;
    address.leave(&pool).await;
    done
}

async fn load(settings: Load, pool: &Pool) -> Result<(), Failure> {
    let (input, bar) = open(&settings.file)?;
    let format = match settings.format.or_else(|| format_of(&settings.file)) {
        Some(format) => format,
        None => {
            return Err(Failure::Other(
                "the file's name does not say what it is: --format csv or jsonl".into(),
            ));
        }
    };
    migrate::need_schema(pool).await?;
    let skips = settings.skip_bad;
    // Read by a thread of its own, at most two batches ahead.
    let (found, mut batches) = mpsc::channel(2);
    let reader = tokio::task::spawn_blocking(move || read(input, format, &settings, &found));
    let mut done = Done::default();
    while let Some(batch) = batches.recv().await {
        let mut messages = Vec::new();
        for found in batch {
            match found {
                Ok(message) => messages.push(message),
                Err(reason) if skips => {
                    done.bad += 1;
                    bar.suspend(|| tracing::warn!("{reason}"));
                }
                Err(reason) => {
                    done.is_told = true;
                    let before = format!("{} messages before it are stored", done.stored);
                    return Err(Failure::Other(format!("{reason}; {before}; --skip-bad goes on")));
                }
            }
        }
        let answers = store(pool, &messages).await?;
        done.duplicate += answers.iter().filter(|answer| answer.duplicate).count();
        done.stored += answers.iter().filter(|answer| !answer.duplicate).count();
        bar.set_message(format!("{} messages", done.stored + done.duplicate));
    }
    reader.await.map_err(|_| Failure::Other("the file could not be read".into()))??;
    bar.finish_and_clear();
    done.is_told = true;
    let Done { stored, duplicate, bad, .. } = done;
    writeln!(std::io::stdout(), "{stored} stored, {duplicate} stored before, {bad} left out")?;
    Ok(())
}

/// What became of what was read so far. Says so itself if loading ends before its time, whatever ends it.
#[derive(Default)]
struct Done {
    stored: usize,
    duplicate: usize,
    bad: usize,
    is_told: bool,
}

impl Drop for Done {
    fn drop(&mut self) {
        if !self.is_told {
            let Done { stored, duplicate, bad, .. } = self;
            let again = "perhaps so is what was under way: unless all have external ids, or --number, a second run stores it anew";
            tracing::warn!(
                "{stored} stored, {duplicate} stored before, {bad} left out, and not all is read; {again}"
            );
        }
    }
}

/// Stores a batch, over a restart of the database if that cannot store anything twice; in halves, where the database does not
/// manage so many at once. Returns what became of each.
async fn store(pool: &Pool, messages: &[Message]) -> Result<Vec<Stored>, Problem> {
    let whole = 0..messages.len();
    let (mut stored, mut ranges) = (Vec::with_capacity(messages.len()), vec![whole]);
    // More are not managed: what is left is not tried in vain.
    let mut most = messages.len();
    while let Some(range) = ranges.pop() {
        if range.len() <= most {
            match store_whole(pool, &messages[range.clone()]).await {
                Ok(answers) => {
                    stored.extend(answers);
                    continue;
                }
                Err(problem) if problem.is_of_amount() && range.len() > 1 => most = range.len() / 2,
                Err(problem) => return Err(problem),
            }
        }
        let middle = range.start + range.len() / 2;
        ranges.extend([middle..range.end, range.start..middle]);
    }
    Ok(stored)
}

async fn store_whole(pool: &Pool, messages: &[Message]) -> Result<Vec<Stored>, Problem> {
    let harmless = messages.iter().all(|message| message.external_id.is_some());
    let is_too_much = |problem: &Problem| problem.is_of_amount() && messages.len() > 1;
    let mut wait = WAIT;
    for _ in 1..TRIES {
        match ingest::store(pool, "load", messages).await {
            Err(problem) if harmless && problem.is_passing() && !is_too_much(&problem) => {
                tracing::warn!("{problem}");
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            done => return done,
        }
    }
    ingest::store(pool, "load", messages).await
}

/// The input, and a bar that follows its reading.
fn open(file: &Path) -> Result<(Box<dyn Read + Send>, ProgressBar), Failure> {
    let style =
        |template| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    if file == Path::new("-") {
        let bar = ProgressBar::new_spinner();
        bar.set_style(style("{spinner} {msg} {bytes} {bytes_per_sec}"));
        return Ok((Box::new(bar.wrap_read(std::io::stdin())), bar));
    }
    let name = file.display();
    let opened =
        File::open(file).map_err(|error| Failure::Other(format!("{name} cannot be read: {error}")))?;
    let bar = ProgressBar::new(opened.metadata()?.len());
    bar.set_style(style("{bar:30} {percent}% {msg} {bytes_per_sec} {eta} left"));
    Ok((Box::new(bar.wrap_read(opened)), bar))
}

fn format_of(file: &Path) -> Option<LoadFormat> {
    match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "csv" => Some(LoadFormat::Csv),
        "jsonl" | "ndjson" => Some(LoadFormat::Jsonl),
        _ => None,
    }
}

fn read(
    input: Box<dyn Read + Send>,
    format: LoadFormat,
    settings: &Load,
    found: &mpsc::Sender<Vec<Found>>,
) -> Result<(), Failure> {
    let name = settings.file.file_name().map_or("-".into(), |name| name.to_string_lossy());
    let (mut batch, mut bytes) = (Vec::with_capacity(BATCH), 0);
    let mut take = |line: u64, row: Result<Partial, String>| {
        let message = row.and_then(|row| complete(row, settings, &name, line));
        bytes += message.as_ref().map_or(0, |message| message.body.len());
        batch.push(message.map_err(|reason| format!("{name}, line {line}: {reason}")));
        if batch.len() < BATCH && bytes < BYTES {
            return true;
        }
        bytes = 0;
        // Nobody takes more once loading has failed.
        found.blocking_send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).is_ok()
    };
    let done = match format {
        LoadFormat::Csv => read_csv(input, &mut take),
        LoadFormat::Jsonl => read_lines(input, &mut take),
    };
    // What came before a failure is stored, as it is with all batches before.
    let _ = found.blocking_send(batch);
    done
}

/// Makes a message of a row, and checks it. A row is the same as one that was loaded before if file, line and content are:
/// pipes have no name, and files may share one.
fn complete(row: Partial, settings: &Load, name: &str, line: u64) -> Found {
    let numbered = settings.number.then(|| format!("{name}:{line}:{}", row.digest()));
    row.complete(&settings.source, numbered).map_err(|problem| problem.to_string())
}

/// An input of which no record takes more than its share.
struct Bounded<R> {
    input: R,
    left: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        let most = into.len().min(self.left);
        let read = self.input.read(&mut into[..most])?;
        self.left -= read;
        Ok(read)
    }
}

fn read_csv(
    input: impl Read,
    take: &mut dyn FnMut(u64, Result<Partial, String>) -> bool,
) -> Result<(), Failure> {
    let mut reader = csv::Reader::from_reader(Bounded { input, left: LINE });
    let unreadable = |_| Failure::Other("the header of the CSV cannot be read".into());
    if !reader.headers().map_err(unreadable)?.iter().any(|column| column == "body") {
        return Err(Failure::Other("the CSV needs a header with the column body".into()));
    }
    let mut rows = reader.into_deserialize::<Partial>();
    loop {
        let line = rows.reader().position().line();
        rows.reader_mut().get_mut().left = LINE;
        let Some(row) = rows.next() else { return Ok(()) };
        if row.as_ref().is_err_and(csv::Error::is_io_error) {
            return Err(Failure::Other(match rows.reader().get_ref().left {
                // Where it ends, and the next begins, nobody can say.
                0 => format!("line {line} begins a record of over {LINE} bytes: is a quote not closed?"),
                _ => "the file cannot be read on".into(),
            }));
        }
        if !take(line, row.map_err(|error| refusal(&error))) {
            return Ok(());
        }
    }
}

/// Why a record is no message. The error's own words may quote a field.
fn refusal(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields, where the header has {expected_len}")
        }
        _ => "not UTF-8, without a body, or with a sent_at that is no time in RFC 3339".into(),
    }
}

fn read_lines(
    input: impl Read,
    take: &mut dyn FnMut(u64, Result<Partial, String>) -> bool,
) -> Result<(), Failure> {
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if input.by_ref().take(LINE as u64).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let whole = line.len() < LINE || line.ends_with(b"\n");
        if !whole {
            input.skip_until(b'\n')?;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row = match whole {
            true => Partial::parse(&line).map_err(str::to_owned),
            false => Err(format!("over {LINE} bytes")),
        };
        if !take(number, row) {
            break;
        }
    }
    Ok(())
}
