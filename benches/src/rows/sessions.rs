//! What a new session pays: for its first call, and in memory for as long as it lasts.

use crate::Result;
use crate::figures::{Figures, Start, count, race, seconds};
use crate::memory::{private_dirty, together};
use crate::stage::{Stage, backend};
use postgres::Client;
use sentiment_tests::run_clean;
use std::process::Command;

/// How many sessions share a model.
const SESSIONS: usize = 50;

/// Bytes of a megabyte, as the targets count it.
const MEGABYTE: f64 = 1e6;

/// Measures first calls and memory.
pub fn measure(stage: &mut Stage) -> Result<()> {
    let trained = if stage.data.labelled.is_empty() {
        stage.report.skip("a trained model of 10 MB, for DATA has no labelled texts");
        None
    } else {
        Some(format!("{:.1} MB", train(stage)? / MEGABYTE))
    };
    first_calls(stage, trained.as_deref())?;
    memory(stage)?;
    if let Some(size) = trained {
        first_in_worker(stage, &size)?;
        fifty(stage, &size)?;
    }
    Ok(())
}

/// Trains the model `ten`, which comes to about 10 MB, and returns its bytes.
fn train(stage: &mut Stage) -> Result<f64> {
    stage.client.batch_execute("SET sentiment.train_memory = '2GB'; SET sentiment.progress_interval = -1")?;
    let row = stage.client.query_one(
        "SELECT bytes::float8 FROM train_sentiment('ten', 'labelled', 'body', 'label', 'naive_bayes',
             options => '{\"min_texts\": 1}', test_fraction => 1e-9, deploy => 'always')",
        &[],
    )?;
    Ok(row.get(0))
}

fn first_calls(stage: &mut Stage, trained: Option<&str>) -> Result<()> {
    const CALLS: [(&str, &str); 3] = [
        ("SELECT 1", "SELECT 1"),
        ("sentiment(...)", "SELECT sentiment('what a lovely day')"),
        ("sentiment(...) by a trained model", "SELECT sentiment('what a lovely day', 'ten')"),
    ];
    let calls = &CALLS[..if trained.is_some() { 3 } else { 2 }];
    let config = stage.config();
    let figures = race(stage.settings.many_rounds(), calls.len(), Start::Warm, |at| {
        let mut client = config.connect(postgres::NoTls)?;
        Ok(seconds(|| Ok(client.batch_execute(calls[at].1)?))? * 1e3)
    })?;
    for ((name, _), figures) in calls.iter().zip(&figures) {
        stage.report.line("first call", name, "ms", *figures);
    }
    stage.report.difference("first_call", "ms", figures[1], figures[0], "")?;
    if let (Some(size), Some(figure)) = (trained, figures.get(2)) {
        stage.report.difference("first_trained", "ms", *figure, figures[0], size)?;
    }
    Ok(())
}

/// A worker is a new process for each query, while its leader has the model open already.
fn first_in_worker(stage: &mut Stage, size: &str) -> Result<()> {
    const QUERIES: [(&str, &str); 2] = [
        ("sentiment(...) in a worker", "SELECT sentiment(body) FROM few_texts LIMIT 1"),
        (
            "sentiment(...) by a trained model in a worker",
            "SELECT sentiment(body, 'ten') FROM few_texts LIMIT 1",
        ),
    ];
    let mut client = stage.connect()?;
    let version: i32 =
        client.query_one("SELECT current_setting('server_version_num')::int", &[])?.get::<_, i32>(0) / 10_000;
    let force = if version < 16 { "force_parallel_mode" } else { "debug_parallel_query" };
    client.batch_execute(&format!(
        "SET {force} = on; SET parallel_leader_participation = off; SET max_parallel_workers_per_gather = 2"
    ))?;
    let plan = client.query(&format!("EXPLAIN (ANALYZE) {}", QUERIES[1].1), &[])?;
    if !plan.iter().any(|row| row.get::<_, String>(0).contains("Workers Launched: 1")) {
        stage.report.skip("first calls in parallel workers, for the server starts none");
        return Ok(());
    }
    let figures = race(stage.settings.many_rounds(), QUERIES.len(), Start::Warm, |at| {
        Ok(seconds(|| Ok(client.batch_execute(QUERIES[at].1)?))? * 1e3)
    })?;
    for ((name, _), figures) in QUERIES.iter().zip(&figures) {
        stage.report.line("first call", name, "ms", *figures);
    }
    stage.report.difference("first_worker", "ms", figures[1], figures[0], size)
}

/// Reads a hundred texts by an expression.
fn read(client: &mut Client, expression: &str) -> Result<()> {
    let sql = format!("SELECT count({expression}) FROM (SELECT body FROM few_texts LIMIT 100) AS texts");
    Ok(client.batch_execute(&sql)?)
}

fn memory(stage: &mut Stage) -> Result<()> {
    // A library that was copied a moment ago may still be waiting to be written, which the kernel counts as dirty too.
    run_clean(&mut Command::new("sync"));
    let mut added = Vec::new();
    for _ in 0..stage.settings.rounds {
        let mut client = stage.connect()?;
        let pid = backend(&mut client)?;
        read(&mut client, "lower(body)")?;
        let before = private_dirty(pid)?;
        read(&mut client, "sentiment_score(body)")?;
        added.push(private_dirty(pid)? - before);
    }
    let figures = Figures::of(&added).ok_or("no rounds")?;
    stage.report.line("memory", "a session, for the shipped model", "kB", figures);
    stage.report.alone("memory", "kB", figures, "after 100 texts, over lower() of the same")
}

fn fifty(stage: &mut Stage, size: &str) -> Result<()> {
    let mut added = Vec::new();
    for _ in 0..stage.settings.few_rounds() {
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            let mut client = stage.connect()?;
            let pid = backend(&mut client)?;
            read(&mut client, "sentiment_score(body)")?;
            sessions.push((client, pid));
        }
        let pids: Vec<i32> = sessions.iter().map(|(_, pid)| *pid).collect();
        let before = together(&pids)?;
        for (client, _) in &mut sessions {
            read(client, "sentiment(body, 'ten')")?;
        }
        added.push((together(&pids)? - before) * 1024.0 / MEGABYTE);
    }
    let figures = Figures::of(&added).ok_or("no rounds")?;
    stage.report.line("memory", &format!("{} sessions, for a trained model", count(SESSIONS)), "MB", figures);
    stage.report.alone("memory_fifty", "MB", figures, size)
}
