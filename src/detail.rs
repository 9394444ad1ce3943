//! The scoring functions that answer with all there is to say about a text, or about many texts.

use pgrx::{IntoDatum, pg_sys};
use sentiment_core::Reading;

use crate::call::{Answer, Call, sql_functions};
use crate::json;
use crate::letter::letter;
use crate::models::Model;
use crate::result::{Columns, Rows, record};
use crate::text::{self, StoredText};

sql_functions!(sentiment_detail, sentiment_json, sentiment_batch);

/// `sentiment_detail(body, model)`: a record; all its columns are NULL where there is nothing to score.
fn sentiment_detail(call: &Call) -> Answer {
    let Some(body) = call.text(0) else { return Ok(None) };
    let model = Model::named(call.text(1))?;
    let columns = model.read(body, |model, reading| detail(model, &reading)).unwrap_or_default();
    record(call, columns).map(Some)
}

fn detail(model: &Model, reading: &Reading<'_>) -> Columns<7> {
    [
        Some(text::datum(model.label(reading.label))),
        reading.score.into_datum(),
        confidence(reading).into_datum(),
        json::datum(&probabilities(model, reading)),
        reading.coverage.into_datum(),
        reading.truncated.into_datum(),
        Some(text::datum(model.version_name())),
    ]
}

/// `sentiment_json(body, model)`: the same as a JSON object.
fn sentiment_json(call: &Call) -> Answer {
    let Some(body) = call.text(0) else { return Ok(None) };
    let model = Model::named(call.text(1))?;
    Ok(model.read(body, |model, reading| json::datum(&object(model, &reading))).flatten())
}

fn object(model: &Model, reading: &Reading<'_>) -> String {
    json::object([
        ("label", json::string(model.label(reading.label))),
        ("score", reading.score.map_or_else(|| "null".into(), json::number)),
        ("confidence", json::number(confidence(reading))),
        ("probabilities", probabilities(model, reading)),
        ("coverage", json::number(reading.coverage)),
        ("truncated", reading.truncated.to_string()),
        ("model_version", json::string(model.version_name())),
    ])
}

fn confidence(reading: &Reading<'_>) -> f64 {
    reading.probabilities[reading.label]
}

/// P(class) under each label, as JSON.
fn probabilities(model: &Model, reading: &Reading<'_>) -> String {
    let labels = model.card().labels().iter().map(String::as_str);
    json::object(labels.zip(reading.probabilities.iter().copied().map(json::number)))
}

/// `sentiment_batch(bodies, model)`: a row an element, also where an element has nothing to score.
fn sentiment_batch(call: &Call) -> Answer {
    let mut rows = Rows::begin(call)?;
    let Some(bodies) = call.datum(0) else { return Ok(None) };
    let model = Model::named(call.text(1))?;
    // One value a label, not one a row: an array may have millions of elements.
    let labels: Vec<_> = model.card().labels().iter().map(|label| text::datum(label)).collect();
    // SAFETY: the install script declares the argument as text[].
    for (ord, body) in (1..).zip(unsafe { elements(bodies) }) {
        let columns = body.and_then(|body| {
            model.read(body, |_, reading| {
                let label = labels.get(reading.label).copied();
                [label, reading.score.into_datum(), confidence(&reading).into_datum()]
            })
        });
        let [label, score, confidence] = columns.unwrap_or_default();
        rows.push([i32::into_datum(ord), label, score, confidence]);
    }
    Ok(None)
}

/// The elements of an array of any dimensions, in storage order.
///
/// # Safety
/// `array` is a value of type text[], and lives as long as the result.
unsafe fn elements<'a>(array: pg_sys::Datum) -> impl Iterator<Item = Option<StoredText<'a>>> {
    let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
    // SAFETY: the caller promises a text[]; -1, false and 'i' are length, passing and alignment of its elements' type. The
    // server allocates `count` values and flags, in memory that the call does not outlive.
    let (values, nulls) = unsafe {
        let array = pg_sys::pg_detoast_datum(array.cast_mut_ptr());
        let align = letter(pg_sys::TYPALIGN_INT);
        pg_sys::deconstruct_array(
            array.cast(),
            pg_sys::TEXTOID,
            -1,
            false,
            align,
            &mut values,
            &mut nulls,
            &mut count,
        );
        let count = usize::try_from(count).unwrap_or(0);
        (std::slice::from_raw_parts(values, count), std::slice::from_raw_parts(nulls, count))
    };
    let element = |(value, null): (&pg_sys::Datum, &bool)| {
        // SAFETY: as above; the elements are texts.
        (!null).then(|| unsafe { StoredText::new(*value) })
    };
    values.iter().zip(nulls).map(element)
}
