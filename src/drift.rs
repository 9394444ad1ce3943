//! Whether texts have changed since a model was trained.

use pgrx::IntoDatum;
use sentiment_core::drift::Profile;

use crate::call::{Answer, Call, sql_functions};
use crate::errors::Failure;
use crate::models::{AUTO, Model};
use crate::result::Rows;
use crate::source::Source;
use crate::text;

sql_functions!(drift_sentiment);

/// `drift_sentiment(model, source, text_column)`: what the model's answers look like now, beside then.
fn drift_sentiment(call: &Call) -> Answer {
    let mut rows = Rows::begin(call)?;
    if call.datum(0).is_none() {
        return Err(Failure::null_argument("model"));
    }
    if call.text(0).is_some_and(|name| name.read(|name| name.to_str() == AUTO)) {
        return Err(Failure::auto_has_no_version());
    }
    let model = Model::named(call.text(0))?;
    let source = Source::of_texts(call)?;
    let labels = model.card().labels();
    let mut profile = Profile::new(labels.len());
    source.each_text(|body| {
        if let Some(body) = body {
            model.read(body, |_, reading| profile.add(&reading));
        }
        Ok(())
    })?;
    for drift in profile.since(model.card().metrics(), labels) {
        let change = drift.training.zip(drift.current).map(|(then, now)| now - then);
        rows.push([
            Some(text::datum(&drift.measure)),
            drift.training.into_datum(),
            drift.current.into_datum(),
            change.into_datum(),
        ]);
    }
    Ok(None)
}
