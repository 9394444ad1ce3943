//! Models: which there are, trained, deployed and rolled back.

use axum::Json as Answer;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use utoipa::ToSchema;

use super::Application;
use crate::message::check_name;
use crate::problem::Problem;
use crate::request::{Json, Nothing};

/// The most bytes of what a training is asked for with: its options take far more memory than they have bytes.
const TRAINING: usize = 64 << 10;
/// After how many seconds there may be a place again.
const PAUSE: u64 = 10;

/// A model, as the view `sentiment.models` has it
#[derive(Debug, Serialize, ToSchema)]
pub struct Model {
    model: String,
    /// The version that scores now; null if none does, and all else is of the newest then
    #[schema(required)]
    model_version: Option<String>,
    algorithm: String,
    language: String,
    labels: Vec<String>,
    /// Whether it comes with pg_sentiment
    shipped: bool,
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(required)]
    deployed_at: Option<OffsetDateTime>,
    #[schema(required)]
    rows_train: Option<i64>,
    /// What was measured on rows held out
    #[schema(required, value_type = Option<Object>)]
    metrics: Option<Value>,
    #[schema(required)]
    terms: Option<i64>,
    #[schema(required)]
    bytes: Option<i64>,
}

/// List the models, with their quality
#[utoipa::path(
    get, path = "/v1/models", tag = "models", security(("key" = [])),
    responses(
        (status = 200, description = "all models", body = Vec<Model>),
        (status = "4XX", description = "refused", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "failed", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn list(State(application): State<Application>) -> Result<Answer<Vec<Model>>, Problem> {
    let client = application.pool.get().await?;
    let list =
        "SELECT model, model_version, algorithm, language, labels, shipped, deployed_at, rows_train::bigint,
                    metrics::jsonb, terms::bigint, bytes::bigint
                FROM sentiment.models ORDER BY model";
    let rows = client.query(list, &[]).await?;
    let model = |row: &Row| Model {
        model: row.get(0),
        model_version: row.get(1),
        algorithm: row.get(2),
        language: row.get(3),
        labels: row.get(4),
        shipped: row.get(5),
        deployed_at: row.get(6),
        rows_train: row.get(7),
        metrics: row.get(8),
        terms: row.get(9),
        bytes: row.get(10),
    };
    Ok(Answer(rows.iter().map(model).collect()))
}

/// What a model is trained on, and how; what is left out is as train_sentiment() has it
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// A table or a view, which the gateway's role may read
    #[schema(min_length = 1, pattern = r"^[^\u0000]*$", example = "public.tickets")]
    source: String,
    /// Its column of texts
    #[schema(min_length = 1, pattern = r"^[^\u0000]*$", example = "body")]
    text_column: String,
    /// Its column of labels
    #[schema(min_length = 1, pattern = r"^[^\u0000]*$", example = "label")]
    label_column: String,
    #[serde(default = "logistic_regression")]
    #[schema(
        pattern = r"^(logistic_regression|naive_bayes|random_forest)$",
        default = "logistic_regression"
    )]
    algorithm: String,
    /// Training options, as the README of pg_sentiment lists them
    #[serde(default)]
    #[schema(value_type = Object)]
    options: serde_json::Map<String, Value>,
    /// The share of texts held out to measure it
    #[serde(default = "a_fifth")]
    #[schema(exclusive_minimum = 0, exclusive_maximum = 1, default = 0.2)]
    test_fraction: f64,
    #[serde(default = "forty_two")]
    #[schema(default = 42)]
    seed: i64,
    /// if_better, always or never
    #[serde(default = "if_better")]
    #[schema(pattern = r"^(if_better|always|never)$", default = "if_better")]
    deploy: String,
}

fn logistic_regression() -> String {
    "logistic_regression".into()
}
fn a_fifth() -> f64 {
    0.2
}
fn forty_two() -> i64 {
    42
}
fn if_better() -> String {
    "if_better".into()
}

/// A new version, and how good it is on rows held out
#[derive(Debug, Serialize, ToSchema)]
pub struct Trained {
    model_version: String,
    rows_train: i64,
    rows_test: i64,
    rows_skipped: i64,
    #[schema(required)]
    accuracy: Option<f64>,
    #[schema(required)]
    macro_f1: Option<f64>,
    #[schema(required)]
    macro_recall: Option<f64>,
    #[schema(required)]
    log_loss: Option<f64>,
    /// What always naming the most frequent label would get
    #[schema(required)]
    baseline_accuracy: Option<f64>,
    /// What the version deployed before gets on the same rows
    #[schema(required)]
    previous_macro_f1: Option<f64>,
    deployed: bool,
    terms: i64,
    bytes: i64,
    train_ms: f64,
}

/// Train a new version of a model
///
/// The answer comes when it is trained, which may take minutes; a client that goes away cancels it.
#[utoipa::path(
    post, path = "/v1/models/{model}/train", tag = "models", security(("key" = [])), request_body = Training,
    params(("model" = String, Path, description = "the model's name", min_length = 1, pattern = r"^[^\u0000/]+$", example = "tickets")),
    responses(
        (status = 200, description = "trained", body = Trained),
        (status = "4XX", description = "refused", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "failed", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn train(
    State(application): State<Application>,
    Path(model): Path<String>,
    Json(training): Json<Training, TRAINING>,
) -> Result<Answer<Trained>, Problem> {
    let Training { source, text_column, label_column, algorithm, options, test_fraction, seed, deploy } =
        training;
    let texts = [
        ("model", &model),
        ("source", &source),
        ("text_column", &text_column),
        ("label_column", &label_column),
        ("algorithm", &algorithm),
        ("deploy", &deploy),
    ];
    for (name, value) in texts {
        check_name(value, name)?;
    }
    let options = Value::Object(options);
    // Postgres would refuse it as no JSON of its kind.
    if options.to_string().contains("\\u0000") {
        return Err(Problem::unusable("a NUL character cannot be an option").at("options"));
    }
    let train = "SELECT model_version, rows_train, rows_test, rows_skipped, accuracy, macro_f1, macro_recall, log_loss,
                     baseline_accuracy, previous_macro_f1, deployed, terms, bytes, train_ms
                 FROM train_sentiment($1, $2::text::regclass, $3::text::name, $4::text::name, $5, $6::jsonb, $7, $8, $9)";
    let parameters: [&(dyn ToSql + Sync); 9] =
        [&model, &source, &text_column, &label_column, &algorithm, &options, &test_fraction, &seed, &deploy];
    let row = at_length(&application, train, &parameters).await?;
    Ok(Answer(Trained {
        model_version: row.get(0),
        rows_train: row.get(1),
        rows_test: row.get(2),
        rows_skipped: row.get(3),
        accuracy: row.get(4),
        macro_f1: row.get(5),
        macro_recall: row.get(6),
        log_loss: row.get(7),
        baseline_accuracy: row.get(8),
        previous_macro_f1: row.get(9),
        deployed: row.get(10),
        terms: row.get(11),
        bytes: row.get(12),
        train_ms: row.get(13),
    }))
}

/// What a refresh has learned
#[derive(Debug, Serialize, ToSchema)]
pub struct Refreshed {
    #[schema(required)]
    model_version: Option<String>,
    rows_used: i64,
    refresh_ms: f64,
}

/// Let a model learn from feedback, and deploy the result
#[utoipa::path(
    post, path = "/v1/models/{model}/refresh", tag = "models", security(("key" = [])),
    request_body(content = ref("#/components/schemas/Nothing"), content_type = "application/json", description = "none, or an object without fields"),
    params(("model" = String, Path, description = "the model's name", min_length = 1, pattern = r"^[^\u0000/]+$", example = "tickets")),
    responses(
        (status = 200, description = "refreshed", body = Refreshed),
        (status = "4XX", description = "refused", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "failed", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn refresh(
    State(application): State<Application>,
    Path(model): Path<String>,
    _: Nothing,
) -> Result<Answer<Refreshed>, Problem> {
    check_name(&model, "model")?;
    let refresh = "SELECT model_version, rows_used, refresh_ms FROM refresh_sentiment($1)";
    let row = at_length(&application, refresh, &[&model]).await?;
    Ok(Answer(Refreshed { model_version: row.get(0), rows_used: row.get(1), refresh_ms: row.get(2) }))
}

/// Which version
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Its number
    #[schema(example = 2)]
    version: i32,
}

/// The version that scores now
#[derive(Debug, Serialize, ToSchema)]
pub struct Deployed {
    model_version: String,
}

/// Deploy a version of a model
#[utoipa::path(
    post, path = "/v1/models/{model}/deploy", tag = "models", security(("key" = [])), request_body = Version,
    params(("model" = String, Path, description = "the model's name", min_length = 1, pattern = r"^[^\u0000/]+$", example = "tickets")),
    responses(
        (status = 200, description = "it scores from now on", body = Deployed),
        (status = "4XX", description = "refused", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "failed", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn deploy(
    State(application): State<Application>,
    Path(model): Path<String>,
    Json(Version { version }): Json<Version>,
) -> Result<Answer<Deployed>, Problem> {
    check_name(&model, "model")?;
    let client = application.pool.get().await?;
    let row = client.query_one("SELECT deploy_sentiment($1, $2)", &[&model, &version]).await;
    let row = row.map_err(Problem::of_model)?;
    Ok(Answer(Deployed { model_version: row.get(0) }))
}

/// Go back to the version that was deployed before
#[utoipa::path(
    post, path = "/v1/models/{model}/rollback", tag = "models", security(("key" = [])),
    request_body(content = ref("#/components/schemas/Nothing"), content_type = "application/json", description = "none, or an object without fields"),
    params(("model" = String, Path, description = "the model's name", min_length = 1, pattern = r"^[^\u0000/]+$", example = "tickets")),
    responses(
        (status = 200, description = "it scores from now on", body = Deployed),
        (status = "4XX", description = "refused", body = Problem, content_type = "application/problem+json"),
        (status = "5XX", description = "failed", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn rollback(
    State(application): State<Application>,
    Path(model): Path<String>,
    _: Nothing,
) -> Result<Answer<Deployed>, Problem> {
    check_name(&model, "model")?;
    let client = application.pool.get().await?;
    let row = client.query_one("SELECT rollback_sentiment($1)", &[&model]).await;
    let row = row.map_err(Problem::of_model)?;
    Ok(Answer(Deployed { model_version: row.get(0) }))
}

/// Runs a statement that may take long, without a time-out: as many at once as there are places. If the client goes away, it is
/// cancelled.
async fn at_length(
    application: &Application,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Row, Problem> {
    let _place = application.lengthy.try_acquire().map_err(|_| {
        let detail = "as many models are trained and refreshed as may be at once: try again";
        Problem::unavailable(detail).retry_after(PAUSE)
    })?;
    let mut session = application.address.session(&application.pool).await?;
    let row = in_transaction(session.client()?, sql, parameters).await;
    session.done();
    row.map_err(Problem::of_model)
}

async fn in_transaction(
    client: &mut Client,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Row, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    // What is long is its work: another's lock is not waited for without end.
    transaction.batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '1min'").await?;
    let row = transaction.query_one(sql, parameters).await?;
    transaction.commit().await?;
    Ok(row)
}
