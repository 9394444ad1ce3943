//! The scoring functions that answer with one value.

use pgrx::{IntoDatum, pg_sys};
use sentiment_core::Reading;

use crate::call::{Answer, Call, sql_functions};
use crate::errors::Result;
use crate::models::{Model, ModelRef};
use crate::text::{self, StoredText};

sql_functions!(sentiment, sentiment_score, sentiment_probability, sentiment_at, sentiment_score_at);

/// `sentiment(body, model)`: the label.
fn sentiment(call: &Call) -> Answer {
    scored(call, Model::named, label)
}

/// `sentiment_score(body, model)`: from -1 to 1.
fn sentiment_score(call: &Call) -> Answer {
    scored(call, Model::named, score)
}

/// `sentiment_at(body, model_version)`: the label that one frozen version gives, now and always.
fn sentiment_at(call: &Call) -> Answer {
    scored(call, Model::frozen, label)
}

/// `sentiment_score_at(body, model_version)`: the score that one frozen version gives, now and always.
fn sentiment_score_at(call: &Call) -> Answer {
    scored(call, Model::frozen, score)
}

/// `sentiment_probability(body, label, model)`: P(label).
fn sentiment_probability(call: &Call) -> Answer {
    let (Some(body), Some(label)) = (call.text(0), call.text(1)) else { return Ok(None) };
    let model = Model::named(call.text(2))?;
    let class = label.read(|label| model.class(&label.to_str()))?;
    Ok(model.read(body, |_, reading| reading.probabilities[class].into_datum()).flatten())
}

fn label(model: &Model, reading: Reading<'_>) -> Option<pg_sys::Datum> {
    Some(text::datum(model.label(reading.label)))
}

fn score(_: &Model, reading: Reading<'_>) -> Option<pg_sys::Datum> {
    reading.score.into_datum()
}

/// Reads the first argument with the model that `find` makes of the second. NULL in gives NULL out.
fn scored(
    call: &Call,
    find: impl FnOnce(Option<StoredText>) -> Result<ModelRef>,
    answer: impl FnOnce(&Model, Reading<'_>) -> Option<pg_sys::Datum>,
) -> Answer {
    let Some(body) = call.text(0) else { return Ok(None) };
    let model = find(call.text(1))?;
    Ok(model.read(body, answer).flatten())
}
