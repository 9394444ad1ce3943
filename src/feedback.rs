//! What users tell a model: texts with their right labels, and words with a score of their own.

use std::cell::Cell;
use std::fmt::Write;

use pgrx::{FromDatum, IntoDatum, pg_sys};
use sentiment_core::train::{MOST_OWN_TERMS, check_takes_terms, check_term, check_term_kind, term_key};

use crate::call::{Answer, Call, nothing, sql_functions};
use crate::errors::{Failure, Result, Shown};
use crate::lifecycle::model_argument;
use crate::models::Model;
use crate::registry::store::{self, list_of, number_value, text_of, text_value};
use crate::registry::{as_owner, caller, statement};
use crate::sql::{Access, Plan, Session};
use crate::target::refuse_read_only;
use crate::text::StoredText;

sql_functions!(learn_sentiment, set_sentiment_term);

/// Rows that are fetched at a time.
const BATCH: i64 = 1_000;

/// Bytes of text that a refresh takes in: no setting bounds its memory, of which it takes up to 13 times as much (measured).
const MOST_BYTES: i64 = 16 << 20;

/// An example that was filed.
#[derive(Debug)]
pub struct Filed {
    pub id: i64,
    pub body: String,
    pub label: String,
}

/// Hands all that was filed for a model to `take`: its number, text and label, and whether it is not new to the deployed version. A stream
/// files more than memory may hold.
pub fn each(
    session: &Session,
    model: &str,
    mut take: impl FnMut(i64, StoredText, StoredText, bool) -> Result<()>,
) -> Result<()> {
    let query = c"SELECT f.id::bigint, f.body::text, f.label::text, (u.feedback IS NULL)::bool FROM sentiment.feedback AS f
        LEFT JOIN sentiment.unlearned AS u ON u.model = f.model AND u.feedback = f.id WHERE f.model = $1";
    session.each(query, &[text_value(model)], BATCH, |[id, body, label, learned]| {
        let (Some(body), Some(label)) = (body, label) else { return Ok(()) };
        // SAFETY: the query's columns are texts, and live as long as their batch.
        let (body, label) = unsafe { (StoredText::new(body), StoredText::new(label)) };
        take(store::integer(id), body, label, learned.is_some_and(|learned| learned.value() != 0))
    })
}

/// What was filed for a model, is not in a deployed version yet, and has one of this version's labels; the oldest first, as many as a
/// refresh takes. The rest waits for the next one, or for a version that has its label.
pub fn new(session: &Session, model: &str, version: i32, most: i64) -> Result<Vec<Filed>> {
    // A page of the queue, with the examples that are wanted of it. It is given by its ends, and ends before the examples are
    // fetched: of tables that were never analysed the planner takes an equal model for rare, and would read all that waits.
    let query = c"SELECT feedback::bigint, body::text, label::text FROM (
            SELECT q.feedback, f.body, f.label,
                coalesce(sum(octet_length(f.body)) OVER (
                    ORDER BY q.feedback ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
            FROM (SELECT u.feedback FROM sentiment.unlearned AS u
                WHERE (u.model, u.feedback) > ($1, $3) AND u.model <= $1
                ORDER BY u.model, u.feedback LIMIT $4) AS q
            JOIN sentiment.version AS v ON v.model = $1 AND v.number = $2
            LEFT JOIN sentiment.feedback AS f ON f.id = q.feedback AND f.label = ANY (v.labels::text[])) AS page
        WHERE before < $5 ORDER BY feedback";
    let (mut all, mut after, mut bytes) = (Vec::new(), 0, 0);
    let most = usize::try_from(most).unwrap_or_default();
    while all.len() < most {
        let page = i64::try_from(most - all.len()).unwrap_or(i64::MAX).max(BATCH);
        let mut seen = 0;
        let version = (pg_sys::INT4OID, version.into());
        let [begin, length, room] = [after, page, MOST_BYTES - bytes].map(number_value);
        session.each(
            query,
            &[text_value(model), version, begin, length, room],
            BATCH,
            |[id, body, label]| {
                seen += 1;
                after = store::integer(id);
                if body.is_some() && all.len() < most {
                    let filed = Filed { id: after, body: text_of(body), label: text_of(label) };
                    bytes += i64::try_from(filed.body.len()).unwrap_or(i64::MAX);
                    all.push(filed);
                }
                Ok(())
            },
        )?;
        if seen < page {
            break;
        }
    }
    Ok(all)
}

/// The users' own terms of a model.
pub fn own_terms(session: &Session, model: &str) -> Result<Vec<(String, f64)>> {
    let query = c"SELECT term::text, score::float8 FROM sentiment.term WHERE model = $1 ORDER BY term";
    let mut terms = Vec::new();
    session.each(query, &[text_value(model)], BATCH, |[term, score]| {
        // SAFETY: the column is a float8.
        let score = score.and_then(|score| unsafe { f64::from_datum(score, false) });
        terms.push((text_of(term), score.unwrap_or_default()));
        Ok(())
    })?;
    Ok(terms)
}

/// As [`own_terms`], for a refresh. `None` where there is none and none was taken back: what an imported version came with stays, for its
/// spelling is not known here.
pub fn terms_to_take(session: &Session, model: &str) -> Result<Option<Vec<(String, f64)>>> {
    let terms = own_terms(session, model)?;
    let query = c"SELECT terms_changed::bool FROM sentiment.model WHERE name = $1";
    let changed = session.query(query, &[text_value(model)], |[changed]| changed)?;
    let taken_back = changed.is_some_and(|changed| changed.value() != 0);
    Ok((taken_back || !terms.is_empty()).then_some(terms))
}

/// Notes that of all that was filed for a model just these are in the version that is deployed now: a refresh may have learned from others
/// while it was trained.
pub fn trained_on(session: &Session, model: &str, filed: &[i64]) -> Result<()> {
    queue_all_but(session, model, &ids(filed))
}

/// Notes what a version was trained on that is not deployed yet.
pub fn keep_for_deployment(session: &Session, model: &str, number: i32, filed: &[i64]) -> Result<()> {
    if !store::has_column(session, c"version", c"learned")? {
        return Ok(());
    }
    let update = c"UPDATE sentiment.version SET learned = string_to_array($3, ',')::bigint[]
        WHERE model = $1 AND number = $2";
    let parameters = [text_value(model), (pg_sys::INT4OID, number.into()), text_value(&ids(filed))];
    session.execute(update, &parameters).map(drop)
}

/// Notes that a version is deployed by hand. If that is for the first time, what it was trained on is not new any more, and all else
/// is. Who goes back to a version does not want again what was learned since.
pub fn deployed_by_hand(session: &Session, model: &str, number: i32) -> Result<()> {
    if !store::has_column(session, c"version", c"learned")? {
        return Ok(());
    }
    let parameters = [text_value(model), (pg_sys::INT4OID, number.into())];
    let query = c"SELECT array_to_string(learned, ',') FROM sentiment.version
        WHERE model = $1 AND number = $2 AND learned IS NOT NULL";
    let learned = session.query(query, &parameters, |[ids]| ids.map(|ids| list_of(Some(ids))))?;
    let Some(ids) = learned else { return Ok(()) };
    queue_all_but(session, model, &ids)?;
    let update = c"UPDATE sentiment.version SET learned = NULL WHERE model = $1 AND number = $2";
    session.execute(update, &parameters).map(drop)
}

/// Makes new whatever was filed for a model, without the examples of these numbers.
fn queue_all_but(session: &Session, model: &str, ids: &str) -> Result<()> {
    let insert =
        c"INSERT INTO sentiment.unlearned (model, feedback) SELECT $1, f.id FROM sentiment.feedback AS f
        WHERE f.model = $1 AND NOT EXISTS (
            SELECT FROM unnest(string_to_array($2, ',')::bigint[]) AS known (id) WHERE known.id = f.id)
        ON CONFLICT DO NOTHING";
    session.execute(insert, &[text_value(model), text_value(ids)])?;
    take_from_queue(session, model, ids)
}

fn ids(filed: &[i64]) -> String {
    let mut ids = String::new();
    for (at, id) in filed.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(ids, "{}{id}", if at > 0 { "," } else { "" });
    }
    ids
}

/// Notes that examples are in a deployed version. They are named one by one: others may have been filed meanwhile.
pub fn learned(session: &Session, model: &str, filed: &[i64]) -> Result<()> {
    take_from_queue(session, model, &ids(filed))
}

fn take_from_queue(session: &Session, model: &str, ids: &str) -> Result<()> {
    if ids.is_empty() {
        // Feedback that the registry's owner has deleted leaves the queue as well.
        let delete = c"DELETE FROM sentiment.unlearned AS u
            WHERE u.model = $1 AND NOT EXISTS (SELECT FROM sentiment.feedback AS f WHERE f.id = u.feedback)";
        return session.execute(delete, &[text_value(model)]).map(drop);
    }
    // With the list's ends, so that the index leads to them whatever the planner takes the queue for.
    let delete = c"WITH ends AS (SELECT min(id), max(id) FROM unnest(string_to_array($2, ',')::bigint[]) AS known (id))
        DELETE FROM sentiment.unlearned WHERE model = $1 AND feedback = ANY (string_to_array($2, ',')::bigint[])
            AND feedback >= (SELECT min FROM ends) AND feedback <= (SELECT max FROM ends)";
    session.execute(delete, &[text_value(model), text_value(ids)]).map(drop)
}

/// Notes whether a model's own terms have changed since its deployed version was made.
pub fn terms_changed(session: &Session, model: &str, changed: bool) -> Result<()> {
    let update = c"UPDATE sentiment.model SET terms_changed = $2 WHERE name = $1 AND terms_changed <> $2";
    session.execute(update, &[text_value(model), (pg_sys::BOOLOID, changed.into())]).map(drop)
}

/// The version that is deployed, or else the newest one there is, as a common table of a statement whose first parameter is the
/// model's name.
const LIVE: &str = "live AS (
    SELECT (v.model || '@' || v.number)::text AS version, v.labels FROM sentiment.model AS m
    JOIN sentiment.version AS v ON v.model = m.name AND v.number = coalesce(m.current_version,
        (SELECT max(n.number) FROM sentiment.version AS n WHERE n.model = m.name))
    WHERE m.name = $1)";

thread_local! {
    /// The statement of `learn_sentiment()`.
    static FILING: Cell<Option<Plan>> = const { Cell::new(None) };
}

/// `learn_sentiment(model, body, label)`: files an example. Names that are misspelt are refused: nobody looks at what is filed.
fn learn_sentiment(call: &Call) -> Answer {
    refuse_read_only("learn_sentiment()")?;
    let model = model_argument(call, 0)?;
    store::check_name(&model)?;
    let body = call.text(1).ok_or_else(|| Failure::null_argument("body"))?;
    let label = call.text(2).ok_or_else(|| Failure::null_argument("label"))?;
    let caller = caller();
    as_owner(Access::Write, |session| {
        let insert = || {
            statement(&format!(
                "WITH {LIVE}, filed AS (
                    INSERT INTO sentiment.feedback (model, body, label, created_by)
                    SELECT $1, $2, $3, $4 FROM live WHERE $3 = ANY (labels::text[]) RETURNING id),
                queued AS (INSERT INTO sentiment.unlearned (model, feedback) SELECT $1, id FROM filed)
                SELECT version::text, EXISTS (SELECT FROM filed)::bool FROM live"
            ))
        };
        let given = |text: StoredText| (pg_sys::TEXTOID, text.datum());
        let parameters = [text_value(&model), given(body), given(label), text_value(&caller)];
        let (version, filed) = session.query_kept(&FILING, insert, &parameters, |[version, filed]| {
            (text_of(version), filed.is_some_and(|filed| filed.value() != 0))
        })?;
        if version.is_empty() {
            return Err(store::missing(&model));
        }
        if !filed {
            return Err(label.read(|label| Failure::unknown_label(Shown(&label.to_str()), &version)));
        }
        Ok(())
    })?;
    nothing()
}

/// `set_sentiment_term(model, term, score)`: the user's own lexicon.
fn set_sentiment_term(call: &Call) -> Answer {
    refuse_read_only("set_sentiment_term()")?;
    let model = model_argument(call, 0)?;
    store::check_name(&model)?;
    let term = call.text(1).ok_or_else(|| Failure::null_argument("term"))?;
    let term = term.read(|term| term.to_str().into_owned());
    let score: Option<f64> = call.value(2);
    check_term(&term, score.unwrap_or_default())?;
    as_owner(Access::Write, |session| {
        store::lock_known(session, &model)?;
        note_change(session, &model)?;
        let live = format!("WITH {LIVE} SELECT version::text FROM live");
        let version =
            session.query(&statement(&live), &[text_value(&model)], |[version]| text_of(version))?;
        if version.is_empty() {
            return Err(store::missing(&model));
        }
        let Some(score) = score else {
            if forget_term(session, &model, &term)? == 0 {
                pgrx::notice!("no score was set for this term");
            }
            return Ok(());
        };
        check_takes_terms(Model::by_name(&version)?.card())?;
        check_term_kind(&term)?;
        forget_term(session, &model, &term)?;
        add_term(session, &model, &term, score)
    })?;
    nothing()
}

/// Has trainings and refreshes that end now look which terms they have seen. The row is changed, and not locked alone: a transaction
/// with an older snapshot is to fail (40001) where it does not see the terms that another has set. Once a transaction is enough.
fn note_change(session: &Session, model: &str) -> Result<()> {
    let change = c"UPDATE sentiment.model SET terms_changed = true
        WHERE name = $1 AND NOT (terms_changed AND xmin = pg_current_xact_id()::xid)";
    session.execute(change, &[text_value(model)]).map(drop)
}

/// Takes back what was said of a term, in whatever spelling that is read alike; in how many.
fn forget_term(session: &Session, model: &str, term: &str) -> Result<usize> {
    let key = term_key(term);
    // What has another key is another term. What has none has to be read.
    let (of_key, parameters) = match store::has_column(session, c"term", c"key")? {
        true => (" AND (key = $2 OR key IS NULL)", vec![text_value(model), number_value(key.cast_signed())]),
        false => ("", vec![text_value(model)]),
    };
    let query = format!("SELECT term::text FROM sentiment.term WHERE model = $1{of_key}");
    let mut same = Vec::new();
    session.each(&statement(&query), &parameters, BATCH, |[known]| {
        let known = text_of(known);
        if term_key(&known) == key {
            same.push(known);
        }
        Ok(())
    })?;
    for term in &same {
        let delete = c"DELETE FROM sentiment.term WHERE model = $1 AND term = $2";
        session.execute(delete, &[text_value(model), text_value(term)])?;
    }
    Ok(same.len())
}

/// Adds a term that is in no spelling among those of a model.
fn add_term(session: &Session, model: &str, term: &str, score: f64) -> Result<()> {
    let count = c"SELECT count(*) FROM sentiment.term WHERE model = $1";
    let count = session.query(count, &[text_value(model)], |[count]| store::integer(count))?;
    if usize::try_from(count).is_ok_and(|count| count >= MOST_OWN_TERMS) {
        return Err(Failure::too_many_terms(MOST_OWN_TERMS));
    }
    let score = score.into_datum().unwrap_or(pg_sys::Datum::null());
    let mut parameters = vec![text_value(model), text_value(term), (pg_sys::FLOAT8OID, score)];
    let mut insert = c"INSERT INTO sentiment.term (model, term, score) VALUES ($1, $2, $3)";
    if store::has_column(session, c"term", c"key")? {
        insert = c"INSERT INTO sentiment.term (model, term, score, key) VALUES ($1, $2, $3, $4)";
        parameters.push(number_value(term_key(term).cast_signed()));
    }
    session.execute(insert, &parameters).map(drop)
}
