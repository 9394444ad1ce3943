//! The registry: models in tables, and the view of those that ship.

pub mod lookup;
pub mod moment;
mod owner;
pub mod store;

pub use lookup::relation;
pub use owner::{as_owner, caller, statement};

use pgrx::{IntoDatum, pg_sys};

use crate::call::{Answer, Call, sql_functions};
use crate::errors::Result;
use crate::json;
use crate::letter::letter;
use crate::models::{self, Model};
use crate::result::{Columns, Rows};
use crate::text;

sql_functions!(shipped_models, cached_models, registry_changed);

/// `sentiment.shipped_models()`: the newest version of each model that is part of the library.
fn shipped_models(call: &Call) -> Answer {
    let mut rows = Rows::begin(call)?;
    let versions = models::shipped()?;
    for (index, model) in versions.iter().enumerate() {
        let same_name = |later: &&Model| later.card().name() == model.card().name();
        if !versions[index + 1..].iter().any(same_name) {
            rows.push(columns(model)?);
        }
    }
    Ok(None)
}

/// `sentiment.cached_models()`: the versions that this session holds open.
fn cached_models(call: &Call) -> Answer {
    let mut rows = Rows::begin(call)?;
    for model in models::in_use() {
        rows.push([
            Some(text::datum(model.version_name())),
            model.shipped_bytes().is_some().into_datum(),
            i64::try_from(model.card().size()).ok().into_datum(),
            i64::try_from(model.texts()).ok().into_datum(),
        ]);
    }
    Ok(None)
}

/// `sentiment.registry_changed()`: a trigger on `sentiment.model` that tells every session. What this extension writes it announces
/// itself: this is for rows that logical replication applies, or an administrator changes.
fn registry_changed(_: &Call) -> Answer {
    moment::announce()?;
    // A trigger must not answer NULL; what it answers after a change is not looked at.
    Ok(Some(pg_sys::Datum::null()))
}

fn columns(model: &Model) -> Result<Columns<9>> {
    let card = model.card();
    let labels: Vec<_> = card.labels().iter().map(|label| text::datum(label)).collect();
    Ok([
        Some(text::datum(card.name())),
        Some(text::datum(model.version_name())),
        Some(text::datum(card.algorithm())),
        Some(text::datum(card.language())),
        Some(text_array(labels)),
        i64::try_from(card.rows_train()).ok().into_datum(),
        json::datum(card.metrics()),
        i64::try_from(card.terms()).ok().into_datum(),
        i64::try_from(card.size()).ok().into_datum(),
    ])
}

/// A value of type text[].
fn text_array(mut texts: Vec<pg_sys::Datum>) -> pg_sys::Datum {
    // A model has at most 64 labels.
    let count = i32::try_from(texts.len()).unwrap_or(i32::MAX);
    // SAFETY: `texts` holds `count` texts; -1, false and 'i' are length, passing and alignment of the type text.
    unsafe {
        let align = letter(pg_sys::TYPALIGN_INT);
        pg_sys::construct_array(texts.as_mut_ptr(), count, pg_sys::TEXTOID, -1, false, align).into()
    }
}
