//! What is right, from those who know.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Application;
use crate::message::{check_body, check_name};
use crate::problem::Problem;
use crate::request::Json;

/// A text or a stored message with its right label
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    model: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    message: Option<i64>,
    label: String,
}

/// A text or a stored message with its right label
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the document's form of what Feedback reads")]
pub enum TextOrMessage {
    Text(LabelledText),
    Message(LabelledMessage),
}

/// A text with its right label
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the document's form of what Feedback reads")]
pub struct LabelledText {
    /// The model that is to learn
    #[schema(min_length = 1, pattern = r"^[^\u0000]*$", example = "tickets")]
    model: String,
    #[schema(
        max_length = 65536,
        pattern = r"^[^\u0000]*$",
        example = "where can I see my subscription fee?"
    )]
    text: String,
    #[schema(min_length = 1, pattern = r"^[^\u0000]*$", example = "billing")]
    label: String,
}

/// A stored message with its right label
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the document's form of what Feedback reads")]
pub struct LabelledMessage {
    /// The model that is to learn
    #[schema(min_length = 1, pattern = r"^[^\u0000]*$", example = "tickets")]
    model: String,
    /// The message's id
    #[schema(example = 1)]
    message: i64,
    #[schema(min_length = 1, pattern = r"^[^\u0000]*$", example = "billing")]
    label: String,
}

/// Tell a model the right label of a text or of a stored message
///
/// It is learned from with the model's next refresh or training. Shipped models do not learn.
#[utoipa::path(
    post, path = "/v1/feedback", tag = "in", security(("key" = [])), request_body = TextOrMessage,
    responses(
        (status = 204, description = "filed"),
        (status = "4XX", description = "refused", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "failed", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn learn(
    State(application): State<Application>,
    Json(feedback): Json<Feedback>,
) -> Result<StatusCode, Problem> {
    check_name(&feedback.model, "model")?;
    check_name(&feedback.label, "label")?;
    let client = application.pool.get().await?;
    let learned = match (feedback.text, feedback.message) {
        (Some(text), None) => {
            check_body(&text, "text")?;
            let learn = client.prepare_cached("SELECT learn_sentiment($1, $2, $3)").await?;
            client.execute(&learn, &[&feedback.model, &text, &feedback.label]).await
        }
        (None, Some(id)) => {
            let learn = "SELECT learn_sentiment($1, m.body, $3) FROM messages.message AS m WHERE m.id = $2";
            let learn = client.prepare_cached(learn).await?;
            client.execute(&learn, &[&feedback.model, &id, &feedback.label]).await
        }
        _ => return Err(Problem::unusable("either text or message is needed")),
    };
    match learned.map_err(Problem::of_model)? {
        0 => Err(Problem::new(StatusCode::NOT_FOUND, "there is no such message").at("message")),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}
