//! Scores of texts that are not stored.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Application;
use crate::message::{check_body, check_text};
use crate::object::Few;
use crate::problem::Problem;
use crate::request::Json;
use crate::scoring::{Sentiment, refused, score_all};

/// The most texts of one request.
const TEXTS: usize = 1000;

/// A text, or several.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    texts: Option<Few<String, TEXTS>>,
    #[serde(default)]
    model: Option<String>,
}

/// What is to be scored
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the document's form of what Texts reads")]
pub enum TextOrTexts {
    One(OneText),
    Several(SeveralTexts),
}

/// One text
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the document's form of what Texts reads")]
pub struct OneText {
    #[schema(max_length = 65536, pattern = r"^[^\u0000]*$", example = "I love this phone")]
    text: String,
    /// A model, or a version as english@2; without it, the default one
    #[schema(pattern = r"^[^\u0000]*$", example = "english")]
    model: Option<String>,
}

/// Several texts
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the document's form of what Texts reads")]
pub struct SeveralTexts {
    #[schema(max_items = 1000)]
    texts: Vec<NulFree>,
    /// A model, or a version as english@2; without it, the default one
    #[schema(pattern = r"^[^\u0000]*$", example = "english")]
    model: Option<String>,
}

/// A text
#[derive(ToSchema)]
#[schema(value_type = String, max_length = 65536, pattern = r"^[^\u0000]*$", example = "not bad at all")]
pub struct NulFree(#[expect(dead_code, reason = "as above")] String);

/// Of one text its sentiment, of several theirs in the same order
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum OneOrSeveral {
    One(Sentiment),
    Several(Vec<Sentiment>),
}

/// Score a text, or several
///
/// Nothing is stored. A text with nothing to score has null for label and score: unknown is not neutral.
#[utoipa::path(
    post, path = "/v1/sentiment", tag = "out", security(("key" = [])), request_body = TextOrTexts,
    responses(
        (status = 200, description = "the sentiment", body = OneOrSeveral),
        (status = "4XX", description = "refused", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "failed", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn score(
    State(application): State<Application>,
    Json(given): Json<Texts>,
) -> Result<Response, Problem> {
    check_model(given.model.as_deref())?;
    match (given.text, given.texts) {
        (Some(text), None) => {
            check_body(&text, "text")?;
            let scored = application.scorer.score(text, given.model).await?;
            Ok(Answer(OneOrSeveral::One(scored)).into_response())
        }
        (None, Some(Few(texts))) => {
            for (place, text) in texts.iter().enumerate() {
                check_body(text, &format!("texts[{place}]"))?;
            }
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let scored = score_all(&application.pool, &texts, given.model.as_deref()).await?;
            application.answers.answer(&OneOrSeveral::Several(scored))
        }
        _ => Err(Problem::unusable("either text or texts is needed")),
    }
}

/// A text whose label is to be explained
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    #[schema(
        max_length = 65536,
        pattern = r"^[^\u0000]*$",
        example = "luv the camera but the battery is awful :("
    )]
    text: String,
    /// A model, or a version as english@2; without it, the default one
    #[serde(default)]
    #[schema(pattern = r"^[^\u0000]*$", example = "english")]
    model: Option<String>,
    /// How many terms
    #[serde(default = "ten")]
    #[schema(minimum = 0, maximum = 1000, default = 10)]
    top_k: i32,
}

fn ten() -> i32 {
    10
}

/// A text's sentiment, and why
#[derive(Debug, Serialize, ToSchema)]
pub struct Explanation {
    sentiment: Sentiment,
    /// The terms that weigh most, and the bias
    terms: Vec<Term>,
}

/// A term's part in the label
#[derive(Debug, Serialize, ToSchema)]
pub struct Term {
    term: String,
    /// Where it begins in the text, in characters from 1; null for the bias, and for what is of the text as a whole
    #[schema(required)]
    start: Option<i32>,
    /// Its part in ln(P(label) / P(runner-up))
    weight: f64,
    /// The label that it speaks for
    #[schema(required)]
    toward: Option<String>,
}

/// Explain a text's label
#[utoipa::path(
    post, path = "/v1/explain", tag = "out", security(("key" = [])), request_body = Question,
    responses(
        (status = 200, description = "the sentiment and the terms that weigh most in it", body = Explanation),
        (status = "4XX", description = "refused", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "failed", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn explain(
    State(application): State<Application>,
    Json(question): Json<Question>,
) -> Result<Answer<Explanation>, Problem> {
    check_model(question.model.as_deref())?;
    check_body(&question.text, "text")?;
    if !(0..=1000).contains(&question.top_k) {
        return Err(Problem::unusable("top_k is from 0 to 1000").at("top_k"));
    }
    let model = question.model.as_deref();
    let scored = score_all(&application.pool, &[&question.text], model).await?.pop();
    let sentiment = scored.ok_or_else(Problem::internal)?;
    let client = application.pool.get().await?;
    let explain = "SELECT term, start_pos, weight, toward FROM sentiment_explain($1, $2, $3)";
    let explain = client.prepare_cached(explain).await?;
    let rows = client.query(&explain, &[&question.text, &model, &question.top_k]).await;
    let rows = rows.map_err(|error| refused(error, model))?;
    let term = |row: &tokio_postgres::Row| Term {
        term: row.get(0),
        start: row.get(1),
        weight: row.get(2),
        toward: row.get(3),
    };
    Ok(Answer(Explanation { sentiment, terms: rows.iter().map(term).collect() }))
}

/// A model's name is a text for the database.
fn check_model(model: Option<&str>) -> Result<(), Problem> {
    model.map_or(Ok(()), |model| check_text(model, "model"))
}
