//! How soon a model knows what it was told.

use crate::Result;
use crate::figures::{Figures, count};
use crate::stage::Stage;
use postgres::Client;
use std::time::Instant;

/// Examples of one refresh.
const EXAMPLES: usize = 1000;

/// Measures refreshes, and how soon other sessions see them.
pub fn measure(stage: &mut Stage) -> Result<()> {
    let rounds = stage.settings.rounds.min(stage.data.further.len() / EXAMPLES);
    if stage.data.labelled.is_empty() || rounds == 0 {
        stage.report.skip("refreshes, for DATA has no labelled texts");
        return Ok(());
    }
    stage.client.batch_execute(
        "SET sentiment.train_memory = '2GB'; SET sentiment.progress_interval = -1;
         SELECT train_sentiment('lessons', 'labelled', 'body', 'label', deploy => 'always')",
    )?;
    let mut samples = Vec::new();
    for round in 0..rounds {
        learn(&mut stage.client, round * EXAMPLES, EXAMPLES)?;
        samples.push(stage.time("SELECT refresh_sentiment('lessons')")? * 1e3);
    }
    let figures = Figures::of(&samples).ok_or("no rounds")?;
    stage.report.line("refresh", "1,000 examples", "ms", figures);
    stage.report.alone("refresh", "ms", figures, "logistic regression of 28,795 tweets")?;
    commit(stage)
}

fn learn(client: &mut Client, from: usize, examples: usize) -> Result<()> {
    let to = from + examples;
    Ok(client.batch_execute(&format!(
        "SELECT learn_sentiment('lessons', body, label) FROM further WHERE id > {from} AND id <= {to}"
    ))?)
}

/// Another session, which has the model open, asks at once when a refresh has committed, until the answer is the new one's.
fn commit(stage: &mut Stage) -> Result<()> {
    let mut other = stage.connect()?;
    let version = |client: &mut Client| -> Result<String> {
        let sql = "SELECT model_version FROM sentiment_detail('what a lovely day', 'lessons')";
        Ok(client.query_one(sql, &[])?.get(0))
    };
    let (mut samples, mut stale) = (Vec::new(), 0);
    for round in 0..3 * stage.settings.rounds {
        let old = version(&mut other)?;
        stage.client.batch_execute("BEGIN")?;
        learn(&mut stage.client, round, 1)?;
        stage.client.batch_execute("SELECT refresh_sentiment('lessons')")?;
        let started = Instant::now();
        stage.client.batch_execute("COMMIT")?;
        while version(&mut other)? == old {
            stale += 1;
            if stale > 10_000 {
                return Err("a refresh is never seen".into());
            }
        }
        samples.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let figures = Figures::of(&samples).ok_or("no rounds")?;
    stage.report.line("refresh", "from COMMIT to the new answer elsewhere", "ms", figures);
    stage.report.outcome("stale", count(stale), &format!("of {} commits", samples.len()))?;
    stage.report.alone("commit", "ms", figures, "")
}
