//! How a model does on labelled rows.

use pgrx::{IntoDatum, pg_sys};
use sentiment_core::train::{ClassFigures, Evaluation, is_label};

use crate::call::{Answer, Call, sql_functions};
use crate::errors::{Failure, Result};
use crate::models::Model;
use crate::result::{Columns, Rows};
use crate::source::Source;
use crate::text;

sql_functions!(evaluate_sentiment, confusion_sentiment);

/// Scores every labelled row. Rows without text or label, or with nothing to score, are left out; a blank label is none, unless the model
/// has it, as one that 0.1.0 trained may.
fn evaluation(call: &Call) -> Result<Evaluation> {
    if call.datum(0).is_none() {
        return Err(Failure::null_argument("model"));
    }
    let model = Model::named(call.text(0))?;
    let source = Source::of(call)?;
    let mut evaluation = Evaluation::new(model.card().labels());
    source.each(|body, label| {
        let (Some(body), Some(label)) = (body, label) else { return Ok(()) };
        let label = label.read(|label| label.to_str().into_owned());
        if !is_label(&label) && !model.card().labels().contains(&label) {
            return Ok(());
        }
        let added = model.read(body, |_, reading| evaluation.add(&label, &reading));
        added.unwrap_or(Ok(())).map_err(Failure::from)
    })?;
    Ok(evaluation)
}

/// `evaluate_sentiment(model, source, text_column, label_column)`: figures a class, then of all. Of no rows there are none:
/// 0 would say that all were wrong.
fn evaluate_sentiment(call: &Call) -> Answer {
    let mut rows = Rows::begin(call)?;
    let evaluation = evaluation(call)?;
    for (class, figures) in evaluation.classes() {
        rows.push(columns(class, figures));
    }
    if evaluation.rows() == 0 {
        for average in ["accuracy", "macro avg", "weighted avg"] {
            rows.push([Some(text::datum(average)), None, None, None, count(0)]);
        }
        return Ok(None);
    }
    let (accuracy, support) = (evaluation.accuracy().into_datum(), count(evaluation.rows()));
    rows.push([Some(text::datum("accuracy")), None, None, accuracy, support]);
    rows.push(columns("macro avg", evaluation.macro_average()));
    rows.push(columns("weighted avg", evaluation.weighted_average()));
    Ok(None)
}

fn columns(class: &str, figures: ClassFigures) -> Columns<5> {
    [
        Some(text::datum(class)),
        figures.precision.into_datum(),
        figures.recall.into_datum(),
        figures.f1.into_datum(),
        count(figures.support),
    ]
}

fn count(rows: u64) -> Option<pg_sys::Datum> {
    i64::try_from(rows).ok().into_datum()
}

/// `confusion_sentiment(model, source, text_column, label_column)`: how often each label was given each label.
fn confusion_sentiment(call: &Call) -> Answer {
    let mut rows = Rows::begin(call)?;
    for (actual, predicted, n) in evaluation(call)?.confusion() {
        rows.push([Some(text::datum(actual)), Some(text::datum(predicted)), count(n)]);
    }
    Ok(None)
}
