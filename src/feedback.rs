//! Learning from a stream: texts with their right labels, and words with a score of the user's own.

use std::time::Instant;

use pgrx::{FromDatum, IntoDatum, pg_sys};
use sentiment_core::refresh::{DeltaPart, Lesson, refresh};
use sentiment_core::train::check_term;

use crate::call::{Answer, Call, sql_functions};
use crate::errors::{Failure, Result, Shown};
use crate::lifecycle::model_argument;
use crate::registry::store::{self, NewVersion, Part, number_value, text_of, text_value};
use crate::registry::{as_owner, caller, lookup};
use crate::result::record;
use crate::sql::{Access, Session};
use crate::target::refuse_read_only;
use crate::text;
use crate::training::interruptible;

sql_functions!(learn_sentiment, set_sentiment_term, refresh_sentiment);

/// Rows that are fetched at a time.
const BATCH: i64 = 1_000;

/// An example that was filed.
#[derive(Debug)]
pub struct Filed {
    pub id: i64,
    pub body: String,
    pub label: String,
}

/// All that was filed for a model.
pub fn all(session: &Session, model: &str) -> Result<Vec<Filed>> {
    let query = c"SELECT id, body, label FROM sentiment.feedback WHERE model = $1 ORDER BY id";
    filed(session, query, &[text_value(model)])
}

fn filed(
    session: &Session,
    query: &std::ffi::CStr,
    parameters: &[crate::sql::Parameter],
) -> Result<Vec<Filed>> {
    let mut all = Vec::new();
    session.each(query, parameters, BATCH, |[id, body, label]| {
        all.push(Filed { id: store::integer(id), body: text_of(body), label: text_of(label) });
        Ok(())
    })?;
    Ok(all)
}

/// The users' own terms of a model.
pub fn own_terms(session: &Session, model: &str) -> Result<Vec<(String, f64)>> {
    let query = c"SELECT term, score FROM sentiment.term WHERE model = $1 ORDER BY term";
    let mut terms = Vec::new();
    session.each(query, &[text_value(model)], BATCH, |[term, score]| {
        // SAFETY: the column is a float8.
        let score = score.and_then(|score| unsafe { f64::from_datum(score, false) });
        terms.push((text_of(term), score.unwrap_or_default()));
        Ok(())
    })?;
    Ok(terms)
}

/// Notes that examples are in a version. They are named one by one: others may have been filed meanwhile.
pub fn mark(session: &Session, filed: &[Filed], number: i32) -> Result<()> {
    if filed.is_empty() {
        return Ok(());
    }
    let ids = filed.iter().map(|filed| filed.id.to_string()).collect::<Vec<_>>().join(",");
    let update =
        c"UPDATE sentiment.feedback SET used_in = $2 WHERE id = ANY (string_to_array($1, ',')::bigint[])";
    session.execute(update, &[text_value(&ids), (pg_sys::INT4OID, number.into())]).map(drop)
}

/// `learn_sentiment(model, body, label)`: files an example.
fn learn_sentiment(call: &Call) -> Answer {
    refuse_read_only(c"learn_sentiment()");
    let model = model_argument(call, 0)?;
    store::check_name(&model)?;
    let body = call.datum(1).ok_or_else(|| Failure::null_argument("body"))?;
    let label = call.datum(2).ok_or_else(|| Failure::null_argument("label"))?;
    let caller = caller();
    as_owner(Access::Write, |session| {
        let insert =
            c"INSERT INTO sentiment.feedback (model, body, label, created_by) VALUES ($1, $2, $3, $4)";
        let (body, label) = ((pg_sys::TEXTOID, body), (pg_sys::TEXTOID, label));
        session.execute(insert, &[text_value(&model), body, label, text_value(&caller)])
    })?;
    Ok(None)
}

/// `set_sentiment_term(model, term, score)`: the user's own lexicon.
fn set_sentiment_term(call: &Call) -> Answer {
    refuse_read_only(c"set_sentiment_term()");
    let model = model_argument(call, 0)?;
    store::check_name(&model)?;
    let term = call.text(1).ok_or_else(|| Failure::null_argument("term"))?;
    let term = term.read(|term| term.to_str().into_owned());
    let score: Option<f64> = call.value(2);
    check_term(&term, score.unwrap_or_default())?;
    as_owner(Access::Write, |session| {
        let parameters = [text_value(&model), text_value(&term)];
        let Some(score) = score.and_then(IntoDatum::into_datum) else {
            return session
                .execute(c"DELETE FROM sentiment.term WHERE model = $1 AND term = $2", &parameters);
        };
        let upsert = c"INSERT INTO sentiment.term (model, term, score) VALUES ($1, $2, $3)
            ON CONFLICT (model, term) DO UPDATE SET score = excluded.score";
        let [model, term] = parameters;
        session.execute(upsert, &[model, term, (pg_sys::FLOAT8OID, score)])
    })?;
    Ok(None)
}

/// `refresh_sentiment(model, max_rows)`: learns what is new, and deploys it.
fn refresh_sentiment(call: &Call) -> Answer {
    let started = Instant::now();
    refuse_read_only(c"refresh_sentiment()");
    let model = model_argument(call, 0)?;
    store::check_name(&model)?;
    let most: i32 = call.required(1, "max_rows")?;
    if most < 1 {
        return Err(Failure::max_rows_not_positive(most));
    }
    let caller = caller();
    let (number, rows) = as_owner(Access::Write, |session| learn(session, &model, most.into(), &caller))?;
    let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
    let version = text::datum(&format!("{model}@{number}"));
    record(call, [Some(version), i64::try_from(rows).ok().into_datum(), milliseconds.into_datum()]).map(Some)
}

/// Learns from examples that are not in the deployed version; the version's number then, and how many they were.
fn learn(session: &Session, model: &str, most: i64, caller: &str) -> Result<(i32, u64)> {
    let known = store::lock_known(session, model)?;
    let current = known.current.ok_or_else(|| Failure::not_deployed(Shown(model)))?;
    let ids = lookup::parts(model, current)?.ok_or_else(Failure::registry_damaged)?;
    let parts = ids.iter().map(|&id| lookup::part(id)).collect::<Result<Vec<_>>>()?;
    let (base, deltas) = parts.split_first().ok_or_else(Failure::registry_damaged)?;
    let deltas: Vec<&[u8]> = deltas.iter().map(Vec::as_slice).collect();
    let query = c"SELECT id, body, label FROM sentiment.feedback WHERE model = $1 AND used_in IS NULL ORDER BY id LIMIT $2";
    let filed = filed(session, query, &[text_value(model), number_value(most)])?;
    let lessons: Vec<Lesson<'_>> =
        filed.iter().map(|filed| Lesson { text: filed.body.as_bytes(), label: &filed.label }).collect();
    let refreshed = refresh(base, &deltas, &lessons, &own_terms(session, model)?, &mut interruptible)?;
    let number = match refreshed.deltas {
        None => current,
        Some(deltas) => {
            let kept = |part: DeltaPart| match part {
                DeltaPart::Kept(at) => Part::Known(ids[at + 1]),
                DeltaPart::New(bytes) => Part::New(bytes),
            };
            let parts = std::iter::once(Part::Known(ids[0])).chain(deltas.into_iter().map(kept)).collect();
            store_refreshed(session, model, parts, caller)?
        }
    };
    mark(session, &filed, number)?;
    Ok((number, refreshed.rows_used))
}

fn store_refreshed(session: &Session, model: &str, parts: Vec<Part>, caller: &str) -> Result<i32> {
    let ids = store::store_parts(session, parts)?;
    let bytes = ids.iter().map(|&id| lookup::part(id)).collect::<Result<Vec<_>>>()?;
    let (base, deltas) = bytes.split_first().ok_or_else(Failure::registry_damaged)?;
    let deltas: Vec<&[u8]> = deltas.iter().map(Vec::as_slice).collect();
    let card = sentiment_core::Predictor::open_parts(base, &deltas)?;
    let (options, metrics) = store::current_figures(session, model)?;
    let parts = ids.into_iter().map(Part::Known).collect();
    let version =
        NewVersion { model, parts, origin: "refresh", options: &options, metrics: &metrics, caller };
    let number = store::store(session, version, &card)?;
    store::deploy(session, model, number, "refresh", caller)?;
    store::prune_as_set(session, model)?;
    Ok(number)
}
