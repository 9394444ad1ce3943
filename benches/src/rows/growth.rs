//! How cost grows with what there is to read.

use crate::Result;
use crate::figures::{Figures, Start, count, off_line, race, seconds};
use crate::memory::rise;
use crate::stage::{Stage, backend};
use crate::targets::grouped;
use postgres::Client;

/// Characters of the texts that are scored. Beyond 65,536 nothing is read.
const LENGTHS: &[usize] = &[10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 65_536, 65_537, 100_000];
/// The last length that is read whole.
const CUT: usize = 65_536;

/// Rows that are trained on, and those for which there is time only where FULL asks for it.
const ROWS: &[usize] = &[10_000, 30_000, 100_000];
const MANY_ROWS: &[usize] = &[300_000, 1_000_000];

/// Measures what texts of different lengths cost.
pub fn measure_length(stage: &mut Stage) -> Result<()> {
    let ascii: Vec<&str> =
        stage.data.texts.iter().map(String::as_str).filter(|text| text.is_ascii()).collect();
    let mut all = ascii.join(" ");
    while all.len() < 2 * LENGTHS.iter().sum::<usize>() {
        all = format!("{all} {all}");
    }
    let mut rows = Vec::new();
    for length in LENGTHS {
        rows.push(make_texts(&mut stage.client, &all, *length)?);
    }
    let figures = race(stage.settings.many_rounds(), LENGTHS.len(), Start::Warm, |at| {
        let sql = format!("SELECT count(sentiment_score(body)) FROM long_{}", LENGTHS[at]);
        Ok(stage.time(&sql)? * 1e6 / count(rows[at]))
    })?;
    for (length, figures) in LENGTHS.iter().zip(&figures) {
        stage.report.line("length", &format!("{} characters", grouped(*length)), "us a text", *figures);
    }
    let points: Vec<(f64, f64)> =
        LENGTHS.iter().zip(&figures).map(|(length, figures)| (count(*length), figures.median)).collect();
    let (read, past): (Vec<_>, Vec<_>) = points.into_iter().partition(|(length, _)| *length <= count(CUT));
    stage.report.outcome("length", off_line(&read), "")?;
    if let [(_, first), .., (_, last)] = past[..] {
        stage.report.outcome("length_past", last / first - 1.0, "")?;
    }
    Ok(())
}

/// Makes a table of texts of one length, each of which begins elsewhere, and returns its rows. There are as many as make
/// some million characters.
fn make_texts(client: &mut Client, all: &str, length: usize) -> Result<usize> {
    let rows = (2_000_000 / length).clamp(20, 20_000);
    client.batch_execute(&format!("CREATE TABLE long_{length} (body text)"))?;
    let insert = client.prepare(&format!("INSERT INTO long_{length} VALUES ($1)"))?;
    let mut transaction = client.transaction()?;
    for row in 0..rows {
        // A step that shares no factor with the length, so that texts differ.
        let start = row * 7_919 % (all.len() - length);
        transaction.execute(&insert, &[&&all[start..start + length]])?;
    }
    transaction.commit()?;
    client.batch_execute(&format!("VACUUM ANALYZE long_{length}"))?;
    Ok(rows)
}

/// What a training came to: its seconds, the kilobytes that the session's memory rose by, and those that it was allowed.
struct Trained {
    seconds: f64,
    rise: f64,
    limit: f64,
}

/// Measures what training on more and more rows costs.
pub fn measure_training(stage: &mut Stage) -> Result<()> {
    if stage.data.labelled.is_empty() {
        stage.report.skip("training on more and more rows, for DATA has no labelled texts");
        return Ok(());
    }
    let many: &[usize] = if stage.settings.full { MANY_ROWS } else { &[] };
    let (mut each, mut most, mut limit) = (Vec::new(), Vec::new(), 1_024);
    for rows in ROWS.iter().chain(many) {
        resample(&mut stage.client, *rows)?;
        let rounds = if *rows < 1_000_000 { stage.settings.few_rounds() } else { 1 };
        let mut trained = Vec::new();
        for _ in 0..rounds {
            trained.push(train(stage, *rows, &mut limit)?);
        }
        let figures = |of: &dyn Fn(&Trained) -> f64| Figures::of(&trained.iter().map(of).collect::<Vec<_>>());
        let time = figures(&|trained| trained.seconds * 1e6 / count(*rows)).ok_or("no rounds")?;
        let share = figures(&|trained| trained.rise / trained.limit).ok_or("no rounds")?;
        let memory = figures(&|trained| trained.rise / 1024.0).ok_or("no rounds")?;
        let allowed = figures(&|trained| trained.limit / 1024.0).ok_or("no rounds")?;
        let name = format!("{} rows", grouped(*rows));
        stage.report.line("training rows", &name, "us a row", time);
        stage.report.line("training rows", &format!("{name}, memory"), "MiB", memory);
        stage.report.line("training rows", &format!("{name}, train_memory that it takes"), "MiB", allowed);
        each.push(time.median);
        most.push(share.max);
        stage.client.batch_execute(&format!("DROP TABLE resampled_{rows}"))?;
    }
    let worst = each.iter().map(|time| time / each[0] - 1.0).fold(f64::MIN, f64::max);
    let last = ROWS.iter().chain(many).last().copied().unwrap_or(0);
    let note = format!("{} to {} rows, resampled", grouped(ROWS[0]), grouped(last));
    stage.report.outcome("growth", worst, &note)?;
    stage.report.outcome("growth_memory", most.into_iter().fold(0.0, f64::max), "")?;
    Ok(())
}

/// Draws rows with replacement; the same ones each time.
fn resample(client: &mut Client, rows: usize) -> Result<()> {
    client.batch_execute(&format!(
        "CREATE TABLE resampled_{rows} AS
             WITH all_rows AS (SELECT row_number() OVER () AS at, label, body
                               FROM (SELECT label, body FROM labelled UNION ALL SELECT label, body FROM further) AS rows),
                  drawn AS (SELECT 1 + (hashint8(n) & 2147483647) % (SELECT count(*) FROM all_rows) AS at
                            FROM generate_series(1, {rows}) AS n)
             SELECT label, body FROM drawn JOIN all_rows USING (at)"
    ))?;
    Ok(client.batch_execute(&format!("VACUUM ANALYZE resampled_{rows}"))?)
}

/// Trains in a session of its own, within as little memory as it says it needs, of which so many kilobytes are too few or
/// just enough.
fn train(stage: &Stage, rows: usize, limit: &mut usize) -> Result<Trained> {
    loop {
        let mut client = stage.connect()?;
        let pid = backend(&mut client)?;
        client.batch_execute(&format!(
            "SET client_min_messages = warning; SELECT sentiment('load the library');
             SET sentiment.progress_interval = -1; SET sentiment.train_memory = '{limit}kB'; BEGIN"
        ))?;
        let sql = format!(
            "SELECT train_sentiment('grown', 'resampled_{rows}', 'body', 'label', test_fraction => 1e-9, deploy => 'never')"
        );
        let mut refused = None;
        let (seconds, rise) = rise(pid, || {
            seconds(|| {
                let Err(error) = client.batch_execute(&sql) else { return Ok(()) };
                refused = error.as_db_error().and_then(|error| needed(error.message(), *limit));
                if refused.is_some() { Ok(()) } else { Err(error.into()) }
            })
        })?;
        match refused {
            Some(needed) => *limit = needed,
            None => return Ok(Trained { seconds, rise, limit: count(*limit) }),
        }
        client.batch_execute("ROLLBACK")?;
    }
}

/// The kilobytes to try next, if a message says that it takes more. Texts are counted one by one: there it is no use to give
/// just what the next one takes.
fn needed(message: &str, limit: usize) -> Option<usize> {
    let (number, what) = message.strip_prefix("training needs at least ")?.split_once(" kB with ")?;
    let needed: usize = number.parse().ok()?;
    Some(if what.starts_with("the texts") { needed.max(2 * limit) } else { needed.max(limit + 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_limit_is_what_the_message_asks_for() {
        let message = "training needs at least 5000 kB with the fit, and may use 4000 kB";
        assert_eq!(needed(message, 4000), Some(5000));
        let message = "training needs at least 4001 kB with the texts, and may use 4000 kB";
        assert_eq!(needed(message, 4000), Some(8000));
        assert_eq!(needed("something else", 4000), None);
    }
}
