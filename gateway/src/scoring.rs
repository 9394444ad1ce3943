//! Scores of texts that are not stored. Texts that wait at the same time are scored by one statement.

use std::sync::Arc;

use deadpool_postgres::Pool;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_postgres::Row;
use utoipa::ToSchema;

use crate::problem::Problem;

/// How many statements score waiting texts at the same time.
const WORKERS: usize = 2;
/// The most texts of one such statement, and the most bytes of several.
const TOGETHER: usize = 128;
const BYTES: usize = 1 << 20;
/// The most texts that wait; whoever comes next waits to wait.
const WAITING: usize = 4096;

/// What the model makes of a text: the record of `sentiment_detail()`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Sentiment {
    /// The label; null, as all else, if the text holds nothing to score
    #[schema(required)]
    label: Option<String>,
    /// The sum of each label's probability times its value: from -1 to 1 where the labels are positive, neutral and negative; null if
    /// no label has a value
    #[schema(required)]
    score: Option<f64>,
    /// The label's probability
    #[schema(required, minimum = 0, maximum = 1)]
    confidence: Option<f64>,
    /// Each label's probability
    #[schema(required, value_type = Option<std::collections::BTreeMap<String, f64>>)]
    probabilities: Option<Box<RawValue>>,
    /// The share of words that the model knows
    #[schema(required, minimum = 0, maximum = 1)]
    coverage: Option<f64>,
    /// Whether the text was so long that only its beginning was read
    #[schema(required)]
    truncated: Option<bool>,
    /// The version of the model
    #[schema(required)]
    model_version: Option<String>,
}

struct Waiting {
    text: String,
    model: Option<String>,
    answer: oneshot::Sender<Result<Sentiment, Problem>>,
}

/// Scores single texts.
#[derive(Clone, Debug)]
pub struct Scorer {
    queue: mpsc::Sender<Waiting>,
}

impl Scorer {
    /// Starts the workers; they end with the last clone of the scorer.
    pub fn start(pool: &Pool) -> Scorer {
        let (queue, waiting) = mpsc::channel(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..WORKERS {
            tokio::spawn(work(pool.clone(), waiting.clone()));
        }
        Scorer { queue }
    }

    /// Scores a text without NUL, by a model or by the default one.
    pub async fn score(&self, text: String, model: Option<String>) -> Result<Sentiment, Problem> {
        let (answer, answered) = oneshot::channel();
        let ended = |_| Problem::unavailable("the gateway is ending: try again");
        self.queue.send(Waiting { text, model, answer }).await.map_err(|_| ended(()))?;
        answered.await.map_err(|_| ended(()))?
    }
}

/// Takes what waits, scores it, and begins again. While a statement runs, texts gather for the next one: the busier it is,
/// the more texts share a statement.
async fn work(pool: Pool, queue: Arc<Mutex<mpsc::Receiver<Waiting>>>) {
    let mut batch = Vec::with_capacity(TOGETHER);
    loop {
        if queue.lock().await.recv_many(&mut batch, TOGETHER).await == 0 {
            return;
        }
        metrics::histogram!("sentiment_gateway_texts_together").record(batch.len() as f64);
        // Those of one model share a statement, and so its failure.
        while let Some(first) = batch.first() {
            let model = first.model.clone();
            let same = take_together(&mut batch, model.as_deref());
            let texts: Vec<&str> = same.iter().map(|waiting| waiting.text.as_str()).collect();
            let answers: Vec<_> = match score_all(&pool, &texts, model.as_deref()).await {
                Ok(sentiments) => sentiments.into_iter().map(Ok).collect(),
                Err(problem) => texts.iter().map(|_| Err(problem.clone())).collect(),
            };
            for (waiting, answer) in same.into_iter().zip(answers) {
                // Whoever has gone needs no answer.
                let _ = waiting.answer.send(answer);
            }
        }
    }
}

/// Takes those of a model that may share a statement: the first, and others as far as there is room.
fn take_together(batch: &mut Vec<Waiting>, model: Option<&str>) -> Vec<Waiting> {
    let mut bytes = 0;
    let (same, rest) = batch.drain(..).partition(|waiting| {
        let length = waiting.text.len();
        let fits = waiting.model.as_deref() == model && (bytes == 0 || bytes + length <= BYTES);
        bytes += if fits { length } else { 0 };
        fits
    });
    *batch = rest;
    same
}

/// Scores texts without NUL by one statement, in their order.
pub async fn score_all(pool: &Pool, texts: &[&str], model: Option<&str>) -> Result<Vec<Sentiment>, Problem> {
    let client = pool.get().await?;
    let score = "SELECT d.label, d.score, d.confidence, d.probabilities::text, d.coverage, d.truncated, d.model_version
                 FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS t (body, ord)
                 LEFT JOIN LATERAL sentiment_detail(t.body, $2) AS d ON true
                 ORDER BY t.ord";
    let score = client.prepare_cached(score).await?;
    let rows = client.query(&score, &[&texts, &model]).await.map_err(|error| refused(error, model))?;
    metrics::counter!("sentiment_gateway_texts_scored_total").increment(rows.len() as u64);
    rows.iter().map(sentiment).collect()
}

/// Why texts are not scored. If no model was named, it is not the client's that is missing.
pub fn refused(error: tokio_postgres::Error, model: Option<&str>) -> Problem {
    let problem = Problem::from(error);
    if model.is_some() { problem } else { problem.of_set_up() }
}

fn sentiment(row: &Row) -> Result<Sentiment, Problem> {
    let probabilities: Option<String> = row.get(3);
    Ok(Sentiment {
        label: row.get(0),
        score: row.get(1),
        confidence: row.get(2),
        probabilities: probabilities
            .map(RawValue::from_string)
            .transpose()
            .map_err(|_| Problem::internal())?,
        coverage: row.get(4),
        truncated: row.get(5),
        model_version: row.get(6),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shares_a_statement_has_an_end_in_bytes() {
        let waiting = |model: &str, length: usize| {
            let (answer, _) = oneshot::channel();
            Waiting { text: "a".repeat(length), model: Some(model.into()), answer }
        };
        let mut batch = vec![waiting("a", BYTES), waiting("b", 7), waiting("a", 1), waiting("a", 2)];
        let lengths =
            |taken: Vec<Waiting>| -> Vec<usize> { taken.iter().map(|one| one.text.len()).collect() };
        assert_eq!(lengths(take_together(&mut batch, Some("a"))), [BYTES]);
        assert_eq!(lengths(take_together(&mut batch, Some("b"))), [7]);
        assert_eq!(lengths(take_together(&mut batch, Some("a"))), [1, 2]);
        assert!(batch.is_empty());
    }
}
