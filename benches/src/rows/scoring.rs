//! What scoring a row costs in a query.

use crate::Result;
use crate::figures::{Figures, Start, race};
use crate::stage::Stage;

/// Name, expression and table of a contestant.
type Contestant<'c> = (&'c str, &'c str, &'c str);

const LENGTH: Contestant<'_> = ("length(body)", "length(body)", "texts");
const LOWER: Contestant<'_> = ("lower(body)", "lower(body)", "texts");
const MD5: Contestant<'_> = ("md5(body)", "md5(body)", "texts");
const SCORE: Contestant<'_> = ("sentiment_score(body)", "sentiment_score(body)", "texts");
const LINEAR: Contestant<'_> =
    ("sentiment_score(body, 'english@1')", "sentiment_score(body, 'english@1')", "texts");
const TSVECTOR: Contestant<'_> =
    ("to_tsvector('english', body)", "to_tsvector('english', body)", "some_texts");
const VADER: Contestant<'_> = ("VADER in PL/Python", "vader(body)", "few_texts");

/// Measures all that is scored in queries.
pub fn measure(stage: &mut Stage) -> Result<()> {
    rows(stage)?;
    others(stage)?;
    trained(stage)?;
    three(stage)?;
    parallel(stage)
}

fn rows(stage: &mut Stage) -> Result<()> {
    let mut contestants = vec![LENGTH, LOWER, MD5, SCORE, LINEAR, TSVECTOR];
    if stage.peers.has("vader") && stage.peers.has("plpython") {
        let peers = stage.peers.clone();
        peers.make_vader(&mut stage.client)?;
        contestants.push(VADER);
    } else {
        stage.report.skip("VADER, for PL/Python or vaderSentiment is not to be had here");
    }
    let figures = race_queries(stage, &contestants)?;
    for ((name, ..), figures) in contestants.iter().zip(&figures) {
        stage.report.line("row", name, "us a row", *figures);
    }
    let [lower, score, linear, tsvector] = [1, 3, 4, 5].map(|at| figures[at]);
    stage.report.ratio("lower", "us a row", score, lower)?;
    stage.report.ratio("lower_linear", "us a row", linear, lower)?;
    stage.report.ratio("tsvector", "us a row", score, tsvector)?;
    if let Some(vader) = figures.get(6) {
        stage.report.ratio("vader", "us a row", score, *vader)?;
    }
    Ok(())
}

/// Texts that the model has not learned from, and texts that it hardly knows a word of.
fn others(stage: &mut Stage) -> Result<()> {
    if stage.data.sms.is_empty() || stage.data.foreign.is_empty() {
        stage.report.skip("texts of another kind, for DATA has none");
        return Ok(());
    }
    let contestants: [Contestant<'_>; 4] = [
        ("lower(body), unseen SMS", "lower(body)", "sms"),
        ("sentiment_score(body), unseen SMS", "sentiment_score(body)", "sms"),
        ("lower(body), Spanish tweets", "lower(body)", "foreign_texts"),
        ("sentiment_score(body), Spanish tweets", "sentiment_score(body)", "foreign_texts"),
    ];
    let figures = race_queries(stage, &contestants)?;
    for ((name, ..), figures) in contestants.iter().zip(&figures) {
        stage.report.line("other texts", name, "us a row", *figures);
    }
    stage.report.ratio("lower_sms", "us a row", figures[1], figures[0])?;
    stage.report.ratio("lower_foreign", "us a row", figures[3], figures[2])
}

/// A target, its model, and how that is trained.
const TRAINED: [(&str, &str, &str, &str); 4] = [
    ("lower_logistic", "logistic", "logistic_regression", "{}"),
    ("lower_learned", "learned", "logistic_regression", "{}"),
    ("lower_bayes", "bayes", "naive_bayes", "{}"),
    ("lower_words", "words", "logistic_regression", "{\"words\": 1, \"chars\": false}"),
];

/// Examples that one of them has learned since.
const LEARNED: usize = 1000;

/// Models of a user's own. They are trained on other tweets than those that they read.
fn trained(stage: &mut Stage) -> Result<()> {
    if stage.data.labelled.is_empty() {
        stage.report.skip("models of a user's own, for DATA has no labelled texts");
        return Ok(());
    }
    for (_, model, algorithm, options) in TRAINED {
        stage.client.execute(
            "SELECT train_sentiment($1, 'labelled', 'body', 'label', $2, $3::text::jsonb, deploy => 'always')",
            &[&model, &algorithm, &options],
        )?;
    }
    stage.client.batch_execute(&format!(
        "SELECT learn_sentiment('learned', body, label) FROM further WHERE id <= {LEARNED}; \
         SELECT refresh_sentiment('learned')"
    ))?;
    let scores = TRAINED.map(|(_, model, ..)| format!("sentiment_score(body, '{model}')"));
    let mut contestants = vec![LOWER];
    contestants.extend(scores.iter().map(|score| (score.as_str(), score.as_str(), "texts")));
    let figures = race_queries(stage, &contestants)?;
    for ((name, ..), figures) in contestants.iter().zip(&figures) {
        stage.report.line("trained models", name, "us a row", *figures);
    }
    for ((id, ..), score) in TRAINED.iter().zip(&figures[1..]) {
        stage.report.ratio(id, "us a row", *score, figures[0])?;
    }
    Ok(())
}

fn three(stage: &mut Stage) -> Result<()> {
    let contestants: [Contestant<'_>; 4] = [
        ("sentiment(body)", "sentiment(body)", "some_texts"),
        ("sentiment_score(body)", "sentiment_score(body)", "some_texts"),
        ("sentiment_detail(body)", "sentiment_detail(body)", "some_texts"),
        (
            "sentiment, sentiment_score and sentiment_detail",
            "sentiment(body)), count(sentiment_score(body)), count(sentiment_detail(body)",
            "some_texts",
        ),
    ];
    let figures = race_queries(stage, &contestants)?;
    for ((name, ..), figures) in contestants.iter().zip(&figures) {
        stage.report.line("three functions", name, "us a row", *figures);
    }
    stage.report.ratio("three", "us a row", figures[3], figures[2])?;
    stage.report.ratio("three_score", "us a row", figures[3], figures[1])
}

/// Microseconds a row of `SELECT count(expression)` for each contestant.
fn race_queries(stage: &mut Stage, contestants: &[Contestant<'_>]) -> Result<Vec<Figures>> {
    let mut rows = Vec::new();
    for (_, _, table) in contestants {
        let n: i64 = stage.client.query_one(&format!("SELECT count(*) FROM {table}"), &[])?.get(0);
        rows.push(f64::from(i32::try_from(n)?));
    }
    race(stage.settings.many_rounds(), contestants.len(), Start::Warm, |at| {
        let (_, expression, table) = contestants[at];
        Ok(stage.time(&format!("SELECT count({expression}) FROM {table}"))? * 1e6 / rows[at])
    })
}

/// The leader does not score too: two workers are two processes, as many as none are one.
const WORKERS: &str = "SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off; \
    SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0";
const NO_WORKERS: &str = "SET max_parallel_workers_per_gather = 0";

/// How many more rows than the others the table has that shows what remains of the cost of starting workers.
const MANY: usize = 5;

/// Target, expression and table.
const PARALLEL: [Contestant<'_>; 3] = [
    ("parallel", "sentiment_score(body)", "texts"),
    ("parallel_many", "sentiment_score(body)", "many_texts"),
    ("parallel_lower", "lower(body)", "texts"),
];

fn parallel(stage: &mut Stage) -> Result<()> {
    stage.client.batch_execute(WORKERS)?;
    let plan = stage.client.query(&format!("EXPLAIN {}", counted(&PARALLEL[0])), &[])?;
    stage.client.batch_execute(NO_WORKERS)?;
    if !plan.iter().any(|row| row.get::<_, String>(0).contains("Workers Planned: 2")) {
        stage.report.skip("parallel workers, for the planner takes none for so few rows");
        return Ok(());
    }
    stage.texts_times("many_texts", MANY)?;
    let figures = race(stage.settings.many_rounds(), 2 * PARALLEL.len(), Start::Warm, |at| {
        stage.client.batch_execute([NO_WORKERS, WORKERS][at % 2])?;
        Ok(stage.time(&counted(&PARALLEL[at / 2]))? * 1e3)
    })?;
    stage.client.batch_execute(&format!(
        "{NO_WORKERS}; RESET parallel_leader_participation; DROP TABLE many_texts"
    ))?;
    for ((id, expression, table), figures) in PARALLEL.iter().zip(figures.as_chunks::<2>().0) {
        let [alone, together] = *figures;
        stage.report.line("parallel", &format!("{expression} of {table}, no workers"), "ms", alone);
        stage.report.line("parallel", &format!("{expression} of {table}, two workers"), "ms", together);
        let outcome = stage.report.outcome(id, alone.median / together.median, "")?;
        outcome.ours = Some((together, "ms".into()));
        outcome.beside = Some((alone, "ms".into()));
    }
    Ok(())
}

fn counted((_, expression, table): &Contestant<'_>) -> String {
    format!("SELECT count({expression}) FROM {table}")
}
